"""Configurations with a secret in a wrong place: every key of the model, unknown keys, names, broken YAML, variables.

A canary is a text that occurs nowhere else. The tests judge the messages about such a configuration.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from proxy.config.reading.variables import known_variables
from proxy.config.reference import options

Path = tuple[str | int, ...]
CREDENTIALS = {"client_id": "amzn1.application-oa2-client.x", "client_secret": "amzn1.oa2-cs.v1.x"}
BASE: dict[str, Any] = {
    "listen": "127.0.0.1:0",
    "admin_listen": "127.0.0.1:0",
    "state": {"url": "memory:"},
    "accounts": {"acme": CREDENTIALS},
    "clients": [{"name": "reporting", "key_sha256": "ab" * 32}],
    "routes": {"brand": {"account": "acme"}},
}
ENVIRONMENT = {
    "AMAZON_ADS_CLIENT_ID": CREDENTIALS["client_id"],
    "AMAZON_ADS_CLIENT_SECRET": CREDENTIALS["client_secret"],
    "ADS_PROXY_STATE__URL": "memory:",
}
NAMES = {"accounts": "acme", "routes": "brand", "regions": "na"}
"""What stands for NAME in a section; `one` in others."""
SECTION_NAMES = ("accounts", "routes", "regions")
SHAPES: Mapping[str, Callable[[str], Any]] = {
    "a text": lambda canary: canary,
    "a list": lambda canary: [canary],
    "a list of lists": lambda canary: [[canary]],
    "a value in a mapping": lambda canary: {"x": canary},
    "a key of a mapping": lambda canary: {canary: "x"},
    "a file": lambda canary: {"file": canary},
    "a variable": lambda canary: {"env": canary},
    "an address": lambda canary: f"http://user:{canary}@host.test:1/x",
    "a path": lambda canary: f"/{canary}/../%2e",
    "a text with a blank": lambda canary: f"{canary} {canary}",
}
BROKEN = (
    "listen: [{0}",
    "listen: '{0}",
    'listen: "{0}',
    "{0}: {0}: {0}",
    "{0}: &{0} x",
    "{0}: *{0}",
    "{0}: !{0} x",
    "{0}: !<{0} x",
    "{0}: !{0}!{0} x",
    "%{0} {0}\n---\nlisten: x",
    "%TAG !{0}! {0}\n%TAG !{0}! {0}\n---\nlisten: x",
    'listen: "\\{0}"',
    "\t{0}: x",
    "@{0}",
    "`{0}`",
    "? [{0}]\n: {0}",
    "{0}",
    "- {0}",
    "{0}: 1\n---\n{0}: 2",
    "listen: |{0}",
    "{{{0}",
    "{0}: 1\n{0}: 2\n",
    "log:\n  {0}: x\n {0}: y",
    "accounts: {{acme: {{{0}: x, {0}: y}}}}",
    "listen: \x01{0}",
    "accounts: {{{0}: 1, {0}: 2}}",
)


@dataclass(frozen=True)
class Planted:
    """A configuration with a canary in it: a file's text or none, and an environment."""

    where: str
    canary: str
    text: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def canary(where: str) -> str:
    """A text for a place: found anywhere, it tells which."""
    return f"canary-{hashlib.sha256(where.encode()).hexdigest()[:20]}"


def dumped(values: Mapping[str, Any]) -> str:
    """A document as YAML text, by libyaml where PyYAML has it: that takes a tenth of the time."""
    return str(yaml.dump(values, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)))


def places() -> list[Path]:
    """Where `BASE` has each key of the model."""
    return [(*_place(option.section), option.key) for option in options()]


def _place(section: str) -> Path:
    """The way to a section, such as `clients[].jwt`: by the first entry of a list, and by a name of `BASE`."""
    path: list[str | int] = []
    for part in section.split(".") if section else ():
        if part == "NAME":
            path.append(NAMES.get(str(path[-1]), "one"))
        else:
            path += [part.removesuffix("[]"), *([0] if part.endswith("[]") else [])]
    return tuple(path)


