"""A configuration that was read and checked, as JSON for another process of this program, and back: nothing is read or
checked again there, so that both have the same configuration. It holds every secret; it goes through a socket, never
into a file.
"""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.config.model.section import Section
from proxy.config.model.sections import Config
from proxy.config.model.values import Address
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

Document = Any
"""Texts, numbers, lists and mappings; what JSON has no type for is a pair, the name of its type first."""
PIECE_ACCOUNTS: Final = 200
"""Accounts in a piece: JSON is read in one go, and this many take two milliseconds."""


def to_document(config: Config) -> Document:
    """Everything that the configuration says, and where it was read from."""
    return _written(config)


def from_document(document: Document) -> Config:
    """The configuration of `to_document`."""
    found = _read(document, {kind.__name__: kind for kind in _sections(Section)})
    assert isinstance(found, Config)
    return found


def to_pieces(config: Config, known: Collection[Config]) -> Iterator[Document]:
    """A configuration in pieces, for processes that have one of the configurations `known`: first the accounts that
    differ there, a few at a time, and all else last."""
    changed = [name for name in config.accounts if not all(_have_same(name, config, each) for each in known)]
    for first in range(0, len(changed), PIECE_ACCOUNTS):
        yield _written({name: config.accounts[name] for name in changed[first : first + PIECE_ACCOUNTS]})
    yield _written(config.model_copy(update={"accounts": dict.fromkeys(config.accounts)}))


def _have_same(name: str, one: Config, other: Config) -> bool:
    """Whether both have the same account. As a rule it is one object: to compare two takes ten times as long."""
    account, found = one.accounts[name], other.accounts.get(name)
    return account is found or account == found


def from_pieces(pieces: Sequence[Document], known: Config) -> Config:
    """The configuration of `to_pieces`. It shares with `known` the accounts that are the same."""
    sections = {kind.__name__: kind for kind in _sections(Section)}
    *some, rest = (_read(piece, sections) for piece in pieces)
    accounts = known.accounts | {name: account for piece in some for name, account in piece.items()}
    found = rest.model_copy(update={"accounts": {name: accounts[name] for name in rest.accounts}})
    assert isinstance(found, Config)
    return found


def _sections(kind: type[Section]) -> Iterator[type[Section]]:
    for below in kind.__subclasses__():
        yield below
        yield from _sections(below)


def _written(value: Any) -> Document:
    match value:
        case Section():
            fields = {name: _written(getattr(value, name)) for name in type(value).model_fields}
            return [type(value).__name__, fields]
        case Secret():
            return ["secret", value.reveal()]
        case Path():
            return ["path", str(value)]
        case Address():
            return ["address", [value.host, value.port]]
        case datetime():
            return ["time", value.isoformat()]
        case date():
            return ["day", value.isoformat()]
        case time():
            return ["time of day", value.isoformat()]
        case Decimal():
            return ["decimal", str(value)]
        case tuple():
            return ["tuple", list(map(_written, value))]
        case dict():
            return {key: _written(entry) for key, entry in value.items()}
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"no form for a {type(value).__name__}")


def _read(document: Document, sections: dict[str, type[Section]]) -> Any:
    if isinstance(document, dict):
        return {key: _read(entry, sections) for key, entry in document.items()}
    if not isinstance(document, list):
        return document
    kind, said = document
    if kind in sections:
        fields = {name: _read(entry, sections) for name, entry in said.items()}
        return sections[kind].model_construct(set(fields), **fields)
    match kind:
        case "secret":
            return Secret(said)
        case "path":
            return Path(said)
        case "address":
            return Address(*said)
        case "time":
            return datetime.fromisoformat(said)
        case "day":
            return date.fromisoformat(said)
        case "time of day":
            return time.fromisoformat(said)
        case "decimal":
            return Decimal(said)
        case "tuple":
            return tuple(_read(entry, sections) for entry in said)
    raise TypeError(f"no type {kind!r}")
