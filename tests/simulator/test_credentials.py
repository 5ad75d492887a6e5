"""Consents that expire: which do, when, and the answer of Login with Amazon then."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.simulator import Simulator, SimulatorSettings
from proxy.simulator.__main__ import read_arguments
from proxy.simulator.credentials import as_text, end_of, moment_of
from tests.simulator.conftest import SimulatorClient
from tests.simulator.test_lwa import exchange, landed, sign_in_page

TODAY = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
OVER = "User may have revoked or didn't grant the permission."


@pytest.fixture
def settings() -> SimulatorSettings:
    """Settings whose clocks do not move, on a day of November 2026."""
    return SimulatorSettings(clock=lambda: 1000.0, calendar=lambda: TODAY)


async def signed_in(client: SimulatorClient) -> str:
    """A refresh token by a sign-in of today."""
    code = landed(await sign_in_page(client))["code"]
    token: str = (await client.form(exchange(client, code))).json()["refresh_token"]
    return token


@pytest.mark.parametrize(
    ("consented_on", "end"),
    [
        (None, None),
        ("2026-06-29", None),
        ("2026-06-29T23:59:59", None),
        ("2026-06-30", "2027-06-30T00:00:00Z"),
        ("2026-07-01T12:30:00", "2027-07-01T12:30:00Z"),
        ("2027-06-01", "2028-05-31T00:00:00Z"),
    ],
)
def test_a_consent_ends_after_365_days_or_never(consented_on: str | None, end: str | None) -> None:
    """Only consents of 30 June 2026 and later expire, counted in days and not in years."""
    found = end_of(None if consented_on is None else moment_of(consented_on))
    assert (found and as_text(found)) == end


async def test_a_sign_in_of_today_holds_for_a_year(client: SimulatorClient) -> None:
    """The token is good in the last second and over in the next, in the words of Login with Amazon."""
    token = await signed_in(client)
    client.simulator.state.advance(365 * 86_400 - 1)
    last = await client.refresh(refresh_token=token)
    client.simulator.state.advance(1)
    over = await client.refresh(refresh_token=token)
    assert (last.status, over.status, over.json()["error"]) == (200, 400, "invalid_grant")
    assert over.json()["error_description"] == OVER


async def test_use_and_rotation_do_not_extend_a_consent(client: SimulatorClient) -> None:
    """A refresh token that was issued for another ends with the consent behind both."""
    client.simulator.state.change(rotation="at_once")
    token = await signed_in(client)
    client.simulator.state.advance(364 * 86_400)
    successor = (await client.refresh(refresh_token=token)).json()["refresh_token"]
    client.simulator.state.advance(86_400)
    assert (await client.refresh(refresh_token=successor)).json()["error_description"] == OVER


async def test_an_old_consent_has_no_end(client: SimulatorClient) -> None:
    """The first refresh token is of a consent before the cut-off, unless something else is said."""
    client.simulator.state.advance(10 * 365 * 86_400)
    assert (await client.refresh()).status == 200


async def test_day_of_consent_is_a_setting(settings: SimulatorSettings) -> None:
    """A simulator can start with a token whose consent is over."""
    async with Simulator(dataclasses.replace(settings, consented_on="2026-07-01")) as simulator:
        grant = simulator.state.credentials.grants[simulator.refresh_token]
        assert simulator.state.credentials.grant_is_good(grant)
        simulator.state.advance(moment_of("2027-07-01") - TODAY)
        assert not simulator.state.credentials.grant_is_good(grant)


async def test_an_end_by_age_is_told_from_a_revocation(client: SimulatorClient) -> None:
    """Both are invalid_grant; their descriptions differ."""
    await client.control("POST", "/consents", {"consented_on": "2026-07-01"})
    client.simulator.state.revoke()
    revoked = (await client.refresh()).json()
    await client.control("POST", "/clock", {"to": "2027-07-01"})
    ended = (await client.refresh()).json()
    assert revoked["error"] == ended["error"] == "invalid_grant"
    assert revoked["error_description"] != ended["error_description"] == OVER


async def test_consents_are_shown_and_set(client: SimulatorClient) -> None:
    """The day of one token's consent, or of all, can be set; the list tells when each ends and whether it is good."""
    token = await signed_in(client)
    assert (await client.control("POST", "/consents", {"consented_on": "2026-07-01"})).json() == {"changed": 2}
    await client.control("POST", "/consents", {"refresh_token": token, "consented_on": None})
    first, second = (await client.control("GET", "/consents")).json()
    assert (first["consented_at"], first["ends_at"]) == ("2026-07-01T00:00:00Z", "2027-07-01T00:00:00Z")
    assert (second["consented_at"], second["ends_at"], second["user"]) == (None, None, "default")
    await client.control("POST", "/clock", {"to": "2027-07-01"})
    assert [entry["good"] for entry in (await client.control("GET", "/consents")).json()] == [False, True]


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"advance": 60}, "2026-11-25T00:01:00Z"),
        ({"days": 1.5}, "2026-11-26T12:00:00Z"),
        ({"to": "2027-01-01"}, "2027-01-01T00:00:00Z"),
    ],
)
async def test_clock_moves_on(client: SimulatorClient, given: dict[str, Any], today: str) -> None:
    """By seconds, by days, or to a day that is to come."""
    assert (await client.control("POST", "/clock", given)).json()["today"] == today
    assert (await client.control("GET", "/clock")).json()["today"] == today


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/clock", {"to": "2026-11-24"}),
        ("/clock", {"to": "tomorrow"}),
        ("/clock", {"advance": -1}),
        ("/consents", {}),
        ("/consents", {"consented_on": "yesterday"}),
    ],
)
async def test_time_without_sense_is_refused(client: SimulatorClient, path: str, given: dict[str, Any]) -> None:
    """Time does not go back, and a day is a date."""
    reply = await client.control("POST", path, given)
    assert reply.status == 400
    assert len(reply.json()["error"]) > 10


def test_day_of_consent_on_the_command_line_is_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    """A day is taken as it is; what is none ends the program with a word about it."""
    assert read_arguments(["--consented-on", "2026-07-01"]).consented_on == "2026-07-01"
    with pytest.raises(SystemExit):
        read_arguments(["--consented-on", "soon"])
    assert "'soon' is no day" in capsys.readouterr().err


async def test_no_token_is_longer_than_the_longest(client: SimulatorClient, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a setting nor the command line makes one longer."""
    told = "token_length is a whole number from 0 to 2048"
    reply = await client.control("POST", "/settings", {"token_length": 2049})
    assert (reply.status, reply.json()) == (400, {"error": told})
    with pytest.raises(SystemExit):
        read_arguments(["--token-length", "2049"])
    assert told in capsys.readouterr().err
