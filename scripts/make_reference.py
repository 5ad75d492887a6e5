"""Write what the code knows of itself into docs/: commands, configuration keys, metrics, errors, messages; the
configuration's schema, and its example.

The alerts for the Prometheus Operator, which are those of config/prometheus in its form, are made here too.

    python -m scripts.make_reference [--check]

A page keeps its own text; what is made stands between two comments that name it. The last cell of an error's row is the
page's own, and a new error begins with its docstring. With --check nothing is written, and files that are behind are
named. Reading the code is all that lives here; what a key, a metric or an error means is said where it is.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import errors, events
from proxy.commands.cli import find_commands
from proxy.config import reference
from proxy.marketplaces import MARKETPLACES
from proxy.observability import metrics, request_metrics
from proxy.regions import REGION_NAMES
from proxy.routing.ends import ENDS
from proxy.spend.table import MONEY, FieldReading
from scripts import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.spend.table import CurrencySource, MoneyField

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = Path("config", "proxy.schema.json")
EXAMPLE = Path("config", "proxy.yaml")
ALERTS = Path("config", "prometheus", "alerts.yml")
RULE = Path("config", "kubernetes", "components", "alerts", "prometheusrule.yaml")
RULE_HEAD = """\
# Made by `make reference` from config/prometheus/alerts.yml: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ads-proxy
  labels: {app.kubernetes.io/name: ads-proxy}
spec:
"""
BLOCK = re.compile(r"(<!-- made by `make reference`: (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Row = tuple[str, ...]
PAGES = ("metrics.md", "errors.md", "cli.md", "operations.md", "messages.md", "money-fields.md", "marketplaces.md")
"""The pages of docs/reference with generated blocks."""


def table(head: Row, rows: list[Row]) -> str:
    """Rows as Markdown, a blank line above and below."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows)]
    return "\n".join(["", *lines, "", ""])


# --- metrics ------------------------------------------------------------------------------------------------


def metric_rows() -> list[Row]:
    """Name, kind, labels and help of each instrument, in the order of a scrape."""
    return [
        (f"`{found.name}`", found.kind.value, ", ".join(found.labels), found.help)
        for found in metrics.Metrics("").instruments()
    ]


def label_rows() -> list[Row]:
    """What a label can hold, where that is a small known set."""
    refreshes = {
        result: [why for other, why in request_metrics.REFRESH_RESULTS if other == result]
        for result, _ in request_metrics.REFRESH_RESULTS
    }
    return [
        ("method", "every metric", _words([*sorted(request_metrics.METHODS - {"other"}), "other"])),
        ("operation_class", "`requests_total`", _words(request_metrics.OPERATION_CLASSES)),
        ("region", "every metric", f"{_words(REGION_NAMES)}, or empty"),
        ("state", "`credential_state`", _words(events.CredentialState)),
        ("result", "`token_refreshes_total`", _words(refreshes)),
        *(("reason", f"`token_refreshes_total`, {result}", _words(reasons)) for result, reasons in refreshes.items()),
        ("reason", "`replays_total`", _words(request_metrics.REPLAY_REASONS)),
        ("outcome", "`replays_total`", _words(request_metrics.REPLAY_OUTCOMES)),
        ("outcome", "`write_outcomes_total`", _words(events.Outcome)),
        ("mode", "`spend_judged_total`", _words(events.SpendMode)),
        ("verdict", "`spend_judged_total`", _words(events.SpendVerdict)),
        ("rule", "`spend_violations_total`", _words(events.SpendRule)),
        ("state", "`approvals`", _words(events.ApprovalState)),
        ("result", "`config_reloads_total`", _words(request_metrics.RELOAD_RESULTS)),
        ("reason", "`refused_total`", "the slugs of [the proxy's own answers](errors.md)"),
    ]


ENDS_HEAD = ("request", "deprecated", "ends", "instead", "certainty", "source")


def deprecated_rows() -> list[Row]:
    """The operations that Amazon announced to end, those that end first before the others."""
    rows = sorted(ENDS, key=lambda row: (row.sunset or "9", row.deprecated, row.path, row.method))
    return [
        (
            f"`{row.method} {row.path}`" + (f"<br>{row.media_type}" if row.media_type else ""),
            row.deprecated,
            row.sunset or "-",
            row.replacement,
            row.certainty,
            row.source,
        )
        for row in rows
    ]


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


# --- money fields -------------------------------------------------------------------------------------------

