"""A key that was renamed: taken by its old name for a while, and told so wherever people look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy import __version__
from proxy.config import load, notes
from proxy.config.model.deprecations import DEPRECATIONS, Deprecation, rename_keys, rename_variables
from proxy.config.model.key_names import RENAMED
from proxy.config.reference import json_schema, tables
from proxy.errors import ConfigurationError

MOVED = Deprecation(("limits", "header_wait"), ("limits", "header_timeout"), "0.2.0", "1.0.0")
OF_ACCOUNTS = Deprecation(("accounts", "*", "home"), ("accounts", "*", "region"), "0.2.0", "1.0.0")
OF_CLIENTS = Deprecation(("clients", "*", "rpm"), ("clients", "*", "requests_per_minute"), "0.3.0", "1.0.0")
OF_TOP = Deprecation(("proxy_url",), ("upstream", "proxy"), "0.2.0", "1.0.0")
TABLE = (MOVED, OF_ACCOUNTS, OF_CLIENTS, OF_TOP)
FILE = f"""
accounts:
  acme: {{client_id: x, client_secret: s, home: eu}}
  brand: {{client_id: x, client_secret: s}}
clients:
  - {{name: a, key_sha256: {"ab" * 32}, rpm: 5}}
limits: {{header_wait: 3}}
proxy_url: http://proxy.internal:3128
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "proxy.yaml"
    path.write_text(text)
    return path


def problems_of(path: Path | None, environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ, deprecations=TABLE)
    return caught.value.problems


def test_old_names_are_in_force(tmp_path: Path) -> None:
    """At the top, in a section, in a mapping's entries and a list's; a section that is not there is made."""
    config = load(written(tmp_path, FILE), {}, deprecations=TABLE)
    assert config.limits.header_timeout == 3
    assert (config.accounts["acme"].region, config.accounts["brand"].region) == ("eu", "na")
    assert config.clients[0].requests_per_minute == 5
    assert config.upstream.proxy is not None


def test_each_is_noted_with_what_to_write(tmp_path: Path) -> None:
    """The note says since when, until when, and what takes its place; `serve` and `check` show all notes."""
    config = load(written(tmp_path, FILE), {}, deprecations=TABLE)
    assert config.remarks == (
        "limits.header_wait: is deprecated since 0.2.0, and accepted until 1.0.0: use limits.header_timeout.",
        "accounts.acme.home: is deprecated since 0.2.0, and accepted until 1.0.0: use accounts.*.region.",
        "clients[0].rpm: is deprecated since 0.3.0, and accepted until 1.0.0: use clients.*.requests_per_minute.",
        "proxy_url: is deprecated since 0.2.0, and accepted until 1.0.0: use upstream.proxy.",
    )
    assert notes(config)[: len(TABLE)] == config.remarks


def test_variables_have_their_old_names_too(tmp_path: Path) -> None:
    """Fixed ones, those of an entry, and `..._FILE`."""
    secret = tmp_path / "proxy"
    secret.write_text("http://proxy.internal:3128")
    environ = {
        "ADS_PROXY_LIMITS__HEADER_WAIT": "4",
        "ADS_PROXY_ACCOUNTS__BRAND__HOME": "fe",
        "ADS_PROXY_PROXY_URL_FILE": str(secret),
    }
    path = written(
        tmp_path, FILE.replace("limits: {header_wait: 3}", "").replace("proxy_url: http://proxy.internal:3128", "")
    )
    config = load(path, environ, deprecations=TABLE)
    assert (config.limits.header_timeout, config.accounts["brand"].region) == (4, "fe")
    assert config.upstream.proxy is not None
    assert (
        "ADS_PROXY_LIMITS__HEADER_WAIT is deprecated since 0.2.0, and accepted until 1.0.0: "
        "use ADS_PROXY_LIMITS__HEADER_TIMEOUT." in config.remarks
    )
    assert any("use ADS_PROXY_ACCOUNTS__BRAND__REGION." in note for note in config.remarks)
    assert any("use ADS_PROXY_UPSTREAM__PROXY_FILE." in note for note in config.remarks)


def test_both_names_at_once_are_a_problem(tmp_path: Path) -> None:
    """The two names may mean different values: in a file as in the environment. The environment still overrides the
    file."""
    account = "accounts: {acme: {client_id: x, client_secret: s}}\n"
    both = written(tmp_path, account + "limits: {header_wait: 3, header_timeout: 4}")
    told = "is deprecated since 0.2.0, and accepted until 1.0.0: use"
    assert f"limits.header_wait: {told} limits.header_timeout, which is set too; remove this one" in problems_of(
        both, {}
    )
    environ = {"ADS_PROXY_LIMITS__HEADER_WAIT": "4", "ADS_PROXY_LIMITS__HEADER_TIMEOUT": "5"}
    (problem, *_) = problems_of(written(tmp_path, account), environ)
    assert problem == (
        f"ADS_PROXY_LIMITS__HEADER_WAIT {told} ADS_PROXY_LIMITS__HEADER_TIMEOUT, which is set too; unset this one"
    )
    old = written(tmp_path, account + "limits: {header_wait: 3}")
    found = load(old, {"ADS_PROXY_LIMITS__HEADER_TIMEOUT": "5"}, deprecations=TABLE)
    assert found.limits.header_timeout == 5


