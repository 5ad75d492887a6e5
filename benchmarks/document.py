"""What the benchmark writes into docs/explanation/performance.md, its picture and docs/development/benchmarks.md."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from benchmarks.checkout import ROOT
from benchmarks.findings import Findings
from benchmarks.processes import BenchmarkError
from benchmarks.report import missed_goals, summary
from benchmarks.scenarios import ONE_TARGET
from benchmarks.speed import UPSTREAM

DOCUMENT = ROOT / "docs" / "explanation" / "performance.md"
DETAILS = ROOT / "docs" / "development" / "benchmarks.md"
PICTURE = ROOT / "docs" / "explanation" / "performance.svg"
_LINE, _NAMES, _BARS = 26, 220, 420


def with_findings(text: str, findings: str) -> str:
    """The document with this between its markers."""
    return _between("measured", text, findings)


def with_goals(text: str, goals: str) -> str:
    """The document with the missed goals between its markers."""
    return _between("judged", text, goals)


def with_profile(text: str, table: str) -> str:
    """The document with the table of where the time goes between its markers."""
    return _between("profiled", text, table)


def _between(what: str, text: str, new: str) -> str:
    marked = re.compile(rf"(<!-- {what}: [^\n]*-->\n).*?(<!-- end of what was {what} -->)", re.DOTALL)
    if not marked.search(text):
        raise BenchmarkError(f"the page has no markers of what was {what}")
    return marked.sub(lambda found: f"{found[1]}\n{new}\n\n{found[2]}", text)


def picture(findings: Findings) -> str:
    """CPU per request of each contender in the first scenario, as bars; the line on each goes from the least to the
    most."""
    rows = {
        name: sorted(sample.cpu * 1e6 for sample in found)
        for (scenario, name), found in findings.samples.items()
        if scenario == ONE_TARGET.name and name != UPSTREAM
    }
    # One that takes ten times the others would leave no room for them.
    longest = sorted(values[-1] for values in rows.values())
    scale = _BARS / min(longest[-1], 4 * statistics.median(longest))
    lines = [_bar(place, name, values, scale) for place, (name, values) in enumerate(rows.items())]
    size = f'width="{_NAMES + _BARS + 140}" height="{_LINE * (len(rows) + 2)}"'
    title = f'<text x="8" y="18">CPU per request, microseconds ({ONE_TARGET.name}, 1 KiB; less is better)</text>'
    style = "<style>text{font:13px sans-serif;fill:#777}</style>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{style}\n{title}\n' + "\n".join(lines) + "\n</svg>\n"


def _bar(place: int, name: str, values: list[float], scale: float) -> str:
    top = _LINE * (place + 1) + 8
    middle = statistics.median(values)
    least, most, length = (min(value * scale, _BARS) for value in (values[0], values[-1], middle))
    cut = " (the bar is cut)" if middle * scale > _BARS else ""
    color = "#c60" if name.startswith("ads-proxy") else "#69b"
    return (
        f'<text x="8" y="{top + 13}">{name}</text>'
        f'<rect x="{_NAMES}" y="{top}" width="{length:.1f}" height="16" fill="{color}"/>'
        f'<path d="M{_NAMES + least:.1f} {top + 8}H{_NAMES + most:.1f}" stroke="#222"/>'
        f'<text x="{_NAMES + max(length, most) + 6:.1f}" y="{top + 13}">{middle:.1f}{cut}</text>'
    )


def write(findings: Findings) -> tuple[Path, ...]:
    """Write the two pages and the picture, or the pages alone if the picture would be empty; returns the written
    files."""
    DOCUMENT.write_text(with_findings(DOCUMENT.read_text(), summary(findings)))
    DETAILS.write_text(with_goals(DETAILS.read_text(), missed_goals(findings)))
    if not any(scenario == ONE_TARGET.name for scenario, _ in findings.samples):
        return DOCUMENT, DETAILS
    PICTURE.write_text(picture(findings))
    return DOCUMENT, DETAILS, PICTURE
