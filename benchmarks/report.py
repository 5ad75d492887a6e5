"""What was measured, as Markdown: tables of ratios with their spread. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import OURS
from benchmarks.footprint import IDLE, IN_FLIGHT, Footprint
from benchmarks.measure import Sample
from benchmarks.peers import NGINX
from benchmarks.ratios import Ratio, paired
from benchmarks.scenarios import ONE_CONNECTION, ONE_TARGET, TLS
from benchmarks.speed import UPSTREAM, Samples


@dataclass(frozen=True, slots=True)
class Findings:
    """All of one run. `circumstances` says on what, when and how, a sentence an entry."""

    circumstances: tuple[str, ...]
    samples: Samples
    footprints: Mapping[str, Sequence[Footprint]]
    burdens: Mapping[str, Ratio]


def markdown(findings: Findings) -> str:
    """Every table, in the order of what is asked first."""
    samples = findings.samples
    parts = [
        "\n".join(f"- {sentence}" for sentence in findings.circumstances),
        "### CPU per request, in multiples of nginx",
        _ratios_to_nginx(samples, lambda sample: sample.cpu, ("us", 1e6, ".1f")),
        "### Throughput of one worker, in multiples of nginx",
        _ratios_to_nginx(samples, lambda sample: sample.rate, ("requests/s", 1, ",.0f")),
        "### The program to each of its peers",
        _ours_to_peers(samples),
    ]
    if (ONE_CONNECTION.name, UPSTREAM) in samples:
        parts += ["### Latency added over the bare upstream, one connection", _latency(samples)]
    if findings.footprints:
        parts += ["### Memory and start-up", _footprints(findings.footprints)]
    if findings.burdens:
        parts.append("### CPU per request with much to know or to hold, to the same program without")
        parts.append(_table(("", "CPU"), ([name, f"{ratio:.3f}"] for name, ratio in findings.burdens.items())))
    return "\n\n".join(parts)


def _ratios_to_nginx(samples: Samples, value: Callable[[Sample], float], unit: tuple[str, float, str]) -> str:
    names = list(dict.fromkeys(name for _, name in samples if name not in (NGINX.name, UPSTREAM)))
    rows = []
    for scenario in dict.fromkeys(scenario for scenario, _ in samples):
        base = [value(sample) for sample in samples[scenario, NGINX.name]]
        row = [scenario, format(statistics.median(base) * unit[1], unit[2])]
        for name in names:
            those = [value(sample) for sample in samples.get((scenario, name), ())]
            row.append(f"{paired(those, base):.2f}" if those else "")
        rows.append(row)
    return _table(("", f"nginx, {unit[0]}", *names), rows)


def _ours_to_peers(samples: Samples) -> str:
    """CPU and throughput of this program to each peer's, over a plain and a TLS upstream."""
    scenarios = [scenario.name for scenario in (ONE_TARGET, TLS) if (scenario.name, OURS) in samples]
    rows = []
    for name in dict.fromkeys(name for _, name in samples if name not in (OURS, UPSTREAM)):
        row = [name]
        for scenario in scenarios:
            ours, theirs = samples[scenario, OURS], samples.get((scenario, name), [])
            row += _to_peer(ours, theirs) if theirs else ["", "", ""]
        rows.append(row)
    head = [f"{what}, {scenario}" for scenario in scenarios for what in ("CPU", "throughput", "peer's core busy")]
    return _table((f"{OURS} to", *head), rows)


def _to_peer(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[str]:
    cpu = paired([sample.cpu for sample in ours], [sample.cpu for sample in theirs])
    rate = paired([sample.rate for sample in ours], [sample.rate for sample in theirs])
    return [f"{cpu:.2f}", f"{rate:.2f}", f"{statistics.median(sample.busy for sample in theirs):.0%}"]


def _latency(samples: Samples) -> str:
    scenario = ONE_CONNECTION.name
    bare = samples[scenario, UPSTREAM]
    added: dict[str, tuple[list[float], list[float]]] = {}
    for place, name in samples:
        if place == scenario and name != UPSTREAM:
            those = list(zip(samples[place, name], bare, strict=True))
            added[name] = [this.p50 - base.p50 for this, base in those], [this.p99 - base.p99 for this, base in those]
    rows = []
    for name, columns in added.items():
        row = [name]
        for column, base in zip(columns, added[NGINX.name], strict=True):
            row.append(f"{statistics.median(column) * 1e6:.0f}")
            row.append(f"{paired(column, base):.2f}" if min(base) > 0 else "")
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


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
