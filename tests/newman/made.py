"""A collection in the form of Amazon's newer one, made from Amazon's specifications: for machines without that one.

The 87 operations of the unified API, each with the headers that its specification knows and the smallest body that it
allows; some of the paths that the newer collection has and no specification; and the requests and scripts that get a
token. The variables are those of Amazon's environment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proxy.simulator.unified import load_shapes
from scripts.make_simulator_operations import resolved, specifications
from scripts.make_simulator_unified import FILE, PREFIX
from tests.newman.runs import MARK, SCOPE, Collection
from tests.support.unified import smallest_body

NAME = "Amazon_Ads_Unified_API"
VARIABLES = (
    *("client_id", "client_secret", "permission_scope", "redirect_uri", "access_token", "refresh_token"),
    *("token_expires_at", "profileId", "auth_grant_url", "token_url", "api_url", "dspAccountId"),
    *("manager_account_id", "accountId", "api_url_na", "api_url_eu", "api_url_fe"),
)
UNKNOWN = (
    ("GET", "buyerSeats/dsp"),
    ("GET", "dealPerformances/dsp"),
    ("POST", "query/commitments/dsp"),
    ("POST", "create/reservedTargetPricings/sb"),
)
"""Some of the paths that only the collection has."""

RENEWAL = f"""
if (pm.info.requestName.startsWith("Access token") || pm.info.requestName.startsWith("Auth grant")) {{ return false }}
if (pm.environment.get("refresh_token") && Date.now() > pm.environment.get("token_expires_at")) {{
    const names = ["client_id", "client_secret", "refresh_token"]
    const fields = names.map(name => `${{name}}=${{pm.environment.get(name)}}`)
    pm.sendRequest({{
        url: pm.environment.get("token_url"),
        method: "POST",
        header: {{"Content-Type": "application/x-www-form-urlencoded"}},
        body: {{mode: "urlencoded", urlencoded: ["grant_type=refresh_token", ...fields]}},
    }}, (error, response) => {{
        if (error || response.code !== 200) {{ return }}
        const answer = response.json()
        pm.environment.set("access_token", answer.access_token)
        pm.environment.set("refresh_token", answer.refresh_token)
        pm.environment.set("token_expires_at", Date.now() + answer.expires_in * 1000 - 10000)
    }})
}}
pm.request.headers.add({{key: "{MARK}", value: "Amazon-Ads-API-v1.6"}})
"""
"""Renews ten seconds before the end, and keeps whatever refresh token comes."""

JUDGEMENT = """
if (!/^(Auth grant|Access token)/.test(pm.info.requestName)) {
    pm.test("Status code is 2xx", () => pm.response.to.be.success)
    pm.test("Response body is JSON", () => pm.response.to.be.json)
}
"""


def make_collection(wheel: Path, folder: Path, ads_account: str) -> Collection:
    """Write collection and environment, by the names that Amazon's have; reports are asked for this ads account."""
    document: dict[str, Any] = dict(specifications(wheel))[FILE]
    known = [
        _known(document, method.upper(), path, operation, ads_account)
        for path, methods in document["paths"].items()
        if path.startswith(PREFIX)
        for method, operation in methods.items()
        if method in ("get", "post")
    ]
    unknown = [_request(method, f"{PREFIX}{path}", ("account",), {}) for method, path in UNKNOWN]
    folders = {"Auth": _signing_in(), "Unified API": known, "Of no file": unknown}
    events = {"prerequest": RENEWAL, "test": JUDGEMENT}
    made = {
        "info": {"name": NAME, "schema": "https://schema.getpostman.com/json/collection/v2.0.0/collection.json"},
        "item": [{"name": name, "item": items} for name, items in folders.items()],
        "event": [{"listen": when, "script": {"exec": script.splitlines()}} for when, script in events.items()],
    }
    variables = {"name": NAME, "values": [{"key": name, "value": "", "enabled": True} for name in VARIABLES]}
    collection = Collection.named(folder, NAME)
    folder.mkdir(parents=True, exist_ok=True)
    collection.requests.write_text(json.dumps(made), encoding="utf-8")
    collection.environment.write_text(json.dumps(variables), encoding="utf-8")
    return collection


def _known(
    document: dict[str, Any], method: str, path: str, operation: dict[str, Any], ads_account: str
) -> dict[str, Any]:
    """An operation's request, with what its specification knows of accounts, and a body that it allows."""
    named = {resolved(document, each)["name"].lower() for each in operation.get("parameters", ())}
    taken = {"account": "amazon-ads-accountid", "scope": SCOPE.lower(), "manager": "amazon-ads-manager-accountid"}
    body = smallest_body(load_shapes()[method, path], ads_account)
    return _request(method, path, tuple(kind for kind, name in taken.items() if name in named), body)


def _request(method: str, path: str, accounts: tuple[str, ...], body: Any) -> dict[str, Any]:
    headers = [
        _header("Authorization", "Bearer {{access_token}}"),
        *([_header("Amazon-Ads-AccountId", "{{accountId}}")] if "account" in accounts else ()),
        _header("Amazon-Ads-ClientId", "{{client_id}}"),
        *([_header(SCOPE, "{{profileId}}")] if "scope" in accounts else ()),
    ]
    if "manager" in accounts:
        headers.append({**_header("Amazon-Ads-Manager-AccountId", "{{manager_account_id}}"), "disabled": True})
    request = {"method": method, "header": headers, "url": {"raw": "{{api_url}}" + path}}
    if method == "POST":
        headers.append(_header("Content-Type", "application/json"))
        request["body"] = {"mode": "raw", "raw": json.dumps(body, indent=2)}
    headers.append(_header("Accept", "application/json"))
    return {"name": f"{method} {path}", "request": request}


def _header(name: str, value: str) -> dict[str, Any]:
    return {"key": name, "value": value, "type": "text"}


def _signing_in() -> list[dict[str, Any]]:
    """The three requests that get a token, as far as a person's part is not in them."""
    app = {"client_id": "{{client_id}}", "client_secret": "{{client_secret}}"}
    query = "scope={{permission_scope}}&response_type=code&client_id={{client_id}}&redirect_uri={{redirect_uri}}"
    forms = {
        "Access token from auth grant code": {"grant_type": "authorization_code", "code": "", **app},
        "Access token from refresh token": {"grant_type": "refresh_token", "refresh_token": "{{refresh_token}}", **app},
    }
    login = {"method": "GET", "header": [], "url": {"raw": "{{auth_grant_url}}?" + query}}
    return [
        {"name": "Auth grant login", "request": login},
        *({"name": name, "request": _token_request(fields)} for name, fields in forms.items()),
    ]


def _token_request(fields: dict[str, str]) -> dict[str, Any]:
    form = [{"key": name, "value": value, "type": "text"} for name, value in fields.items()]
    body = {"mode": "urlencoded", "urlencoded": form}
    return {"method": "POST", "header": [], "url": "{{token_url}}", "body": body}