def with_value(values: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with this value there; mappings on the way are made."""
    made = copy.deepcopy(values)
    set_value(made, path, value)
    return made


def set_value(values: dict[str, Any], path: Path, value: Any) -> None:
    """Put this value there; mappings and lists on the way are made."""
    place: Any = values
    for key, following in pairwise(path):
        if isinstance(key, int):
            place += [{}] * (key + 1 - len(place))
        elif not isinstance(place.get(key), dict | list):
            place[key] = [] if isinstance(following, int) else {}
        place = place[key]
    place[path[-1]] = value


def _in_files() -> Iterator[Planted]:
    for path in places():
        for shape, make in SHAPES.items():
            where = f"{path} as {shape}"
            yield Planted(where, canary(where), dumped(with_value(BASE, path, make(canary(where)))))
    sections = {path[:-1] for path in places()}
    for path in sorted(sections, key=str):
        where = f"an unknown key of {path}"
        yield Planted(where, canary(where), dumped(with_value(BASE, (*path, canary(where)), canary(where))))
    for section in SECTION_NAMES:
        for value in ({}, "x", None, {"region": "us"}, {"account": "none"}, {canary(section): canary(section)}):
            where = f"a name in {section} of {value}"
            text = dumped(with_value(BASE, (section, canary(where)), value))
            yield Planted(where, canary(where), text)
    yield from _broken()


def _broken() -> Iterator[Planted]:
    for number, text in enumerate(BROKEN):
        where = f"broken YAML {number}"
        yield Planted(where, canary(where), text.format(canary(where)))


def _in_variables() -> Iterator[Planted]:
    for name in known_variables():
        where = f"the variable {name}"
        yield Planted(where, canary(where), environ={**ENVIRONMENT, name: canary(where)})
    for number, (name, value) in enumerate(
        (
            ("ADS_PROXY_{0}", "x"),
            ("ADS_PROXY_{0}", "{0}"),
            ("ADS_PROXY_LOG__{0}", "{0}"),
            ("ADS_PROXY_LISTEN__{0}", "{0}"),
            ("ADS_PROXY_ROUTES__{0}__REGION", "us"),
            ("ADS_PROXY_ROUTES__{0}__{0}", "{0}"),
            ("ADS_PROXY_CLIENTS", "[{{{0}"),
            ("ADS_PROXY_CLIENTS", '[{{"{0}": "{0}"}}]'),
            ("ADS_PROXY_CLIENTS", "{0}"),
            ("ADS_PROXY_ROUTES", '{{"{0}": {{"{0}": "{0}"}}}}'),
            ("ADS_PROXY_LIMITS", "{0}: {0}: {0}"),
            ("ADS_PROXY_LIMITS", "!{0} x"),
            ("ADS_PROXY_LISTEN", "user:{0}@127.0.0.1:80"),
            ("ADS_PROXY_REGIONS__NA__TOKEN_URL", "http://user:{0}@127.0.0.1/x"),
            ("ADS_PROXY_STATE__URL", "redis://:{0}@127.0.0.1/1"),
            ("AMAZON_ADS_REGION_{0}", "{0}"),
            ("AMAZON_ADS_CLIENT_SECRET", "{0} {0}"),
            ("AMAZON_ADS_CLIENT_SECRET_FILE", "{0}"),
        )
    ):
        where = f"the variable {name}, {number}"
        text = canary(where)
        upper = name.format(text.upper().replace("-", "_"))
        yield Planted(where, text, environ={**ENVIRONMENT, upper: value.format(text)})


def planted() -> list[Planted]:
    """All planted configurations."""
    return [*_in_files(), *_in_variables()]


def is_seen(secret: str, text: str) -> bool:
    """Whether a text holds a canary, or as much of it as matters, in any case and with any characters between."""
    return bool(all_seen([secret], text))


def all_seen(secrets: Iterable[str], text: str) -> list[str]:
    """The canaries that a text holds, as `is_seen` finds them."""
    bare = "".join(filter(str.isalnum, text.lower()))
    return [secret for secret in secrets if secret.removeprefix("canary-")[:12] in bare]


@dataclass(frozen=True)
class Batch:
    """One configuration with canaries in many places at once."""

    where: str
    canaries: tuple[str, ...]
    text: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


def _batch_of_files(where: str, paths: list[Path], make: Callable[[str], Any]) -> Batch:
    values = copy.deepcopy(BASE)
    for path in paths:
        set_value(values, path, make(canary(f"{where}: {path}")))
    return Batch(where, tuple(canary(f"{where}: {path}") for path in paths), dumped(values))


def batches() -> list[Batch]:
    """Every place and every shape, in few configurations: all problems are told at once."""
    sections_within = {path[:length] for path in places() for length in range(1, len(path))}
    entries = sorted((path for path in places() if path in sections_within), key=len, reverse=True)
    leaves = [path for path in places() if path not in entries]
    outer = [*entries, *sorted({path[:1] for path in leaves if path[1:]})]
    found = []
    for shape, make in SHAPES.items():
        found.append(_batch_of_files(f"every key as {shape}", leaves, make))
        found.append(_batch_of_files(f"every section as {shape}", list(dict.fromkeys(outer)), make))
    sections = sorted({path[:-1] for path in places()}, key=str)
    unknown = [(*section, canary(f"unknown keys: {section}")) for section in sections]
    found.append(
        Batch(
            "unknown keys",
            tuple(str(path[-1]) for path in unknown),
            _batch_of_files("unknown keys", list(unknown), lambda text: text).text,
        )
    )
    names = [(section, canary(f"names: {section} {number}")) for section in SECTION_NAMES for number in range(4)]
    values = BASE
    for path, value in zip(names, [{}, "x", {"region": "us"}, {"x": "x"}] * len(SECTION_NAMES), strict=True):
        values = with_value(values, path, value)
    found.append(Batch("names", tuple(name for _, name in names), dumped(values)))
    found += [Batch(place.where, (place.canary,), place.text) for place in [*_broken()][::3]]
    variables = [place for place in _in_variables() if "ADS_PROXY_CONFIG" not in place.where]
    together = {name: value for place in variables for name, value in place.environ.items() if place.canary in value}
    found.append(Batch("every variable", tuple(place.canary for place in variables), None, ENVIRONMENT | together))
    return found
