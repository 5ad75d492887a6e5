"""No line is longer than 4 kB, whatever an event holds, and what is cut says so."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import events
from proxy.observability.logs import Format, Logs, configure, is_news
from proxy.observability.shortening import CUT, MAX_LINE_BYTES, fit
from proxy.secret import Secret
from tests.observability.test_metrics import finished

KINDS = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
LONG = ("a" * 30_000, "\x00" * 20_000, "\U0001f600" * 9_000, "\\\"'" * 9_000, "é" * 9_000)


@pytest.fixture(params=["json", "console"])
def logs(request: pytest.FixtureRequest) -> Iterator[tuple[Logs, io.StringIO]]:
    """Logs in each form, from debug on, and what they write to."""
    stream = io.StringIO()
    form: Format = request.param
    made = configure(form=form, level="debug", access=True, stream=stream)
    yield made, stream
    made.close()


def filled(kind: type[events.Event], text: str) -> events.Event:
    """An event whose texts are this one, and whose lists hold it many times."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        many = (text, *["x" * 50] * 500)
        of_kind = {"str": text, "tuple[str, ...]": many, "bool": False, "NoticeOutcome": events.NoticeOutcome.SENT}
        values[field.name] = of_kind.get(str(field.type), 1)
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_fits_its_line(logs: tuple[Logs, io.StringIO], kind: type[events.Event]) -> None:
    """Long texts, long lists, whatever they take when they are escaped: one line each of at most 4,096 bytes."""
    made, stream = logs
    told = [event for event in (filled(kind, text) for text in LONG) if is_news(event)]
    for event in told:
        made.observe(event)
    assert made.flush()
    lines = stream.getvalue().encode("utf-8", "backslashreplace").splitlines(keepends=True)
    assert len(lines) >= len(told)
    assert [len(line) for line in lines if len(line) > MAX_LINE_BYTES] == []


def test_what_is_cut_says_so_and_the_rest_is_whole() -> None:
    """The long path loses its end; request id, status and refusal are there, in valid JSON."""
    stream = io.StringIO()
    made = configure(form="json", stream=stream)
    made.observe(finished(path="/" + "a" * 20_000, status=414, refusal="target-too-long", detail="Shorter."))
    assert made.flush()
    made.close()
    (line,) = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert line["path"].startswith("/aaa")
    assert line["path"].endswith(CUT)
    assert len(line["path"]) > 2000
    assert (line["status"], line["refusal"], line["detail"]) == (414, "target-too-long", "Shorter.")
    assert (line["request_id"], line["event"], line["level"]) == ("id-1", "request", "info")


def test_of_a_traceback_the_end_is_kept() -> None:
    """Its last line says what it was."""
    stream = io.StringIO()
    made = configure(form="json", stream=stream)
    made.observe(events.DefectMet("a place", "Traceback\n" * 2000 + "ValueError: the reason"))
    logging.getLogger("a.library").warning("x" * 9000)
    assert made.flush()
    made.close()
    defect, library = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert defect["traceback"].startswith(CUT)
    assert defect["traceback"].endswith("ValueError: the reason")
    assert defect["where"] == "a place"
    assert library["detail"].endswith(CUT)


def test_a_secret_is_masked_before_it_could_be_cut() -> None:
    """Wherever the cut falls: no half of a secret is left."""
    secret = "canary-secret-0123456789"
    for before in range(3700, 4100, 7):
        stream = io.StringIO()
        made = configure(form="json", stream=stream)
        made.redact([Secret(secret)])
        made.observe(events.DefectMet("b" * before + secret, ""))
        assert made.flush()
        made.close()
        assert "canary" not in stream.getvalue()


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=8),
        st.one_of(st.text(max_size=400), st.integers(), st.none(), st.lists(st.text(max_size=60), max_size=20)),
        max_size=8,
    )
)
def test_any_values_are_made_to_fit(values: dict[str, object]) -> None:
    """What fits stays as it is; what does not ends within the limit, with every key."""
    whole = json.dumps(values)
    line = fit(values, json.dumps, 300)
    assert json.loads(line).keys() == values.keys()
    assert line == whole if len(whole) <= 300 else len(line) <= 300


def test_a_line_that_no_cut_makes_short_stays_as_it_is() -> None:
    """Where nothing of the values is left to be cut, it is the rest of the line that is long."""
    assert fit({"count": 1, "name": ""}, lambda values: "x" * 400, 300) == "x" * 400
