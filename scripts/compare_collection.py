"""Says how the requests of a Postman collection differ from the table of operations.

    python -m scripts.compare_collection Amazon_Ads_Unified_API.postman_collection.json

A line each for what the table lacks, and for a Scope or an account id that a request sends and the table does not know,
or does not send and the table requires. Ends with 1 where there is any.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.http1.target import path_segments
from proxy.routing.operations import PUBLISHED, AccountRule, ScopeRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCOPE = "amazon-advertising-api-scope"
ACCOUNT_IDS = ("amazon-ads-accountid", "amazon-ads-account-id")
TOKEN_PATHS = ("/ap/", "/auth/")


def requests(items: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The requests of a collection, in order, from whatever folder."""
    for item in items:
        if "item" in item:
            yield from requests(item["item"])
        else:
            yield item["request"]


def api_path(url: str | dict[str, Any]) -> str:
    """The path at the Ads API, with its parameters filled; empty for a request to anywhere else."""
    raw = url if isinstance(url, str) else url["raw"]
    found = re.match(r"(?:\{\{api_url(?:_\w+)?\}\}|https://advertising-api[\w.-]*)(/[^?]*)", raw)
    if found is None or found[1].startswith(TOKEN_PATHS):
        return ""
    return re.sub(r"(?<=/):\w+|\{\{[^}]*\}\}", "x", found[1])


def judge(request: dict[str, Any]) -> list[str]:
    """How one request differs from its row."""
    path = api_path(request["url"])
    if not path:
        return []
    headers = {each["key"].lower() for each in request.get("header", ()) if not each.get("disabled")}
    scope, account = SCOPE in headers, not headers.isdisjoint(ACCOUNT_IDS)
    what = f"{request['method']} {path}"
    operation = PUBLISHED.find(request["method"].encode(), path_segments(path.encode()))
    if operation is None:
        sent = " and ".join(name for name, sends in (("a Scope", scope), ("an account id", account)) if sends)
        return [f"unknown   {what}: sends {sent or 'neither Scope nor account id'}"]
    kinds = (
        ("Scope", scope, operation.scope is ScopeRule.NEVER, operation.scope is ScopeRule.REQUIRED),
        ("account id", account, operation.account is AccountRule.NEVER, operation.account is AccountRule.REQUIRED),
    )
    return [
        f"{'sends' if sends else 'lacks':9} {what}: {name}, which the table has as {'never' if never else 'required'}"
        for name, sends, never, required in kinds
        if (sends and never) or (required and not sends)
    ]


def compare(collection: dict[str, Any]) -> list[str]:
    """All differences, each once, in the collection's order."""
    return list(dict.fromkeys(line for request in requests(collection["item"]) for line in judge(request)))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 without a difference, 1 with one, 2 where the file is no collection."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("collection", type=Path)
    path = parser.parse_args(arguments).collection
    try:
        said = compare(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as failure:
        print(f"{path}: no Postman collection ({type(failure).__name__})", file=sys.stderr)
        return 2
    print("\n".join(said) or "no difference")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
