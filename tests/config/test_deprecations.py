"""A key that was renamed: taken by its old name for a while, and told so wherever people look."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from proxy import __version__
from proxy.config import load, notes
from proxy.config.model.deprecations import DEPRECATIONS, Deprecation, rename_keys
from proxy.config.model.key_names import RENAMED
from proxy.config.reference import json_schema, tables
from proxy.errors import ConfigurationError
from tests.config.test_environment import problems_of, write

ACCOUNT = "accounts: {acme: {client_id: x, client_secret: s}}\n"
FILE = ACCOUNT + "limits: {header_wait: 3}\nlistening: 127.0.0.1:9\n"
TOLD = "deprecated since 0.2.0, and accepted until 1.0.0: use"


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key at the top and two in sections have new names."""
    listen = Deprecation("0.2.0", "1.0.0", ("listen",))
    monkeypatch.setitem(DEPRECATIONS, ("listening",), listen)
    timeout = Deprecation("0.2.0", "1.0.0", ("limits", "header_timeout"))
    monkeypatch.setitem(DEPRECATIONS, ("limits", "header_wait"), timeout)
    key = Deprecation("0.2.0", "1.0.0", ("admin", "key"))
    monkeypatch.setitem(DEPRECATIONS, ("admin", "password"), key)


@pytest.mark.usefixtures("renamed")
def test_old_names_are_in_force_and_noted(tmp_path: Path) -> None:
    """The note says since when, until when, and what to write; `serve` and `check` show all notes."""
    config = load(write(tmp_path, FILE), {})
    assert (config.limits.header_timeout, config.listen.port) == (3, 9)
    assert set(config.remarks) == {
        f"limits.header_wait: is {TOLD} limits.header_timeout.",
        f"listening: is {TOLD} listen.",
    }
    assert notes(config)[:2] == config.remarks


@pytest.mark.usefixtures("renamed")
def test_variables_have_their_old_names_too(tmp_path: Path) -> None:
    """The plain one, and `..._FILE`."""
    secret = tmp_path / "key"
    secret.write_text("0123456789abcdef")
    secret.chmod(0o600)
    environ = {"ADS_PROXY_LIMITS__HEADER_WAIT": "4", "ADS_PROXY_ADMIN__PASSWORD_FILE": str(secret)}
    config = load(write(tmp_path, ACCOUNT), environ)
    assert config.limits.header_timeout == 4
    assert config.admin.key is not None
    assert set(config.remarks) == {
        f"ADS_PROXY_LIMITS__HEADER_WAIT is {TOLD} ADS_PROXY_LIMITS__HEADER_TIMEOUT.",
        f"ADS_PROXY_ADMIN__PASSWORD_FILE is {TOLD} ADS_PROXY_ADMIN__KEY_FILE.",
    }


@pytest.mark.usefixtures("renamed")
def test_both_names_at_once_are_a_problem(tmp_path: Path) -> None:
    """Nobody knows which is meant: in a file as in the environment. The environment still beats the file."""
    both = write(tmp_path, ACCOUNT + "limits: {header_wait: 3, header_timeout: 4}")
    assert problems_of(both, {}) == (
        f"limits.header_wait: is {TOLD} limits.header_timeout, which is set too; remove this one",
    )
    environ = {"ADS_PROXY_LIMITS__HEADER_WAIT": "4", "ADS_PROXY_LIMITS__HEADER_TIMEOUT": "5"}
    assert problems_of(write(tmp_path, ACCOUNT), environ) == (
        f"ADS_PROXY_LIMITS__HEADER_WAIT is {TOLD} ADS_PROXY_LIMITS__HEADER_TIMEOUT, which is set too; remove this one",
    )
    found = load(write(tmp_path, ACCOUNT + "limits: {header_wait: 3}"), {"ADS_PROXY_LIMITS__HEADER_TIMEOUT": "5"})
    assert found.limits.header_timeout == 5


@pytest.mark.usefixtures("renamed")
def test_a_wrong_value_is_told_by_its_line(tmp_path: Path) -> None:
    """The sentence names the present key, and the line where the old one stands."""
    path = write(tmp_path, FILE.replace("3}", "soon}"))
    assert problems_of(path, {}) == (
        "limits.header_timeout: must be a number of seconds such as 30 or 0.5, not a text (line 2)",
    )


def test_without_an_entry_an_old_name_is_unknown(tmp_path: Path) -> None:
    """An old name is an error once its entry is gone."""
    with pytest.raises(ConfigurationError, match="limits: holds an unknown key"):
        load(write(tmp_path, FILE), {})


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("limits", [3, None, [1], "x"])
def test_a_section_of_a_wrong_shape_is_left_to_the_model(limits: object) -> None:
    """Nothing is renamed in what is no mapping."""
    values = {"limits": limits}
    rename_keys(values, {}, "ADS_PROXY_")
    assert values == {"limits": limits}


