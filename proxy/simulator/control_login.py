"""The control API's actions on apps, consents and the clock by which they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.consents import as_text, end_of, moment_of
from proxy.simulator.given import ControlRefused, Given, text

if TYPE_CHECKING:
    from proxy.simulator.credentials import Grant
    from proxy.simulator.state import SimulatorState

DAY = 86_400


def set_secret(state: SimulatorState, given: Given) -> Any:
    """Changes an app's secret; with `keep_old` true, the old one stays good beside it."""
    client_id = _known_app(state, given)
    state.set_client_secret(text(given, "client_secret"), client_id, keep_old=bool(given.get("keep_old")))
    return {"changed": True}


def retire_secrets(state: SimulatorState, given: Given) -> Any:
    """Ends the secrets that were kept."""
    return {"retired": state.retire_secrets(_known_app(state, given))}


def _known_app(state: SimulatorState, given: Given) -> str:
    client_id = str(given.get("client_id") or state.initial.client_id)
    if client_id not in state.credentials.apps:
        raise ControlRefused(f"there is no app {client_id!r}")
    return client_id


def authorize_app(state: SimulatorState, given: Given) -> Any:
    """With `authorized` false, an app is told `unauthorized_client`."""
    state.app.authorized = bool(given.get("authorized", True))
    return {"authorized": state.app.authorized}


def add_app(state: SimulatorState, given: Given) -> Any:
    """A further app, with a refresh token of the default user."""
    app = state.credentials.add_app(text(given, "name"))
    grant = state.credentials.add_grant(app.client_id, str(given.get("user", "default")))
    return {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": grant.token}


def revoke(state: SimulatorState, given: Given) -> Any:
    """Revokes one `refresh_token` or all; with `access_tokens` true, their access tokens die too."""
    return {"revoked": state.revoke(given.get("refresh_token"), access_tokens=bool(given.get("access_tokens")))}


def advance(state: SimulatorState, given: Given) -> Any:
    """Time moves on by `advance` seconds and `days`, or `to` a day that is to come."""
    seconds = float(given.get("advance", 0)) + DAY * float(given.get("days", 0))
    if "to" in given:
        seconds = moment_of(text(given, "to")) - state.today()
    if seconds < 0:
        raise ControlRefused("time does not go back; POST /control/reset brings back the start")
    state.advance(seconds)
    return show_clock(state, {})


def show_clock(state: SimulatorState, given: Given) -> Any:
    """How far time was moved on, and the date that it is."""
    return {"advanced": state.advanced, "today": as_text(state.today())}


def show_consents(state: SimulatorState, given: Given) -> Any:
    """Every refresh token: whose it is, when its consent was given and when it ends, and whether it is good."""
    return [_consent(state, grant) for grant in state.credentials.grants.values()]


def change_consents(state: SimulatorState, given: Given) -> Any:
    """Says that the consent of one `refresh_token`, or of all, was given on `consented_on`; null: long ago."""
    if "consented_on" not in given:
        raise ControlRefused("'consented_on' is missing: a day, or null for a consent that has no end")
    consented_at = None if given["consented_on"] is None else moment_of(text(given, "consented_on"))
    return {"changed": state.credentials.set_consent(consented_at, given.get("refresh_token"))}


def _consent(state: SimulatorState, grant: Grant) -> Given:
    end = end_of(grant.consented_at)
    return {
        "refresh_token": grant.token,
        "client_id": grant.client_id,
        "user": grant.user,
        "consented_at": None if grant.consented_at is None else as_text(grant.consented_at),
        "ends_at": None if end is None else as_text(end),
        "good": state.credentials.grant_is_good(grant),
    }
