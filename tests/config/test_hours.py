"""Hours of writes as a configuration names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.model.hours import HoursSpan, read_spans
from proxy.errors import ConfigurationError

FORM, DAY, TIME = (
    "is not a span of hours; write DAYS HH:MM-HH:MM",
    "names a day that there is not",
    "holds a time that no",
)
ORDER, ZONE = (
    "holds a span that does not begin before its end; a whole day is 00:00-24:00",
    "names an unknown time zone;",
)


def test_spans_are_read() -> None:
    """Days, ranges of days past Sunday, and a time zone for each."""
    text = " Mon,wed-fri  08:00-24:00 Europe/Berlin; sat-mon 22:00-06:00 "
    assert read_spans(text) == (
        HoursSpan(frozenset({0, 2, 3, 4}), 480, 1440, "Europe/Berlin"),
        HoursSpan(frozenset({5, 6, 0}), 1320, 360, ""),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", FORM),
        ("mon-fri 08:00-18:00;", FORM),
        ("mon-fri", FORM),
        ("mon-fri 8:00-18:00", FORM),
        ("mon-fri \u0660\u0668:00-18:00", FORM),
        ("mon 08:00-18:00 ../zone", FORM),
        ("mon-fri 08:00-18:60", TIME),
        ("mon-fri 08:00-24:01", TIME),
        ("mon-fri 08:00-08:00", ORDER),
        ("mon-fri 24:00-08:00", ORDER),
        ("mo-fri 08:00-18:00", DAY),
        ("mon-fr 08:00-18:00", DAY),
        ("mon- 08:00-18:00", DAY),
        ("mon,, 08:00-18:00", DAY),
        ("mon 08:00-18:00 Europe/Nowhere", ZONE),
        ("mon 08:00-18:00 UTC; sun 08:00-18:00 Nowhere", ZONE),
        ("mon 08:00-18:00 /etc/passwd", ZONE),
    ],
)
def test_what_is_no_hours_is_told(text: str, says: str) -> None:
    """The error says what is wrong, and what to write; the text itself may be a secret in the wrong place."""
    with pytest.raises(ValueError, match="^" + says.replace("(", r"\(")):
        read_spans(text)


def test_hours_are_told_with_all_other_problems(tmp_path: Path) -> None:
    """One run tells what is wrong in every client, in the form of a value and in its meaning."""
    spend = (
        "{hours: mon-fry 08:00-18:00}",
        "{hours: 'mon 08:00-25:00', mode: maybe}",
        "{hours: 'mon 08:00-18:00 Mars'}",
    )
    clients = "".join(f"  - {{name: c{n}, key_sha256: {n:064}, spend: {text}}}\n" for n, text in enumerate(spend))
    path = tmp_path / "proxy.yaml"
    path.write_text(f"listen: x\naccounts: {{a: {{client_id: x, client_secret: y}}}}\nclients:\n{clients}")
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    assert sorted(problem.partition(": ")[0] for problem in raised.value.problems) == [
        "clients[0].spend.hours",
        "clients[1].spend.hours",
        "clients[1].spend.mode",
        "clients[2].spend.hours",
        "listen",
    ]
