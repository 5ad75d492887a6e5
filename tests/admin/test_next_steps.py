"""Everything that may fail has a next step for the person at the console."""

from __future__ import annotations

import pytest

from proxy.admin.next_steps import STEPS_OF_REFUSALS, next_step
from proxy.events import Fault
from proxy.observability.request_metrics import refusal_slugs


@pytest.mark.parametrize("slug", sorted(refusal_slugs()))
def test_each_refusal_has_its_step(slug: str) -> None:
    """A whole sentence, also where the slug has none of its own."""
    assert next_step(503, slug, "").endswith(".")
    assert next_step(400, slug, "").endswith(".")


@pytest.mark.parametrize("fault", [*Fault, "content-too-large", "internal-error"])
def test_each_way_to_break_has_its_step(fault: str) -> None:
    """A word of `Fault`, or the slug of an error that could no longer be told."""
    assert next_step(200, "", fault).endswith(".")


@pytest.mark.parametrize("status", [0, 400, 401, 403, 404, 415, 429, 500, 503])
def test_each_status_of_amazons_has_its_step(status: int) -> None:
    """What Amazon answered says whose turn it is."""
    assert next_step(status, "", "").endswith(".")


def test_no_step_is_for_a_refusal_that_there_is_not() -> None:
    """A slug that was renamed takes its step along."""
    assert set(STEPS_OF_REFUSALS) <= refusal_slugs()


def test_the_proxys_own_answer_speaks_before_the_status() -> None:
    """429 of the proxy's budget is no 429 of Amazon's."""
    assert "requests_per_minute" in next_step(429, "budget-spent", "")
    assert "Amazon limits" in next_step(429, "", "")
    assert "requests_per_minute" not in next_step(200, "", "upstream-died")
