"""The control API's actions on users and on what their logins reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.given import ControlRefused, Given, text
from proxy.simulator.settings import REGIONS

if TYPE_CHECKING:
    from proxy.simulator.state import SimulatorState


def change_profiles(state: SimulatorState, given: Given) -> Any:
    """`action` add or remove, `region`, `profile_id`, and for add `user`."""
    region = text(given, "region")
    if region not in REGIONS:
        raise ControlRefused(f"region {region!r} is not one of {', '.join(REGIONS)}")
    profile_id = None if given.get("profile_id") is None else str(given["profile_id"])
    if given.get("action", "add") == "add":
        return state.add_profile(region, profile_id, str(given.get("user", "default"))).as_json()
    if given["action"] != "remove" or profile_id is None:
        raise ControlRefused("action is 'add', or 'remove' with a profile_id")
    return {"removed": state.remove_profile(region, profile_id)}


def add_user(state: SimulatorState, given: Given) -> Any:
    """A further user, who has profiles of its own."""
    user, per_region = text(given, "user"), int(given.get("profiles_per_region", 1))
    token = state.add_user(user, per_region, given.get("client_id"))
    profiles = {region: [p.profile_id for p in state.profiles.listed(region, user)] for region in REGIONS}
    return {"user": user, "refresh_token": token, "profiles": profiles}
