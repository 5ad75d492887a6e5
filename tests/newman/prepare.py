"""Turns one of Amazon's Postman collections into a run that sends every one of its requests to one address.

    python -m tests.newman.prepare COLLECTION.json ENVIRONMENT.json BASE_URL FOLDER [--set NAME=VALUE ...]

writes `collection.json`, `environment.json` and `upload.bin` into FOLDER, for

    newman run FOLDER/collection.json -e FOLDER/environment.json --working-dir FOLDER

A request's own scripts are taken out, as one of them repeats itself for ever; the collection's own scripts
stay, as they renew the token. Hosts that are written out become `{{api_url}}`, parameters in paths are filled, and what
is switched off in a query is left away. A variable that is not set is filled too, but for the names of accounts, as the
collections send their headers empty then.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

API_HOST = "https://advertising-api.amazon.com"
LEFT_EMPTY = ("accountId", "profileId", "dspAccountId")
PLACEHOLDERS = {
    "client_id": "placeholder-client",
    "client_secret": "placeholder-secret",
    "refresh_token": "Atzr|PLACEHOLDER",
}
UPLOADED_BYTES = 6_000_000


def prepare(collection: Path, environment: Path, base_url: str, folder: Path, chosen: Mapping[str, str]) -> None:
    """Write the run into a folder; `chosen` are variables of the environment."""
    requests = json.loads(collection.read_text(encoding="utf-8"))
    variables = json.loads(environment.read_text(encoding="utf-8"))
    for item in walk(requests["item"]):
        item.pop("event", None)
        item["request"]["url"] = address(item["request"]["url"])
        if (item["request"].get("body") or {}).get("mode") == "file":
            item["request"]["body"] = {"mode": "file", "file": {"src": "upload.bin"}}
    text = json.dumps(requests)
    variables["values"] = fill(variables["values"], set(re.findall(r"\{\{([^}]+)\}\}", text)), base_url, chosen)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "collection.json").write_text(text, encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(variables), encoding="utf-8")
    (folder / "upload.bin").write_bytes(os.urandom(UPLOADED_BYTES))


def walk(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """All requests of a collection, in order, from whatever folder."""
    for item in items:
        if "item" in item:
            yield from walk(item["item"])
        else:
            yield item


def address(url: str | dict[str, Any]) -> str:
    """A request's address as text: with `{{api_url}}`, filled parameters, and no more of the query than is sent."""
    if isinstance(url, str):
        return url.replace(API_HOST, "{{api_url}}")
    parameters = {each["key"]: each.get("value") or "x" for each in url.get("variable", [])}
    raw: str = url["raw"].replace(API_HOST, "{{api_url}}")
    off = {each["key"] for each in url.get("query", []) if each.get("disabled")}
    path, mark, query = raw.partition("?")
    if off:
        query = "&".join(pair for pair in query.split("&") if pair.partition("=")[0] not in off)
    raw = path + (mark + query if query else "")
    return re.sub(r"(?<=/):(\w+)", lambda found: parameters.get(found[1], "x"), raw)


def fill(
    values: list[dict[str, Any]], used: set[str], base_url: str, chosen: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The environment's variables, each with a value."""
    base = base_url.rstrip("/")
    known = {
        "api_url": base,
        **{f"api_url_{region}": f"{base}/{region}" for region in ("na", "eu", "fe")},
        "token_url": f"{base}/auth/o2/token",
        "auth_grant_url": f"{base}/ap/oa",
        "url": f"{base}/upload",
        "token_expires_at": "0",
        "access_token": "",
        **PLACEHOLDERS,
        **chosen,
    }
    by_name = {value["key"]: value for value in values}
    for name in sorted(used | set(by_name)):
        value = by_name.setdefault(name, {"key": name, "value": "", "enabled": True})
        otherwise = "" if name in LEFT_EMPTY else "123"
        value["value"] = known[name] if name in known else value["value"] or otherwise
    return list(by_name.values())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("environment", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable's value")
    given = parser.parse_args()
    chosen = dict(pair.split("=", 1) for pair in given.set)
    prepare(given.collection, given.environment, given.base_url, given.folder, chosen)


if __name__ == "__main__":
    main()
