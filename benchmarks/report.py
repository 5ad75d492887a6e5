"""What was measured, as Markdown: tables of ratios with their spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter

from benchmarks.contenders import OURS
from benchmarks.findings import Findings
from benchmarks.footprint import IDLE, IN_FLIGHT, Footprint
from benchmarks.goals import Verdict, judged
from benchmarks.measure import Sample
from benchmarks.peers import NGINX, NGINX_VARIANTS
from benchmarks.ratios import Ratio
from benchmarks.scenarios import ONE_CONNECTION, ONE_TARGET, TLS
from benchmarks.speed import UPSTREAM

_VARIANTS = frozenset(peer.name for peer in NGINX_VARIANTS)
_cpu, _rate, _p50, _p99 = map(attrgetter, ("cpu", "rate", "p50", "p99"))


def markdown(findings: Findings) -> str:
    """All tables, the most asked-for first."""
    parts = [
        "\n".join(f"- {sentence}" for sentence in (*findings.circumstances, *findings.failures)),
        "### Each goal",
        _table(("ads-proxy", "goal", "worst that may land", "measured", "met?"), judged(findings)),
        "### CPU per request, in multiples of nginx",
        _ratios_to_nginx(findings, _cpu, ("us", 1e6, ".1f")),
        "### Throughput of one worker, in multiples of nginx",
        _ratios_to_nginx(findings, _rate, ("requests/s", 1, ",.0f")),
        "### The program to each of its peers",
        _ours_to_peers(findings),
    ]
    if (ONE_CONNECTION.name, UPSTREAM) in findings.samples:
        parts += ["### Latency added over the bare upstream, one connection", _latency(findings)]
    if findings.footprints:
        parts += ["### Memory and start-up", _footprints(findings.footprints)]
    if findings.burdens:
        parts.append("### CPU per request with much to know or to hold, to the same program without")
        parts.append(_table(("", "CPU"), ([name, f"{ratio:.3f}"] for name, ratio in findings.burdens.items())))
    return "\n\n".join(parts)


def summary(findings: Findings) -> str:
    """The medians that docs/explanation/performance.md shows, without variants of nginx."""
    parts = [
        "\n".join(f"- {sentence}" for sentence in (*findings.circumstances, *findings.failures)),
        "CPU per request, in multiples of nginx:",
        _ratios_to_nginx(findings, _cpu, ("us", 1e6, ".1f"), lambda ratio: f"{ratio.middle:.2f}", _VARIANTS),
    ]
    if findings.footprints:
        parts += ["Latency, memory and start-up:", _latency_and_footprints(findings)]
    return "\n\n".join(parts)


def missed_goals(findings: Findings) -> str:
    """How many goals were met, and a row for each of the others."""
    rows = judged(findings)
    missed = [row for row in rows if row[-1] != Verdict.MET]
    table = _table(("ads-proxy", "goal", "measured", "met?"), ([*row[:2], *row[3:]] for row in missed))
    return f"Of {len(rows)} goals {len(rows) - len(missed)} are met. The others:\n\n{table}"


def _ratios_to_nginx(
    findings: Findings,
    value: Callable[[Sample], float],
    unit: tuple[str, float, str],
    show: Callable[[Ratio], str] = "{:.2f}".format,
    left_out: Collection[str] = (),
) -> str:
    samples = findings.samples
    names = [name for name in dict.fromkeys(name for _, name in samples) if name not in (NGINX.name, UPSTREAM)]
    names = [name for name in names if name not in left_out]
    rows = []
    for scenario in dict.fromkeys(scenario for scenario, name in samples if name == NGINX.name):
        base = statistics.median(map(value, samples[scenario, NGINX.name]))
        ratios = (findings.ratio(scenario, name, NGINX.name, value) for name in names)
        rows.append([scenario, format(base * unit[1], unit[2]), *(show(ratio) if ratio else "" for ratio in ratios)])
    return _table(("", f"nginx, {unit[0]}", *names), rows)


def _ours_to_peers(findings: Findings) -> str:
    """CPU and throughput of this program to each peer's, over a plain and a TLS upstream."""
    samples = findings.samples
    scenarios = [scenario.name for scenario in (ONE_TARGET, TLS) if (scenario.name, OURS) in samples]
    rows = []
    for name in dict.fromkeys(name for _, name in samples if name not in (OURS, UPSTREAM)):
        row = [name]
        for scenario in scenarios:
            theirs = samples.get((scenario, name), ())
            ratios = (findings.ratio(scenario, OURS, name, value) for value in (_cpu, _rate))
            row += [f"{ratio:.2f}" if ratio else "" for ratio in ratios]
            row.append(f"{statistics.median(sample.busy for sample in theirs):.0%}" if theirs else "")
        rows.append(row)
    head = [f"{what}, {scenario}" for scenario in scenarios for what in ("CPU", "throughput", "peer's core busy")]
    return _table((f"{OURS} to", *head), rows)


def _latency(findings: Findings) -> str:
    rows = []
    for name in dict.fromkeys(name for scenario, name in findings.samples if scenario == ONE_CONNECTION.name):
        if name == UPSTREAM:
            continue
        row = [name]
        for value in (_p50, _p99):
            ratio = findings.added_ratio(name, NGINX.name, value)
            row += [f"{statistics.median(findings.added(name, value)) * 1e6:.0f}", f"{ratio:.2f}" if ratio else ""]
        rows.append(row)
    return _table(("", "p50, us", "to nginx", "p99, us", "to nginx"), rows)


def _footprints(footprints: Mapping[str, Sequence[Footprint]]) -> str:
    connection = f"one of {IDLE:,} idle connections, KiB"
    head = ("", "fresh, MiB", f"{IN_FLIGHT} x 20 MB in flight, MiB", connection, "ready, ms")
    rows = [
        [
            name,
            _spread([found.fresh / 2**20 for found in rounds], ".0f"),
            _spread([found.in_flight / 2**20 for found in rounds], ".0f"),
            _spread([found.per_idle / 2**10 for found in rounds], ".1f"),
            _spread([found.ready * 1000 for found in rounds], ".0f"),
        ]
        for name, rounds in footprints.items()
    ]
    return _table(head, rows)


def _latency_and_footprints(findings: Findings) -> str:
    """Medians of both."""
    head = ("", "added latency p50, us", "fresh, MiB", f"{IN_FLIGHT} x 20 MB in flight, MiB")
    rows = []
    for name, rounds in findings.footprints.items():
        if name in _VARIANTS:
            continue
        added = findings.added(name, _p50)
        fresh, in_flight, idle, ready = (
            statistics.median(getattr(found, what) for found in rounds)
            for what in ("fresh", "in_flight", "per_idle", "ready")
        )
        sizes = [f"{fresh / 2**20:.0f}", f"{in_flight / 2**20:.0f}", f"{idle / 2**10:.1f}", f"{ready * 1000:.0f}"]
        rows.append([name, f"{statistics.median(added) * 1e6:.0f}" if added else "", *sizes])
    return _table((*head, f"one of {IDLE:,} idle connections, KiB", "ready, ms"), rows)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
