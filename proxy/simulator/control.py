"""The control API: the HTTP side of `state`, for tests in other processes and for people with curl."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proxy.simulator import control_connections, control_limits
from proxy.simulator.answers import Answer, json_answer
from proxy.simulator.control_accounts import add_user, change_ads_accounts, change_profiles, show_ads_accounts
from proxy.simulator.control_login import (
    add_app,
    advance,
    authorize_app,
    change_consents,
    retire_secrets,
    revoke,
    set_secret,
    show_clock,
    show_consents,
)
from proxy.simulator.exchange import split_target
from proxy.simulator.fault_reading import FaultUnclear, parse_fault, parse_match
from proxy.simulator.given import ControlRefused, Given
from proxy.simulator.ledger import plain
from proxy.simulator.named_faults import NAMED
from proxy.simulator.state import SettingUnknown, SimulatorState
from proxy.simulator.writing import send

if TYPE_CHECKING:
    from aiohttp import web

    from proxy.simulator.faults import Planned


Handler = Callable[[SimulatorState, Given], Any]


async def serve_control(state: SimulatorState, about: Given, request: web.BaseRequest) -> web.StreamResponse:
    """Any request to the control port. `about` is what `GET /` shows: addresses and credentials."""
    body = b"".join([piece async for piece in request.content.iter_any()])
    return await send(request, await answer_control(state, about, request, body), None)


async def answer_control(state: SimulatorState, about: Given, request: web.BaseRequest, body: bytes) -> Answer:
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
    except (ControlRefused, FaultUnclear, SettingUnknown, TypeError, ValueError) as error:
        return json_answer({"error": str(error)}, 400)


def read_object(body: bytes) -> Given:
    """The request's JSON object; empty if there is no body."""
    value = json.loads(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise ControlRefused("the body must be a JSON object")
    return value


def show_requests(state: SimulatorState, given: Given) -> Any:
    """The newest requests, oldest first; `last` bounds them, `listener` chooses among them."""
    chosen = [r for r in state.requests if given.get("listener") in (None, r.listener)]
    return [plain(record) for record in chosen[-int(given.get("last", 100)) :]]


def show_refusals(state: SimulatorState, given: Given) -> Any:
    """Counts by kind and the newest refusals, oldest first; `kind` or `owner` choose among them."""
    chosen = [
        r for r in state.refusals if given.get("kind") in (None, r.kind) and given.get("owner") in (None, r.owner)
    ]
    counts = state.counts()
    return {
        "total": counts["refusals"],
        "by_kind": counts["refusals_by_kind"],
        "by_owner": counts["refusals_by_owner"],
        "refusals": [plain(record) for record in chosen],
    }


def show_faults(state: SimulatorState, given: Given) -> Any:
    """All planned faults, and how often each happened."""
    return [describe(entry) for entry in state.faults.planned]


def add_fault(state: SimulatorState, given: Given) -> Any:
    """Plans a fault: `{match, times, fault}`."""
    if "fault" not in given:
        raise ControlRefused("'fault' is missing")
    times = given.get("times")
    if times is not None and (not isinstance(times, int) or times < 1):
        raise ControlRefused("'times' is a whole number from 1, or null for always")
    return describe(state.faults.add(parse_match(given.get("match", {})), parse_fault(given["fault"]), times))


def show_named_faults(state: SimulatorState, given: Given) -> Any:
    """The faults that have a name: status, headers and body of each."""
    return {
        name: {
            "status": fault.status,
            "headers": dict(fault.headers),
            "body": fault.body.decode(),
            "delay": fault.delay,
        }
        for name, fault in NAMED.items()
    }


def clear_faults(state: SimulatorState, given: Given) -> Any:
    """Nothing goes wrong any more."""
    state.faults.clear()
    return {"faults": 0}


def describe(entry: Planned) -> Given:
    """A planned fault as JSON can carry it."""
    fault = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in dataclasses.asdict(entry.fault).items()
        if value != _default(entry, name)
    }
    match = dataclasses.asdict(entry.match)
    return {"number": entry.number, "match": match, "fault": fault, "left": entry.left, "happened": entry.happened}


def _default(entry: Planned, name: str) -> Any:
    return next(f.default for f in dataclasses.fields(entry.fault) if f.name == name)


def change_settings(state: SimulatorState, given: Given) -> Any:
    """Changes settings at run time."""
    state.change(**given)
    return {"changed": sorted(given)}


def reset(state: SimulatorState, given: Given) -> Any:
    """Everything as at the start."""
    state.reset()
    return {"reset": True}


ACTIONS: dict[tuple[str, str], Handler] = {
    ("GET", "/control/counts"): lambda state, given: state.counts(),
    ("GET", "/control/requests"): show_requests,
    ("GET", "/control/refusals"): show_refusals,
    ("GET", "/control/faults"): show_faults,
    ("GET", "/control/faults/named"): show_named_faults,
    ("POST", "/control/faults"): add_fault,
    ("DELETE", "/control/faults"): clear_faults,
    ("GET", "/control/limits"): control_limits.show_limits,
    ("POST", "/control/limits"): control_limits.add_limit,
    ("DELETE", "/control/limits"): control_limits.clear_limits,
    ("POST", "/control/tokens/expire"): lambda state, given: {"expired": state.expire_access_tokens()},
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
    ("POST", "/control/connections/close"): control_connections.close,
    ("POST", "/control/connections/freeze"): control_connections.freeze,
    ("POST", "/control/connections/thaw"): control_connections.thaw,
    ("POST", "/control/listeners"): control_connections.listen,
    ("GET", "/control/consents"): show_consents,
    ("POST", "/control/consents"): change_consents,
    ("GET", "/control/clock"): show_clock,
    ("POST", "/control/clock"): advance,
    ("POST", "/control/settings"): change_settings,
    ("POST", "/control/reset"): reset,
}
