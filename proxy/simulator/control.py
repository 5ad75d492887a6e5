"""The control API: the HTTP side of `state`, for tests in other processes and for people with curl."""

from __future__ import annotations

import base64
import inspect
import json
import math
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, get_args

from proxy.simulator.ads_accounts import AccountCountry, AdsAccount, Status, account_id
from proxy.simulator.answers import Answer, json_answer
from proxy.simulator.credentials import as_text, end_of, moment_of
from proxy.simulator.exchange import split_target
from proxy.simulator.faults import Fault, Framing, Match, Point, Rest
from proxy.simulator.limits import ASPECTS, Limit, Limits
from proxy.simulator.named_faults import NAMED
from proxy.simulator.profiles import LEVELS, PROGRAMS, TYPES
from proxy.simulator.reports import FAILURE, Outcome, PlannedOutcome
from proxy.simulator.settings import REGIONS
from proxy.simulator.state import SimulatorState
from proxy.simulator.writing import send

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.simulator.credentials import Grant
    from proxy.simulator.faults import Planned
    from proxy.simulator.profiles import Profile
    from proxy.simulator.reports import Report

JsonObject = dict[str, Any]


class ControlRefused(ValueError):
    """A control request that makes no sense; the text says why."""


def text(given: JsonObject, name: str) -> str:
    """A member that must be there."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ControlRefused(f"{name!r} is missing or no text")
    return value


def times_of(given: JsonObject, usual: int | None) -> int | None:
    """How often something that is planned happens; None: always."""
    times = given.get("times", usual)
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ControlRefused("'times' is a whole number from 1, or null for always")
    return times


# --- Control of users and of what their logins reach ----------------------------------------------------------


def change_profiles(state: SimulatorState, given: JsonObject) -> Any:
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
    return {"removed": state.profiles.remove(region, profile_id)}


def _describe(profile: Profile, given: JsonObject) -> None:
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


def add_user(state: SimulatorState, given: JsonObject) -> Any:
    """A further user, who has profiles of its own."""
    user, per_region = text(given, "user"), int(given.get("profiles_per_region", 1))
    token = state.add_user(user, per_region, given.get("client_id"))
    profiles = {region: [p.profile_id for p in state.profiles.listed(region, user)] for region in REGIONS}
    return {"user": user, "refresh_token": token, "profiles": profiles}


def show_ads_accounts(state: SimulatorState, given: JsonObject) -> Any:
    """All ads accounts; `user` chooses among them."""
    chosen = state.ads_accounts.accounts.values()
    return [_plain(account) for account in chosen if given.get("user") is None or given["user"] in account.users]


def change_ads_accounts(state: SimulatorState, given: JsonObject) -> Any:
    """`action` add (in the place of one with that `account_id`) or remove; for add `user`, `presences` and
    more."""
    book, user = state.ads_accounts, str(given.get("user", "default"))
    if given.get("action", "add") == "remove":
        return {"removed": book.remove(text(given, "account_id"))}
    status = given.get("status", "CREATED")
    if given.get("action", "add") != "add" or status not in get_args(Status):
        raise ControlRefused(f"action is 'add' or 'remove', status one of {', '.join(get_args(Status))}")
    chosen = str(given.get("account_id") or account_id(user, len(book.accounts) + 1))
    presences = tuple(_account_country(entry) for entry in given.get("presences", ()))
    return _plain(book.add(AdsAccount(chosen, str(given.get("name", chosen)), presences, status, {user})))


def _account_country(entry: Any) -> AccountCountry:
    names = [field.name for field in fields(AccountCountry)]
    if not isinstance(entry, dict) or entry.get("region") not in REGIONS or not set(entry) <= set(names):
        raise ControlRefused(
            f"a presence has a region of {', '.join(REGIONS)}, and of {', '.join(names[1:])} what it has"
        )
    rest = (None if entry.get(name) is None else str(entry[name]) for name in names[1:])
    return AccountCountry(str(entry["region"]), *rest)


def _plain(account: AdsAccount) -> JsonObject:
    return {**asdict(account), "users": sorted(account.users), "regions": account.regions}


# --- The control API's actions on connections and ports --------------------------------------------------


def close(state: SimulatorState, given: JsonObject) -> Any:
    """Closes what is open; with `reset` true by RST."""
    return {"closed": state.close_connections(reset=bool(given.get("reset")))}


async def listen(state: SimulatorState, given: JsonObject) -> Any:
    """Refuse connections to a `region` (or to all) with `listening` false, until it is true again."""
    region, listening = given.get("region"), given.get("listening")
    if region not in (None, *REGIONS) or not isinstance(listening, bool):
        raise ControlRefused(f"region is one of {', '.join(REGIONS)}, listening true or false")
    if state.listener_control is None:
        raise ControlRefused("nothing listens")
    for name in [region] if region else REGIONS:
        await state.listener_control.listen(name, listening)
    return {"listening": listening}


# --- The control API's actions on limits -----------------------------------------------------------------

MEMBERS = {"rate", "burst", "match", "per", "retry_after"}


def show_limits(state: SimulatorState, given: JsonObject) -> Any:
    """All limits with their buckets, and what was counted by family and user agent."""
    limits = state.limits
    return {
        **limits.counts(),
        "by_family": {name: dict(counts) for name, counts in limits.families.items()},
        "by_agent": {name: dict(counts) for name, counts in limits.agents.items()},
        "limits": [
            {
                **asdict(rule),
                "buckets": [
                    {**dict(zip(rule.per, key, strict=True)), **bucket.counts()}
                    for (of, key), bucket in limits.buckets.items()
                    if of == number
                ],
            }
            for number, rule in enumerate(limits.rules)
        ],
    }


def add_limit(state: SimulatorState, given: JsonObject) -> Any:
    """Sets one more limit: `{rate, burst, match, per, retry_after}`."""
    if not set(given) <= MEMBERS:
        raise ControlRefused(f"a limit has {', '.join(sorted(MEMBERS))}")
    per, retry_after = given.get("per", ASPECTS), given.get("retry_after", "exact")
    if not isinstance(per, list | tuple) or not set(per) <= set(ASPECTS):
        raise ControlRefused(f"per is a list of {', '.join(ASPECTS)}")
    if retry_after not in (None, "exact") and not _number(retry_after):
        raise ControlRefused("retry_after is 'exact', a number of seconds, or null")
    if not _number(given.get("rate")) or not _number(given.get("burst", 1)) or given.get("burst", 1) < 1:
        raise ControlRefused("rate is a number of requests a second, burst one of at least 1")
    limit = Limit(
        float(given["rate"]), float(given.get("burst", 1)), parse_match(given.get("match", {})), tuple(per), retry_after
    )
    state.limits.rules.append(limit)
    return {"limits": len(state.limits.rules)}


def clear_limits(state: SimulatorState, given: JsonObject) -> Any:
    """Nothing is limited any more, and the counts are 0."""
    state.limits = Limits()
    return {"limits": 0}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


# --- The control API's actions on apps, consents and the clock by which they end -------------------------

DAY = 86_400


def set_secret(state: SimulatorState, given: JsonObject) -> Any:
    """Changes an app's secret; with `keep_old` true, the old one stays good too."""
    client_id = _known_app(state, given)
    state.set_client_secret(text(given, "client_secret"), client_id, keep_old=bool(given.get("keep_old")))
    return {"changed": True}


