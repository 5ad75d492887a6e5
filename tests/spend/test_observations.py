"""What is counted of judged writes: the numbers, their bounds, and what another process or a restart makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.events import SpendAmount, SpendJudgement, SpendMode, SpendRule, SpendVerdict, SpendViolation
from proxy.spend.observations import (
    KEPT_DAYS,
    MAX_CLIENTS,
    MAX_HELD_BACK,
    MAX_NAMES,
    MAX_RULES,
    OTHERS,
    ObservedWrite,
    SpendObservations,
    judged_write,
    read_judged,
    write_judged,
)
from proxy.spend.overview import held_back_entry, tally_entry
from tests.observability.test_metrics import finished

DAY = 86_400.0
NOW = 20_000 * DAY + 3_600
BUDGET = SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")


def over(*violations: SpendViolation, mode: SpendMode = SpendMode.OBSERVE) -> SpendJudgement:
    return SpendJudgement(mode, SpendVerdict.OVER, violations or (BUDGET,))


def unreadable(*names: str) -> SpendJudgement:
    return SpendJudgement(SpendMode.OBSERVE, SpendVerdict.UNREADABLE, unread=("It cannot be read.",), unknown=names)


WITHIN = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.WITHIN, largest=(SpendAmount(SpendRule.BID, "USD", "1.20"),))


def write(judged: SpendJudgement, at: float = NOW, client: str = "agent") -> ObservedWrite:
    return judged_write(finished(client=client, operation="CreateCampaigns"), judged, at)


def observed(*writes: ObservedWrite) -> SpendObservations:
    made = SpendObservations()
    for each in writes:
        made.note(each)
    return made


def stamp(at: float | None) -> str | None:
    return None if at is None else f"at {at:.0f}"


def entry(observations: SpendObservations, client: str = "agent") -> dict[str, Any]:
    return tally_entry(observations.clients().get(client), stamp, str)


def test_an_owner_sees_what_would_have_been_refused_and_why() -> None:
    """Writes by verdict, rules with violations, largest value and limit, unknown names by number, and since when."""
    smaller = BUDGET._replace(value="90.5", limit="200")
    made = observed(
        write(over(BUDGET, smaller)),
        write(WITHIN, NOW + 1),
        write(unreadable("field cap", "field cap", "tool x"), NOW + 2),
        write(unreadable("field cap"), NOW + 3),
    )
    assert entry(made) == {
        "since": stamp(NOW),
        "last": stamp(NOW + 3),
        "judged": {"within": 1, "over": 1, "unreadable": 2},
        "modes": {"enforce": {"within": 1}, "observe": {"over": 1, "unreadable": 2}},
        "violations": {"budget": 2},
        "rules": [
            {"rule": "bid", "currency": "USD", "violations": 0, "largest": "1.20", "limit": None},
            {"rule": "budget", "currency": "USD", "violations": 2, "largest": "500", "limit": "200"},
        ],
        "unknown": {"field cap": 2, "tool x": 1},
    }
    assert not any(entry(made, "other").values())


def test_what_cannot_be_read_next_to_a_violation_is_named() -> None:
    """An owner learns of all that would have been refused at once, and of nothing behind a write that can be read."""
    both = over()._replace(unread=("It cannot be read.",), unknown=("field campaigns[].cap",))
    found = entry(observed(write(both), write(over()), write(WITHIN)))
    assert (found["unknown"], found["violations"]) == ({"field campaigns[].cap": 1}, {"budget": 2})


def test_an_unreadable_write_without_a_name_counts_by_its_operation() -> None:
    """An owner has to know what to add to `allow`, whatever the reason was."""
    assert entry(observed(write(unreadable())))["unknown"] == {"operation CreateCampaigns": 1}


@pytest.mark.parametrize(
    ("values", "largest"), [(("9", "10"), "10"), (("10", "9.99"), "10"), (("paused", "archived"), "archived")]
)
def test_the_largest_amount_is_kept_and_of_words_the_last(values: tuple[str, str], largest: str) -> None:
    """Amounts are compared as numbers."""
    made = observed(*[write(over(BUDGET._replace(value=value))) for value in values])
    assert entry(made)["rules"][0]["largest"] == largest


def test_writes_that_were_held_back_are_shown_newest_first() -> None:
    """With the reasons, whether they were sent, and without secrets; those within limits are not among them."""
    refused = judged_write(finished(client="agent", operation="unknown", path="/x", attempts=0), unreadable(), NOW + 1)
    by_mcp = judged_write(finished(client="agent", operation="unknown", mcp_tools=("a", "b")), over(), NOW)
    made = observed(by_mcp, refused, write(WITHIN))
    first, second = (held_back_entry(each, stamp, lambda text: text.replace("500", "***")) for each in made.held_back())
    assert (first["operation"], first["sent"], first["verdict"]) == ("GET /x", False, "unreadable")
    assert first["unread"] == ["It cannot be read."]
    assert (second["operation"], second["sent"], second["mode"]) == ("a b", True, "observe")
    assert second["violations"] == [{**BUDGET.members, "value": "***"}]


def test_writes_within_their_limits_count_the_same_without_their_names() -> None:
    """Several clients write on several days, with values that grow and shrink, and more currencies than are kept."""
    amounts = [(f"{index % 50:03}", f"{value}") for index, value in enumerate((1, 1, 2, 1, 30, 4, *range(60)))]
    judged = [WITHIN._replace(largest=(SpendAmount(SpendRule.BUDGET, *each),)) for each in amounts]
    judged.append(WITHIN._replace(largest=tuple(each.largest[0] for each in judged)))
    by_name, by_client = SpendObservations(), SpendObservations()
    for index, each in enumerate(judged * 2):
        client, at = f"agent {index % 3}", NOW + index * DAY / 40
        by_name.note(write(each, at, client))
        by_client.note_within(client, each, at)
    assert by_client.to_document() == by_name.to_document()
    assert json.loads(json.dumps(by_client.to_document())) == by_client.to_document()


def test_days_that_are_over_are_forgotten() -> None:
    """Today and a week before it are summed up, whatever is noted last."""
    made = observed(*[write(over(), NOW + day * DAY) for day in range(KEPT_DAYS + 2)])
    assert entry(made)["judged"] == {"over": KEPT_DAYS}
    assert entry(made)["since"] == stamp(NOW + 2 * DAY)


def test_everything_is_bounded() -> None:
    """However many clients, currencies, names, violations and long texts there are, the numbers add up."""
    many = tuple(BUDGET._replace(currency=f"{number}", path="x" * 9000, value="7" * 9000) for number in range(90))
    made = SpendObservations()
    for number in range(150):
        made.note(write(over(*many[number % 80 :]), client=f"c{number}"))
        made.note(write(unreadable(f"field {number}", "y" * 9000)))
    clients = made.clients()
    assert len(clients) <= MAX_CLIENTS + 1
    assert sum(tally.judged.total() for tally in clients.values()) == 300
    assert max(len(tally.rules) for tally in clients.values()) <= MAX_RULES + len(SpendRule)
    assert len(clients["agent"].unknown) <= MAX_NAMES + 1
    assert clients["agent"].unknown[OTHERS] > 0
    assert len(made.held_back()) == MAX_HELD_BACK
    assert len(json.dumps(made.to_document())) < 2 << 20
    assert write(over(*many)).further == 70


JUDGEMENTS = st.sampled_from([over(), over(BUDGET, mode=SpendMode.ENFORCE), WITHIN, unreadable("field cap")])


@given(st.lists(st.tuples(JUDGEMENTS, st.integers(0, 3), st.sampled_from("ab"), st.booleans())))
def test_parts_that_are_added_up_are_the_whole(notes: list[tuple[SpendJudgement, int, str, bool]]) -> None:
    """What two processes count, after it was JSON, is what one would have counted; limits are the newest one's."""
    writes = [(write(judged, NOW + day * DAY, client), first) for judged, day, client, first in notes]
    whole = observed(*[each for each, _ in writes])
    parts = [observed(*[each for each, first in writes if first is side]) for side in (True, False)]
    sums = SpendObservations()
    for part in parts:
        sums.add(SpendObservations.read(json.loads(json.dumps(part.to_document()))), NOW)
    for client in "ab":
        assert entry(sums, client) == entry(whole, client)
    assert sorted(each.at for each in sums.held_back()) == sorted(each.at for each in whole.held_back())


@pytest.mark.parametrize("judged", [over(), WITHIN, unreadable("tool x")])
def test_a_judged_write_passes_a_channel(judged: SpendJudgement) -> None:
    """A worker sends it to its supervisor as JSON."""
    sent = write(judged)
    assert read_judged(json.loads(json.dumps(write_judged(sent)))) == sent


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"days": 3, "held_back": []}, {"days": {}, "held_back": [{}]}, {"days": {"d": {"c": {}}}}],
)
def test_a_document_that_cannot_be_read_counts_as_lost(document: object) -> None:
    """Another version may have written it; the program starts without it."""
    assert not SpendObservations.read(document)
    assert SpendObservations.read(document).held_back() == ()
