"""What a limited client's session id says, and that nobody else can use or change it."""

from __future__ import annotations

import base64
import json

import pytest

from proxy.errors import SessionElsewhere
from proxy.mcp.fixed_sessions import FixedSessions, fixing_account
from proxy.routing.mcp_session import FixedAccount, McpSession
from tests.support.deciding import fields

SESSIONS = FixedSessions(b"a key")
SESSION = McpSession("agent", "acme", "eu", FixedAccount(profile=b"123"))
ID = SESSIONS.write(SESSION, b"amazons-own")


@pytest.mark.parametrize("fixed", [FixedAccount(profile=b"123"), FixedAccount(ads_account=b"amzn1.ads-account.g.x")])
def test_an_id_says_whose_session_it_is_and_for_whom(fixed: FixedAccount) -> None:
    """With Amazon's own id, of whatever bytes that is; the same session has the same id each time."""
    session = McpSession("agent", "acme", "eu", fixed)
    text = SESSIONS.write(session, b"\xff own")
    assert SESSIONS.read(text, "agent") == (session, b"\xff own")
    assert text == SESSIONS.write(session, b"\xff own")
    assert text.isascii() and text.decode().isprintable() and b" " not in text


def test_another_client_gets_the_answer_for_an_unknown_session() -> None:
    """The two are not told apart."""
    said = []
    for text, client in ((ID, "other"), (b"never-given-out", "agent")):
        with pytest.raises(SessionElsewhere) as caught:
            SESSIONS.read(text, client)
        said.append(caught.value.detail)
    assert said[0] == said[1]


PAYLOAD, SIGNATURE = ID.removeprefix(b"ap1.").split(b".")
FORGED = base64.urlsafe_b64encode(json.dumps(["agent", "acme", "eu", "124", "", "amazons-own"]).encode()).rstrip(b"=")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"amazons-own",
        b"ap1.",
        b"ap1..",
        ID[:-1],
        ID + b"=",
        ID.removeprefix(b"ap1."),
        b"ap1." + FORGED + b"." + SIGNATURE,
        b"ap1." + FORGED + b".",
        b"ap2." + PAYLOAD + b"." + SIGNATURE,
        b"Atza|ap1." + PAYLOAD + b"." + SIGNATURE,
        FixedSessions(b"another key").write(SESSION, b"amazons-own"),
        SESSIONS.write(SESSION, b"x" * 8192),
    ],
)
def test_what_was_not_given_out_is_unknown(text: bytes) -> None:
    """Ids of Amazon's own, changed ones, those of another proxy, and those that are too long."""
    with pytest.raises(SessionElsewhere):
        SESSIONS.read(text, "agent")


def test_the_key_is_not_shown() -> None:
    """Not in a log either."""
    assert repr(SESSIONS) == "FixedSessions(***)"


def test_a_fixed_account_takes_the_place_of_what_names_one() -> None:
    """Whatever else the client sent passes as it came, and Amazon's own session id comes last."""
    others = (b"Accept: */*", b"MCP-Protocol-Version: 2025-06-18", b"User-Agent: x", b"X-Trace: 1")
    named = (b"Mcp-Session-Id: proxys", b"Amazon-Ads-AccountId: amzn1.a", b"Amazon-Ads-AI-Account-Selection-Mode: X")
    read = fields(*others[:2], *named, *others[2:])
    assert fixing_account(read, b"amazons").passing.splitlines() == [*others, b"Mcp-Session-Id: amazons"]
    assert fixing_account(read, b"").passing.splitlines() == [*others]