def retire_secrets(state: SimulatorState, given: JsonObject) -> Any:
    """Ends the secrets that were kept."""
    return {"retired": state.retire_secrets(_known_app(state, given))}


def _known_app(state: SimulatorState, given: JsonObject) -> str:
    client_id = str(given.get("client_id") or state.initial.client_id)
    if client_id not in state.credentials.apps:
        raise ControlRefused(f"there is no app {client_id!r}")
    return client_id


def authorize_app(state: SimulatorState, given: JsonObject) -> Any:
    """Answer an app `unauthorized_client` with `authorized` false."""
    state.app.authorized = bool(given.get("authorized", True))
    return {"authorized": state.app.authorized}


def add_app(state: SimulatorState, given: JsonObject) -> Any:
    """A further app, with a refresh token of the default user."""
    app = state.credentials.add_app(text(given, "name"))
    grant = state.credentials.add_grant(app.client_id, str(given.get("user", "default")))
    return {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": grant.token}


def revoke(state: SimulatorState, given: JsonObject) -> Any:
    """Revokes one `refresh_token` or all; with `access_tokens` true, their access tokens die too."""
    return {"revoked": state.revoke(given.get("refresh_token"), access_tokens=bool(given.get("access_tokens")))}


def advance(state: SimulatorState, given: JsonObject) -> Any:
    """Time moves on by `advance` seconds and `days`, or `to` a day that is to come."""
    seconds = float(given.get("advance", 0)) + DAY * float(given.get("days", 0))
    if "to" in given:
        seconds = moment_of(text(given, "to")) - state.today()
    if seconds < 0:
        raise ControlRefused("time does not go back; POST /control/reset brings back the start")
    state.advance(seconds)
    return show_clock(state, {})


def show_clock(state: SimulatorState, given: JsonObject) -> Any:
    """How far time was moved on, and the date that it is."""
    return {"advanced": state.advanced, "today": as_text(state.today())}


def show_consents(state: SimulatorState, given: JsonObject) -> Any:
    """Every refresh token: its owner, the start and end of its consent, and whether it is good."""
    return [_consent(state, grant) for grant in state.credentials.grants.values()]


def change_consents(state: SimulatorState, given: JsonObject) -> Any:
    """Says that the consent of one `refresh_token`, or of all, was given on `consented_on`; null: long ago."""
    if "consented_on" not in given:
        raise ControlRefused("'consented_on' is missing: a day, or null for a consent that has no end")
    consented_at = None if given["consented_on"] is None else moment_of(text(given, "consented_on"))
    return {"changed": state.credentials.set_consent(consented_at, given.get("refresh_token"))}


def _consent(state: SimulatorState, grant: Grant) -> JsonObject:
    end = end_of(grant.consented_at)
    return {
        "refresh_token": grant.token,
        "client_id": grant.client_id,
        "user": grant.user,
        "consented_at": None if grant.consented_at is None else as_text(grant.consented_at),
        "ends_at": None if end is None else as_text(end),
        "good": state.credentials.grant_is_good(grant),
    }


# --- The control API's actions on reports ----------------------------------------------------------------


def show_reports(state: SimulatorState, given: JsonObject) -> Any:
    """How many orders came, with which result, by whom; the newest orders and all reports."""
    store = state.reports
    return {
        "totals": store.book.totals(),
        "by_profile": store.book.by_profile(),
        "orders": list(store.book.newest),
        "reports": [_report(report) for report in store.reports.values()],
        "planned": [asdict(planned) for planned in store.planned],
    }


def _report(report: Report) -> JsonObject:
    made = report.order
    who = {"region": made.region, "user": made.caller.user, "advertiser": made.advertiser}
    return {"report_id": report.report_id, "kind": made.kind, "type": made.subject, **who, "stage": report.stage}


def plan_outcome(state: SimulatorState, given: JsonObject) -> Any:
    """Plans an `outcome` for the next `times` reports (1; null: all) that meet `type`, `name` and `profile`."""
    if given.get("outcome") not in get_args(Outcome):
        raise ControlRefused(f"outcome is one of {', '.join(get_args(Outcome))}")
    names = ("type", "name", "profile")
    patterns: dict[str, str] = {name: text(given, name) for name in names if name in given}
    planned = PlannedOutcome(given["outcome"], patterns, str(given.get("reason", FAILURE)), times_of(given, 1))
    state.reports.planned.append(planned)
    return asdict(planned)


def clear_outcomes(state: SimulatorState, given: JsonObject) -> Any:
    """Reports end as usual."""
    state.reports.planned.clear()
    return {"planned": 0}


# --- The control API -------------------------------------------------------------------------------------

Handler = Callable[[SimulatorState, JsonObject], Any]


async def serve_control(state: SimulatorState, about: JsonObject, request: web.BaseRequest) -> web.StreamResponse:
    """Any request to the control port. `about` is what `GET /` shows: addresses and credentials."""
    body = b"".join([piece async for piece in request.content.iter_any()])
    return await send(request, await answer_control(state, about, request, body), None)


async def answer_control(state: SimulatorState, about: JsonObject, request: web.BaseRequest, body: bytes) -> Answer:
    """The answer: 200 with JSON, or 400, 404 with `error`."""
    path, _ = split_target(request.raw_path)
    if path in ("/", "/control"):
        actions = sorted(f"{method} {path}" for method, path in ACTIONS)
        return json_answer({**about, "actions": actions})
    action = ACTIONS.get((request.method, path.rstrip("/")))
    if action is None:
        return json_answer({"error": f"there is no {request.method} {path}; GET /control lists what there is"}, 404)
    try:
        given = {**request.query, **read_object(body)}
        said = action(state, given)
        return json_answer(await said if inspect.isawaitable(said) else said)
    except (TypeError, ValueError) as error:
        return json_answer({"error": str(error)}, 400)


def read_object(body: bytes) -> JsonObject:
    """The request's JSON object; empty if there is no body."""
    value = json.loads(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise ControlRefused("the body must be a JSON object")
    return value


def show_requests(state: SimulatorState, given: JsonObject) -> Any:
    """The newest requests, oldest first; `last` bounds them, `listener` chooses among them."""
    chosen = [r for r in state.requests if given.get("listener") in (None, r.listener)]
    return [asdict(record) for record in chosen[-int(given.get("last", 100)) :]]


def show_refusals(state: SimulatorState, given: JsonObject) -> Any:
    """Counts by kind and the newest refusals, oldest first; `kind` or `owner` choose among them."""
    chosen = [
        r for r in state.refusals if given.get("kind") in (None, r.kind) and given.get("owner") in (None, r.owner)
    ]
    counts = state.counts()
    return {
        "total": counts["refusals"],
        "by_kind": counts["refusals_by_kind"],
        "by_owner": counts["refusals_by_owner"],
        "refusals": [asdict(record) for record in chosen],
    }


def add_fault(state: SimulatorState, given: JsonObject) -> Any:
    """Plans a fault: `{match, times, fault}`."""
    if "fault" not in given:
        raise ControlRefused("'fault' is missing")
    match, fault = parse_match(given.get("match", {})), parse_fault(given["fault"])
    return describe(state.faults.add(match, fault, times_of(given, None)))


def show_named_faults(state: SimulatorState, given: JsonObject) -> Any:
    """The faults that have a name: status, headers, body and delay of each."""
    return {
        name: {**_own_members(fault), "headers": dict(fault.headers), "delay": fault.delay}
        for name, fault in NAMED.items()
    }


def show_spend(state: SimulatorState, given: JsonObject) -> Any:
    """What the day would have cost: sums by profile, and the writes that succeeded; `last` bounds the writes."""
    last = given.get("last")
    return state.spend(None if last is None else int(last))


def clear_faults(state: SimulatorState, given: JsonObject) -> Any:
    """Nothing goes wrong any more."""
    state.faults.clear()
    return {"faults": 0}


def describe(entry: Planned) -> JsonObject:
    """A planned fault as JSON can carry it."""
    return {**asdict(entry), "fault": _own_members(entry.fault)}


def _own_members(fault: Fault) -> JsonObject:
    """The members of a fault that differ from the defaults."""
    return {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in asdict(fault).items()
        if value != getattr(Fault(), name)
    }


def change_settings(state: SimulatorState, given: JsonObject) -> Any:
    """Changes settings at run time."""
    state.change(**given)
    return {"changed": sorted(given)}


def reset(state: SimulatorState, given: JsonObject) -> Any:
    """Everything as at the start."""
    state.reset()
    return {"reset": True}


ACTIONS: dict[tuple[str, str], Handler] = {
    ("GET", "/_sim/spend"): show_spend,
    ("GET", "/control/counts"): lambda state, given: state.counts(),
    ("GET", "/control/requests"): show_requests,
    ("GET", "/control/refusals"): show_refusals,
    ("GET", "/control/faults"): lambda state, given: [describe(entry) for entry in state.faults.planned],
    ("GET", "/control/faults/named"): show_named_faults,
    ("POST", "/control/faults"): add_fault,
    ("DELETE", "/control/faults"): clear_faults,
    ("GET", "/control/limits"): show_limits,
    ("POST", "/control/limits"): add_limit,
    ("DELETE", "/control/limits"): clear_limits,
    ("GET", "/control/reports"): show_reports,
    ("POST", "/control/reports/outcomes"): plan_outcome,
    ("DELETE", "/control/reports/outcomes"): clear_outcomes,
    ("POST", "/control/tokens/expire"): lambda state, given: {"expired": state.credentials.expire_access_tokens()},
    ("POST", "/control/credentials/revoke"): revoke,
    ("POST", "/control/credentials/restore"): lambda state, given: {"restored": state.restore()},
    ("POST", "/control/app"): authorize_app,
    ("POST", "/control/app/secret"): set_secret,
    ("POST", "/control/app/secret/retire"): retire_secrets,
    ("POST", "/control/apps"): add_app,
    ("POST", "/control/users"): add_user,
    ("POST", "/control/profiles"): change_profiles,
    ("GET", "/control/ads-accounts"): show_ads_accounts,
    ("POST", "/control/ads-accounts"): change_ads_accounts,
    ("POST", "/control/connections/close"): close,
    ("POST", "/control/connections/freeze"): lambda state, given: {"frozen": state.freeze_connections()},
    ("POST", "/control/connections/thaw"): lambda state, given: {"thawed": state.thaw_connections()},
    ("POST", "/control/listeners"): listen,
    ("GET", "/control/consents"): show_consents,
    ("POST", "/control/consents"): change_consents,
    ("GET", "/control/clock"): show_clock,
    ("POST", "/control/clock"): advance,
    ("POST", "/control/settings"): change_settings,
    ("POST", "/control/reset"): reset,
}


# --- Faults and matches of the control API, read from JSON -------------------------------

CHOICES = {"abort": get_args(Point), "hang": get_args(Point), "rest": get_args(Rest), "framing": get_args(Framing)}
"""The words that these members can have."""


def parse_match(value: Any) -> Match:
    """A match from JSON."""
    return Match(**_known(Match, value))


def parse_fault(value: Any) -> Fault:
    """A fault from JSON: bodies as text, or as base64 in `body_base64` and its like; headers as pairs or object.

    With `named`, one of those that have a name, changed by what else is given.
    """
    if not isinstance(value, dict):
        raise ControlRefused("a fault is a JSON object")
    given = dict(value)
    name = given.pop("named", None)
    if name is not None and name not in NAMED:
        raise ControlRefused(f"no fault is named {name!r}; there are {', '.join(NAMED)}")
    changed = _fault_members(given)
    return Fault(**changed) if name is None else replace(NAMED[name], **changed)


def _fault_members(given: dict[str, Any]) -> dict[str, Any]:
    for name in ("body", "extra", "raw"):
        if f"{name}_base64" in given:
            given[name] = base64.b64decode(given.pop(f"{name}_base64"))
        elif isinstance(given.get(name), str):
            given[name] = given[name].encode()
    if "headers" in given:
        pairs = given["headers"].items() if isinstance(given["headers"], dict) else given["headers"]
        given["headers"] = tuple((str(name), str(content)) for name, content in pairs)
    for name, words in CHOICES.items():
        if given.get(name) not in (None, *words):
            raise ControlRefused(f"{name} is one of {', '.join(words)}, not {given[name]!r}")
    if "interim" in given:
        given["interim"] = tuple(int(status) for status in given["interim"])
    return _known(Fault, given)


def _known(kind: type[Match] | type[Fault], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ControlRefused("a match and a fault are JSON objects")
    names = [f.name for f in fields(kind)]
    for name in value:
        if name not in names:
            raise ControlRefused(f"{kind.__name__} has no {name!r}; it has {', '.join(names)}")
    return value
