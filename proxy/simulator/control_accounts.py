"""The control API's actions on users and on what their logins reach."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, get_args

from proxy.simulator.ads_accounts import AdsAccount, Presence, Status, account_id
from proxy.simulator.given import ControlRefused, Given, text
from proxy.simulator.profiles import LEVELS, PROGRAMS, TYPES
from proxy.simulator.settings import REGIONS

if TYPE_CHECKING:
    from proxy.simulator.profiles import Profile
    from proxy.simulator.state import SimulatorState


def change_profiles(state: SimulatorState, given: Given) -> Any:
    """`action` add (which also changes) or remove, `region`, `profile_id`, and for add `user` and what it is like."""
    region = text(given, "region")
    if region not in REGIONS:
        raise ControlRefused(f"region {region!r} is not one of {', '.join(REGIONS)}")
    profile_id = None if given.get("profile_id") is None else str(given["profile_id"])
    if given.get("action", "add") == "add":
        profile = state.add_profile(region, profile_id, str(given.get("user", "default")))
        _describe(profile, given)
        return profile.as_json()
    if given["action"] != "remove" or profile_id is None:
        raise ControlRefused("action is 'add', or 'remove' with a profile_id")
    return {"removed": state.remove_profile(region, profile_id)}


def _describe(profile: Profile, given: Given) -> None:
    """`kind`, `valid_payment`, `has_campaign` and `rights` ({program: [level, ...]}), as far as they are given."""
    rights = given.get("rights", profile.rights)
    if not isinstance(rights, dict) or not set(rights) <= set(PROGRAMS):
        raise ControlRefused(f"rights is an object with some of {', '.join(PROGRAMS)}")
    if not all(set(levels) <= set(LEVELS) for levels in rights.values()):
        raise ControlRefused(f"each program has a list of levels: {', '.join(LEVELS)}")
    if given.get("kind", profile.kind) not in TYPES:
        raise ControlRefused(f"kind is one of {', '.join(TYPES)}")
    profile.rights = {program: tuple(levels) for program, levels in rights.items()}
    profile.kind = given.get("kind", profile.kind)
    profile.valid_payment = bool(given.get("valid_payment", profile.valid_payment))
    profile.has_campaign = bool(given.get("has_campaign", profile.has_campaign))


def add_user(state: SimulatorState, given: Given) -> Any:
    """A further user, who has profiles of its own."""
    user, per_region = text(given, "user"), int(given.get("profiles_per_region", 1))
    token = state.add_user(user, per_region, given.get("client_id"))
    profiles = {region: [p.profile_id for p in state.profiles.listed(region, user)] for region in REGIONS}
    return {"user": user, "refresh_token": token, "profiles": profiles}


def show_ads_accounts(state: SimulatorState, given: Given) -> Any:
    """All ads accounts; `user` chooses among them."""
    chosen = state.ads_accounts.accounts.values()
    return [_plain(account) for account in chosen if given.get("user") is None or given["user"] in account.users]


def change_ads_accounts(state: SimulatorState, given: Given) -> Any:
    """`action` add (in the place of one with that `account_id`) or remove; for add `user`, `presences` and more."""
    book, user = state.ads_accounts, str(given.get("user", "default"))
    if given.get("action", "add") == "remove":
        return {"removed": book.remove(text(given, "account_id"))}
    status = given.get("status", "CREATED")
    if given.get("action", "add") != "add" or status not in get_args(Status):
        raise ControlRefused(f"action is 'add' or 'remove', status one of {', '.join(get_args(Status))}")
    chosen = str(given.get("account_id") or account_id(user, len(book.accounts) + 1))
    presences = tuple(_presence(entry) for entry in given.get("presences", ()))
    return _plain(book.add(AdsAccount(chosen, str(given.get("name", chosen)), presences, status, {user})))


def _presence(entry: Any) -> Presence:
    names = [field.name for field in fields(Presence)]
    if not isinstance(entry, dict) or entry.get("region") not in REGIONS or not set(entry) <= set(names):
        raise ControlRefused(
            f"a presence has a region of {', '.join(REGIONS)}, and of {', '.join(names[1:])} what it has"
        )
    rest = (None if entry.get(name) is None else str(entry[name]) for name in names[1:])
    return Presence(str(entry["region"]), *rest)


def _plain(account: AdsAccount) -> Given:
    return {**asdict(account), "users": sorted(account.users), "regions": account.regions}