INTERFACES = {
    "unified API": ("/adsApi/",),
    "Sponsored Products": ("/sp/", "/v2/sp/"),
    "Sponsored Brands": ("/sb/",),
    "Sponsored Display": ("/sd/",),
    "Sponsored TV": ("/st/",),
    "DSP": ("/dsp/",),
    "accounts": ("/",),
    "MCP": ("",),
}
"""The groups of money fields, and how the paths of their operations begin; the first that fits counts."""
_PLAIN_READINGS = {
    FieldReading.PERCENT: "percent",
    FieldReading.SUMMED_PERCENT: "percent, summed over the write",
    FieldReading.FACTOR: "a factor; 1.5 adds 50 percent",
    FieldReading.STATE: "state",
    FieldReading.DATE: "date; not `null`",
    FieldReading.DATE_WITH_BUDGET: "date, with a budget amount in the same item",
    FieldReading.CURRENCY: "currency of the amount next to it",
    FieldReading.ANYTHING: "any value passes",
}


@functools.cache
def money_tables() -> dict[str, list[Row]]:
    """The rows of the money fields of each interface: operation, path, kind, how it is read, and note."""
    tables: dict[str, list[Row]] = {interface: [] for interface in INTERFACES}
    before = ("", "")
    for row in MONEY.rows:
        method, _, path = row.operation.partition(" ")
        tables[_interface("" if method == "MCP" else path)].append(
            (
                "" if (row.operation, row.media_type) == before else _operation_cell(row),
                f"`{row.path}`",
                row.kind,
                _reading_cell(row),
                row.note,
            )
        )
        before = row.operation, row.media_type
    return tables


def marketplace_rows() -> list[Row]:
    """Each marketplace with its region, currency and time zone, and where these come from."""
    return [
        (_words(row.spellings), f"`{row.region}`", f"`{row.currency}`", f"`{row.time_zone}`", row.source)
        for row in MARKETPLACES
    ]


def _interface(path: str) -> str:
    return next(name for name, starts in INTERFACES.items() if path.startswith(starts))


def _operation_cell(row: MoneyField) -> str:
    return f"`{row.operation}`" + (f"<br>{row.media_type}" if row.media_type else "")


def _reading_cell(row: MoneyField) -> str:
    """How a value is read, or why it cannot be."""
    if row.refuses:
        return f"operation refused: {row.refuses}"
    if not row.sure:
        return "refused: no specification shows it"
    if row.path.endswith(("$", "*Ids[]")):
        return "sets the state `archived`"
    if row.reading is FieldReading.NOTHING:
        return "refused"
    if row.takes_words:
        return "any word passes"
    if row.reading is FieldReading.AMOUNT:
        return f"amount in {_currency_words(row.currency)}"
    spelled = (word if word in ("true", "false") else word.upper() for word in sorted(row.words))
    words = " or ".join(f"`{word}`" for word in spelled)
    if row.reading is FieldReading.WORD:
        return f"{words} passes"
    if row.reading is FieldReading.WORD_WITH_BUDGET:
        return f"{words} passes with a budget amount in the same item"
    return _PLAIN_READINGS[row.reading]


def _currency_words(source: CurrencySource) -> str:
    """Where the currency of an amount is found."""
    if source.key:
        return "the currency of the country that is the key"
    paid = f"currency of the country in `{source.country}`" if source.country else "currency of the profile"
    return f"the currency in `{source.sibling}`, else the {paid}" if source.sibling else f"the {paid}"


# --- commands -----------------------------------------------------------------------------------------------


def command_rows() -> list[Row]:
    """Each command with the first sentence or two of its help, in the order of `--help`."""
    return [(f"`ads-proxy {name}`", text.partition("\n\n")[0]) for name, text in find_commands().items()]


# --- errors -------------------------------------------------------------------------------------------------


def sections() -> dict[str, list[type[errors.Refused]]]:
    """The refusals under the headings that proxy/errors.py gives them, in its order."""
    source = inspect.getsource(errors)
    headings = [(found.start(), found[1]) for found in re.finditer(r"^# --- (.+?) -+$", source, re.MULTILINE)]
    found: dict[str, list[type[errors.Refused]]] = {}
    for kind in errors.REFUSALS.values():
        at = source.index(f"\nclass {kind.__name__}(")
        heading = max((start, name) for start, name in headings if start < at)[1]
        found.setdefault(heading, []).append(kind)
    return found


def error_rows(kinds: list[type[errors.Refused]], written: str) -> list[Row]:
    """Slug, status, whether it may be sent again; and the last cell as it is in `written`, the page."""
    said = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| ([^|]*) \|$", written, re.MULTILINE))
    return [
        (
            f"`{kind.slug}`",
            str(kind.status),
            "yes" if kind.retryable else "no",
            said.get(kind.slug) or " ".join((kind.__doc__ or kind.title).split()),
        )
        for kind in kinds
    ]