def test_a_wrong_value_is_told_by_its_line(tmp_path: Path) -> None:
    """The sentence names the present key, and the line where the old one stands."""
    path = written(tmp_path, FILE.replace("home: eu", "home: mars"))
    assert "accounts.acme.region: is not one of na, eu, fe (line 3)" in problems_of(path, {})


def test_without_an_entry_an_old_name_is_unknown(tmp_path: Path) -> None:
    """An old name without an entry is an unknown key; the values read are never changed."""
    with pytest.raises(ConfigurationError, match="limits: holds an unknown key"):
        load(written(tmp_path, FILE), {})
    values: dict[str, Any] = {"limits": {"header_wait": 3}}
    assert rename_keys(values, TABLE).values == {"limits": {"header_timeout": 3}}
    assert values == {"limits": {"header_wait": 3}}
    assert rename_variables({"X": "y"}, "ADS_PROXY_", ()) == ({"X": "y"}, [], [])


def test_values_of_a_wrong_shape_are_left_to_the_model() -> None:
    """Nothing is moved out of what is no mapping and no list."""
    for values in ({"limits": 3}, {"accounts": None}, {"clients": "x"}, {"accounts": {"acme": [1]}}, {"clients": [1]}):
        assert rename_keys(values, TABLE).values == values


def test_a_section_of_a_wrong_shape_gives_way(tmp_path: Path) -> None:
    """Where the new key's section is empty it is made."""
    assert rename_keys({"proxy_url": "x", "upstream": None}, TABLE).values == {"upstream": {"proxy": "x"}}


def test_the_reference_shows_old_names() -> None:
    """In the table of their section, and marked in the schema, which takes them."""
    text = tables(TABLE)
    assert (
        "| `header_wait` | - | none | Deprecated since 0.2.0, and accepted until 1.0.0: use limits.header_timeout. |"
        in text
    )
    top, accounts = text.index("### Top level"), text.index("### `accounts.NAME`")
    assert top < text.index("| `proxy_url` |") < text.index("### `admin`")
    assert accounts < text.index("| `home` |") < text.index("### `clients[]`") < text.index("| `rpm` |")
    schema = json_schema(TABLE)
    assert schema["$defs"]["LimitsSection"]["properties"]["header_wait"]["deprecated"] is True
    assert schema["$defs"]["Account"]["properties"]["home"]["deprecated"] is True
    jsonschema.Draft202012Validator(schema).validate({"limits": {"header_wait": 3}, "proxy_url": "x"})
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid({"limits": {"header_wait": 3}})


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_every_entry_is_in_its_time() -> None:
    """An entry ends after it begins, not before this version, and with as many `*` on both sides; then it is a
    `RENAMED`."""
    for entry in DEPRECATIONS:
        assert as_numbers(entry.since) < as_numbers(entry.until)
        assert as_numbers(__version__) < as_numbers(entry.until), f"{entry.old} belongs into RENAMED now"
        assert entry.old.count("*") == entry.new.count("*")
        assert entry.old not in RENAMED


@pytest.mark.parametrize("value", ["true", "false", "maybe", "{}", ""])
def test_fast_path_is_accepted_and_has_no_effect(tmp_path: Path, value: str) -> None:
    """Whatever its value is: the configuration is the same as without the key, and one note asks to remove it."""
    account = "accounts: {acme: {client_id: x, client_secret: s}}\n"
    without = load(written(tmp_path, account), {})
    config = load(written(tmp_path, f"{account}fast_path: {value}\n"), {})
    assert config.model_dump() == without.model_dump()
    assert config.remarks == (
        "fast_path: is deprecated since 0.2, and accepted until 1.0: it has no effect; remove it.",
    )
    assert [note for note in notes(config) if "fast_path" in note] == [*config.remarks]


def test_fast_path_in_the_environment_is_noted_by_its_variable(tmp_path: Path) -> None:
    """The variable is not an unknown one, and its value is not read."""
    account = "accounts: {acme: {client_id: x, client_secret: s}}\n"
    config = load(written(tmp_path, account), {"ADS_PROXY_FAST_PATH": "maybe"})
    assert config.remarks == (
        "ADS_PROXY_FAST_PATH is deprecated since 0.2, and accepted until 1.0: it has no effect; remove it.",
    )
