"""Bodies for the unified API's operations, as one who read the specification would write them."""

from __future__ import annotations

from typing import Any

from proxy.simulator.unified import Shape


def smallest_body(shape: Shape, ads_account: str) -> dict[str, Any] | None:
    """The smallest body that the shape allows; reports are asked for this ads account. None for a GET."""
    if shape.verb == "list":
        return None
    body: dict[str, Any] = {name: {"include": ["x"]} for name in shape.required if name.endswith("Filter")}
    if shape.takes.endswith(("Ids", "ids")):
        body[shape.takes] = ["x"] if not shape.needs else [dict.fromkeys(shape.needs, "x")]
    elif shape.takes:
        body[shape.takes] = [{"pretend": "x", **{name: shape.sample.get(name, "x") for name in shape.needs}}]
    if "accessRequestedAccounts" in shape.required:
        body["accessRequestedAccounts"] = [{"advertiserAccountId": ads_account}]
    return body