# --- messages ---------------------------------------------------------------------------------------------


def _cell(texts: Iterable[str]) -> str:
    """Messages below each other in a cell, as they are read."""
    return "<br>".join(text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*") for text in texts)


@functools.cache
def token_rows() -> list[Row]:
    """Each advice about failed token requests, with its reasons and their details."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for reason, details, advice in messages.token_failures():
        reasons, texts = found.setdefault(advice, ([], []))
        reasons.append(reason)
        texts.extend(details)
    return [
        (_words(dict.fromkeys(reasons)), _cell(messages.forms(texts)), _cell([advice]))
        for advice, (reasons, texts) in found.items()
    ]


def _message_rows(*groups: Mapping[str, Iterable[str]]) -> list[list[Row]]:
    """Rows of each group. A message that several subjects share is shown with the first of them."""
    seen: set[str] = set()
    tables: list[list[Row]] = []
    for group in groups:
        rows: list[Row] = []
        for name, texts in group.items():
            new = [text for text in messages.openings(texts) if text.rstrip(".") not in seen]
            seen.update(text.rstrip(".") for text in new)
            rows.extend([(name, _cell(new))] if new else [])
        tables.append(rows)
    return tables


@functools.cache
def message_tables() -> list[list[Row]]:
    """The rows about the configuration, the start and the commands."""
    return _message_rows(messages.configuration(), messages.at_start(), messages.of_commands())


# --- pages --------------------------------------------------------------------------------------------------


def blocks(written: str) -> dict[str, str]:
    """The blocks of a page, by name, generated again; `written` is the present page."""
    errors_head = ("slug", "status", "retryable", "when")
    of_configuration, at_start, of_commands = message_tables()
    return {
        "commands": table(("command", "what it does"), command_rows()),
        "metrics": table(("name (prefix `ads_proxy_`)", "kind", "labels", "what it tells"), metric_rows()),
        "labels": table(("label", "of", "values"), label_rows()),
        "deprecated operations": table(ENDS_HEAD, deprecated_rows()),
        "errors, token requests": table(("reason", "detail", "what to do"), token_rows()),
        "messages, configuration": table(("about", "message"), of_configuration),
        "messages, start": table(("about", "message"), at_start),
        "messages, commands": table(("command", "message"), of_commands),
        "marketplaces": table(("country", "region", "currency", "time zone", "source"), marketplace_rows()),
        **{
            f"money fields, {name}": table(("operation", "field", "kind", "read as", "note"), rows)
            for name, rows in money_tables().items()
        },
        **{f"errors, {name}": table(errors_head, error_rows(kinds, written)) for name, kinds in sections().items()},
    }


def page(text: str) -> str:
    """A page with each of its blocks generated again; a block of an unknown name is a KeyError."""
    made = blocks(text)
    return BLOCK.sub(lambda found: found[1] + made[found["name"]] + found[3], text)


def configuration(text: str) -> str:
    """The page of the configuration with its tables generated again."""
    begin, end = text.index(reference.BEGIN), text.index(reference.END) + len(reference.END)
    return text[:begin] + reference.tables() + text[end:]


def prometheus_rule(alerts: str) -> str:
    """A rule file of Prometheus as a resource of its operator, comments and all: YAML to YAML."""
    return RULE_HEAD + textwrap.indent(alerts, "  ")


def made(root: Path) -> dict[Path, str]:
    """Every file that holds something made, as it ought to be."""
    docs = root / "docs" / "reference"
    pages = {docs / name: page((docs / name).read_text(encoding="utf-8")) for name in PAGES}
    keys = docs / "configuration.md"
    schema = json.dumps(reference.json_schema(), indent=2) + "\n"
    return {
        **pages,
        keys: configuration(keys.read_text(encoding="utf-8")),
        root / SCHEMA: schema,
        root / EXAMPLE: reference.example((root / EXAMPLE).read_text(encoding="utf-8")),
        root / RULE: prometheus_rule((root / ALERTS).read_text(encoding="utf-8")),
    }


def stale(root: Path = ROOT) -> list[Path]:
    """The files that are not as they ought to be."""
    return [path for path, text in made(root).items() if path.read_text(encoding="utf-8") != text]


def main() -> int:
    """Write the files that are behind, or name them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file is behind")
    check = parser.parse_args().check
    behind = stale()
    for path in behind:
        print(f"{'behind' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(made(ROOT)[path], encoding="utf-8")
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