@pytest.mark.usefixtures("renamed")
def test_the_reference_shows_old_names() -> None:
    """In the table of their section, and marked in the schema, which takes them."""
    text = tables()
    limits = text.index("### `limits`")
    row = f"| `header_wait` | - | none | Deprecated{TOLD.removeprefix('deprecated')} limits.header_timeout. |"
    assert text.index("| `listening` |") < text.index("### `admin`") < limits < text.index(row)
    schema = json_schema()
    assert schema["$defs"]["LimitsSection"]["properties"]["header_wait"]["deprecated"] is True
    jsonschema.Draft202012Validator(schema).validate({"limits": {"header_wait": 3}, "listening": "x:1"})


def test_the_schema_refuses_what_is_no_old_name() -> None:
    """An old name without an entry is an unknown key for editors, too."""
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid({"limits": {"header_wait": 3}})


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_every_entry_is_in_its_time() -> None:
    """An entry ends after it begins, and not before this version; the new name is in the same section."""
    for old, entry in DEPRECATIONS.items():
        assert as_numbers(entry.since) < as_numbers(entry.until)
        assert as_numbers(__version__) < as_numbers(entry.until), f"{old} belongs into RENAMED now"
        assert entry.new[:-1] in (old[:-1], ())
        assert old not in RENAMED


@pytest.mark.parametrize("value", ["true", "false", "maybe", "{}", ""])
def test_fast_path_is_accepted_and_has_no_effect(tmp_path: Path, value: str) -> None:
    """Whatever its value is: the configuration is the same as without the key, and one note asks to remove it."""
    without = load(write(tmp_path, ACCOUNT), {})
    config = load(write(tmp_path, f"{ACCOUNT}fast_path: {value}\n"), {})
    assert config.model_dump() == without.model_dump()
    assert config.remarks == (
        "fast_path: is deprecated since 0.2, and accepted until 1.0: it has no effect; remove it.",
    )
    assert [note for note in notes(config) if "fast_path" in note] == [*config.remarks]


def test_fast_path_in_the_environment_is_noted_by_its_variable(tmp_path: Path) -> None:
    """The variable is not an unknown one, and its value is not read."""
    config = load(write(tmp_path, ACCOUNT), {"ADS_PROXY_FAST_PATH": "maybe"})
    assert config.remarks == (
        "ADS_PROXY_FAST_PATH is deprecated since 0.2, and accepted until 1.0: it has no effect; remove it.",
    )


@pytest.mark.parametrize("value", ["1", "'1'", ""])
def test_one_worker_is_accepted_and_noted(tmp_path: Path, value: str) -> None:
    """The configuration is the same as without the key; the note names the only value, and what replaces others."""
    without = load(write(tmp_path, ACCOUNT), {})
    config = load(write(tmp_path, f"{ACCOUNT}workers: {value}\n"), {})
    assert config.model_dump() == without.model_dump()
    (note,) = config.remarks
    assert note.startswith("workers: is deprecated since 0.3, and accepted until 1.0: it has no effect; remove it; ")
    (note,) = load(write(tmp_path, ACCOUNT), {"ADS_PROXY_WORKERS": " 1"}).remarks
    assert note.startswith("ADS_PROXY_WORKERS is deprecated since 0.3")


@pytest.mark.parametrize("value", ["2", "64", "0", "many", "true", "1.0", "[1]", "{}"])
def test_any_other_number_of_workers_is_an_error_that_says_what_replaces_it(tmp_path: Path, value: str) -> None:
    """One sentence, with the keys to set and the page; at a reload too, which keeps the running configuration."""
    running = load(write(tmp_path, ACCOUNT), {})
    path = write(tmp_path, f"{ACCOUNT}workers: {value}\n")
    told = (
        "workers: can only be 1: one program is one process now; for more cores run several replicas on one address "
        "with `reuse_port: true` and a shared `state.url` (docs/how-to/more-than-one-core.md)"
    )
    assert problems_of(path, {}) == (told,)
    with pytest.raises(ConfigurationError) as refused:
        load(path, {}, running=running)
    assert refused.value.problems == (told,)


def test_a_file_that_names_several_workers_is_refused_unread(tmp_path: Path) -> None:
    """Whatever is in it: the variable itself is the mistake."""
    (told,) = problems_of(write(tmp_path, ACCOUNT), {"ADS_PROXY_WORKERS_FILE": "/nowhere"})
    assert told.startswith("ADS_PROXY_WORKERS_FILE can only be 1: ")
