"""Which profiles a list shows, and that those which it hides may be used."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from proxy.simulator import SimulatorSettings
from proxy.simulator.profiles import PROGRAMS, Listing, ProfileBook
from tests.simulator.conftest import SimulatorClient

REPORT, EDIT, NEW, BILLING, STORE = (str(1_170_000_000_000_001 + number) for number in range(5))
"""The hidden profiles of na, by what makes them so."""

NA = "1110000000000001"


@pytest.fixture
def settings() -> SimulatorSettings:
    """Seven usual profiles and five hidden ones in each region."""
    return SimulatorSettings(profiles_per_region=7, hidden_profiles_per_region=5, clock=lambda: 1000.0)


async def listed(client: SimulatorClient, **query: str) -> list[str]:
    """The ids that a list shows."""
    reply = await client.ask("GET", f"/v2/profiles?{urlencode(query)}")
    assert reply.status == 200
    return [str(profile["profileId"]) for profile in reply.json()]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({}, []),
        ({"apiProgram": "campaign"}, []),
        ({"apiProgram": "campaign", "accessLevel": "view"}, []),
        ({"accessLevel": "edit"}, [EDIT]),
        ({"apiProgram": "report"}, [REPORT]),
        ({"apiProgram": "report", "accessLevel": "edit"}, [REPORT]),
        ({"apiProgram": "billing"}, [BILLING]),
        ({"apiProgram": "paymentMethod", "accessLevel": "view"}, [BILLING]),
        ({"apiProgram": "paymentMethod", "accessLevel": "edit"}, []),
        ({"apiProgram": "store"}, [STORE]),
        ({"apiProgram": "posts"}, [STORE]),
    ],
)
async def test_a_list_shows_what_the_rights_are_for(
    client: SimulatorClient, query: dict[str, str], shown: list[str]
) -> None:
    """The usual profiles show always; of the hidden ones those with rights for this program at this level."""
    assert await listed(client, **query) == [*client.simulator.profiles["na"], *shown]


async def test_no_list_shows_a_profile_without_a_campaign(client: SimulatorClient) -> None:
    """A profile is in no list until a first campaign was made, whatever the rights."""
    lists = [await listed(client, apiProgram=program) for program in PROGRAMS]
    assert NEW not in {profile for ids in lists for profile in ids}
    await client.control("POST", "/profiles", {"region": "na", "profile_id": NEW, "has_campaign": True})
    assert NEW in await listed(client)


@pytest.mark.parametrize("profile", [REPORT, EDIT, NEW, BILLING, STORE])
async def test_a_hidden_profile_can_be_used(client: SimulatorClient, profile: str) -> None:
    """Who knows its id may send it as Scope, and see it by its id."""
    used = await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=profile)
    shown = await client.ask("GET", f"/v2/profiles/{profile}")
    assert (used.status, shown.status) == (200, 200)
    assert profile in client.simulator.hidden_profiles["na"]


async def test_lists_can_be_narrowed_by_type_and_payment(client: SimulatorClient) -> None:
    """Types are joined by commas; the last of seven profiles cannot be paid for, and agencies have no such method."""
    every = client.simulator.profiles["na"]
    assert await listed(client, profileTypeFilter="seller,agency") == [every[i] for i in (0, 2, 3, 5, 6)]
    assert await listed(client, validPaymentMethodFilter="true") == [every[i] for i in (0, 1, 3, 4)]
    assert await listed(client, validPaymentMethodFilter="false") == [every[i] for i in (2, 5, 6)]
    profiles = (await client.ask("GET", "/v2/profiles")).json()
    assert [p["accountInfo"].get("validPaymentMethod") for p in profiles] == [True, True, None, True, True, None, False]


@pytest.mark.parametrize(
    "query",
    ["apiProgram=all", "accessLevel=admin", "profileTypeFilter=seller,buyer", "validPaymentMethodFilter=yes"],
)
async def test_a_value_that_there_is_not_is_refused(client: SimulatorClient, query: str) -> None:
    """Parameters have the values of the specification and no others."""
    assert (await client.ask("GET", f"/v2/profiles?{query}")).status == 400


async def test_rights_can_be_taken_away(client: SimulatorClient) -> None:
    """Without any rights a profile is in no list, and as Scope it is refused in Amazon's words."""
    await client.control("POST", "/profiles", {"region": "na", "profile_id": NA, "rights": {}})
    reply = await client.ask("GET", "/sd/campaigns", Amazon_Advertising_API_Scope=NA)
    assert (reply.status, reply.json()["details"]) == (401, f"Not authorized to access scope {NA}")
    assert NA not in await listed(client)


async def test_a_profile_is_made_as_it_is_wanted(client: SimulatorClient) -> None:
    """Kind, payment and rights of a new profile can be given."""
    given = {"region": "na", "profile_id": "77", "kind": "agency", "rights": {"report": ["view"]}}
    await client.control("POST", "/profiles", {**given, "valid_payment": False})
    (made,) = [p for p in (await client.ask("GET", "/v2/profiles?apiProgram=report")).json() if p["profileId"] == 77]
    assert made["accountInfo"]["type"] == "agency"
    assert "77" not in await listed(client)


@pytest.mark.parametrize(
    "given", [{"rights": []}, {"rights": {"all": ["view"]}}, {"rights": {"report": ["admin"]}}, {"kind": "buyer"}]
)
async def test_a_profile_without_sense_is_refused(client: SimulatorClient, given: dict[str, Any]) -> None:
    """Rights for a program or level that there is not, and another kind, are 400 with a sentence."""
    reply = await client.control("POST", "/profiles", {"region": "na", **given})
    assert reply.status == 400
    assert len(reply.json()["error"]) > 10


def test_nothing_is_hidden_unless_asked_for() -> None:
    """Without the setting, the usual list shows all that there is."""
    book = ProfileBook(3)
    assert book.hidden("na", "default") == []
    assert book.listed("na", "default") == book.listed("na", "default", Listing("report", "edit"))
