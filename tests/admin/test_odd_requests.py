"""What no browser sends: every odd request is answered 2xx to 4xx, and is no defect."""

from __future__ import annotations

import asyncio

import pytest

from proxy.admin.guard import is_own_origin
from proxy.admin.view import AccessRules
from proxy.events import DefectMet
from proxy.secret import Secret
from tests.admin.fixtures import KEY, FakeProgram, administer
from tests.support.odd_requests import ODD_TEXTS, odd_requests, status_of
from tests.support.patience import PATIENCE


async def answer_of(port: int, data: bytes) -> bytes:
    """Everything that comes back until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.long
@pytest.mark.parametrize("key", [None, KEY])  # with a key, most end at it
async def test_odd_requests_are_no_defects(key: Secret | None) -> None:
    """More than a thousand of them, on real sockets, with an admin key and without."""
    program = FakeProgram(rules=AccessRules(key, True, "127.0.0.1"))
    requests = odd_requests()
    async with administer(program) as admin:
        statuses = [status_of(await answer_of(admin.port, request)) for request in requests]
    odd = [(status, request[:120]) for status, request in zip(statuses, requests, strict=True) if status < 200]
    failed = [(status, request[:120]) for status, request in zip(statuses, requests, strict=True) if status >= 500]
    assert len(requests) > 1000
    assert (odd, failed) == ([], [])
    assert [event for event in program.seen if isinstance(event, DefectMet)] == []


@pytest.mark.parametrize("origin", ODD_TEXTS)
def test_an_odd_origin_is_another_ones(origin: str) -> None:
    """An origin that no parser accepts is foreign as well."""
    assert not is_own_origin(origin, "127.0.0.1:8081")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8081", "HTTP://127.0.0.1:8081", "https://127.0.0.1:8081"])
def test_the_listeners_own_origin_is_known(origin: str) -> None:
    """Whatever ends TLS before it, and in any case."""
    assert is_own_origin(origin, "127.0.0.1:8081")


async def test_a_defects_place_is_short() -> None:
    """However long the path was: the event names its beginning."""
    program = FakeProgram()
    async with administer(program) as admin:
        program.statuses = None  # type: ignore[assignment]  # so that whoever reads it fails
        path = b"/login/" + b"a" * 4000
        answer = await answer_of(admin.port, b"GET %b HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n" % path)
    (defect,) = program.seen
    assert (status_of(answer), b"aaaa" in answer) == (500, False)
    assert isinstance(defect, DefectMet)
    assert defect.where == f"admin GET /login/{'a' * 193}"
