"""The cases are fair: what nginx and HAProxy both fail is listed here with its reason, or is a fault of the case."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.__main__ import judge_target
from tests.conformance.cases import CASES
from tests.support.programs import require_program

pytestmark = [pytest.mark.conformance, pytest.mark.integration, pytest.mark.nginx, pytest.mark.haproxy]

SCORED = tuple(case for case in CASES if not case.strict)
HOST = "RFC 9112, 3.2 wants 400 for an invalid Host value; both look no further than they need for routing"
LISTED = "RFC 9110, 7.6.1 has intermediaries remove what Connection lists; neither does"
STATUS = "RFC 9112, 4 has three digits, the first from 1 to 5; both pass other numbers on as they came"
INTERIM = "RFC 9110, 15.2 forbids interim answers to HTTP/1.0 clients; both pass them on"
FAILED_BY_BOTH = {
    "host-invalid-127.0.0.1~3a99x": HOST,
    "host-invalid-127.0.0.1~3a-1": HOST,
    "host-invalid-127.0.0.1~3a80~3a80": HOST,
    "host-invalid-~3clocalhost~3e": HOST,
    "hop-listed-X-Hop": LISTED,
    "hop-listed-x-hop": LISTED,
    "hop-listed-close,~20X-Hop": LISTED,
    "hop-listed-X-Hop,~20close": LISTED,
    "hop-listed-keep-alive,X-Hop": LISTED,
    "hop-listed-,~20X-Hop~20,": LISTED,
    "hop-listed-X-Hop~09,~09X-Other": LISTED,
    "hop-listed-repeated": LISTED,
    "answer-hop-listed": LISTED,
    "status-bad-HTTP~2f1.1~2020~20OK": STATUS,
    "status-bad-HTTP~2f1.1~202000~20OK": STATUS,
    "status-bad-HTTP~2f1.1~20000~20OK": STATUS,
    "status-bad-HTTP~2f1.1~20099~20OK": STATUS,
    "interim-old-100": INTERIM,
    "interim-old-102": INTERIM,
    "interim-old-103": INTERIM,
    "interim-old-199": INTERIM,
}
LEAST = 0.9
"""The part of the scored cases that each of the two passes at least; far below it, the harness is broken."""


async def failed_by(*names: str) -> list[set[str]]:
    """The ids of the cases that each of these proxies fails, tried side by side."""
    verdicts = await asyncio.gather(*(judge_target(name, SCORED, ours=False) for name in names))
    return [{case_id for case_id, complaints in verdict.items() if complaints} for verdict in verdicts]


def test_no_case_is_failed_by_both_without_a_reason() -> None:
    """A case that the two most used proxies fail alike is suspect until its reason is written down."""
    require_program("nginx")
    require_program("haproxy")
    nginx, haproxy = asyncio.run(failed_by("nginx", "haproxy"))
    assert nginx & haproxy <= FAILED_BY_BOTH.keys()
    for failed in (nginx, haproxy):
        assert len(failed) < len(SCORED) * (1 - LEAST), sorted(failed)


def test_the_reasons_are_about_cases_that_exist() -> None:
    """A renamed case takes its reason along."""
    assert FAILED_BY_BOTH.keys() <= {case.id for case in SCORED}
