"""The schema, the example and the documentation say what the model says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from proxy.config import load
from proxy.config.model.deprecations import DEPRECATIONS
from proxy.config.model.section import keys_of
from proxy.config.model.sections import Config
from proxy.config.reading.variables import known_variables
from proxy.config.reference import BEGIN, END, LIMIT, REQUIRED, commented_yaml, json_schema, options, tables
from proxy.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "config" / "proxy.yaml"
FILLED_IN = {
    "<amzn1.application-oa2-client...>": "amzn1.application-oa2-client.abc",
    "<client secret>": "canary-secret",
    "<Atzr|...>": "Atzr|token",
}


def filled_in() -> str:
    text = EXAMPLE.read_text()
    for placeholder, value in FILLED_IN.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    return text


def in_force(text: str) -> str:
    """The text with every key in force: prose begins with `# ` and a word."""
    return re.sub(r"^( *)#(?! \S|$)", r"\1", text, flags=re.MULTILINE)


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


def test_the_committed_schema_is_current() -> None:
    """`ads-proxy schema > config/proxy.schema.json` would change nothing."""
    assert json.loads((ROOT / "config" / "proxy.schema.json").read_text()) == json_schema()


def test_the_documentation_is_current() -> None:
    """The tables of docs/reference/configuration.md are those of `ads-proxy schema --tables`."""
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    assert page[page.index(BEGIN) : page.index(END) + len(END)] == tables()


def test_no_option_is_undocumented() -> None:
    """Every key has a meaning, and every variable of a fixed name is that of a documented key."""
    found = [*options()]
    assert [option.key for option in found if not option.meaning] == []
    named = {option.variable for option in found}
    for variable in known_variables():
        known = variable in named or variable.removesuffix("_FILE") in named
        assert known or variable.startswith("AMAZON_ADS_") or variable == "ADS_PROXY_CONFIG", variable


def test_the_example_works_once_filled_in(tmp_path: Path) -> None:
    """Three values are all that is missing, for the schema as for the program."""
    text = filled_in()
    validator().validate(yaml.safe_load(text))
    (tmp_path / "proxy.yaml").write_text(text)
    assert load(tmp_path / "proxy.yaml", {}).accounts["main"].region == "na"


def test_the_example_says_what_is_missing() -> None:
    """The committed example is refused with the three places to fill in."""
    with pytest.raises(ConfigurationError) as caught:
        load(EXAMPLE, {})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "accounts.main.client_id",
        "accounts.main.client_secret",
        "accounts.main.refresh_token",
    ]


def test_what_the_example_comments_out_is_valid_too(tmp_path: Path) -> None:
    """Taking away the comment signs gives a configuration, and it names every section."""
    text = in_force(filled_in())
    values = yaml.safe_load(text)
    top = {option.key for option in options() if not option.section and (option.key,) not in DEPRECATIONS}
    assert top <= {*values}
    assert {option.section for option in options() if "." not in option.section and "[" not in option.section} <= {
        "",
        *values,
    }
    validator().validate(values)
    for name in ("admin-key", "state-key", "webhook-secret"):
        (tmp_path / name).write_text("canary-0123456789abcdef")
    values.pop("tls")
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(values))
    assert load(tmp_path / "proxy.yaml", {}).clients[0].name == "reporting"


@pytest.mark.parametrize("section", ["tokens", "upstream", "limits", "drain", "log"])
def test_the_example_shows_the_real_defaults(section: str) -> None:
    """What is commented out as a default is the default, and no key of the section is left out."""
    shown: dict[str, Any] = yaml.safe_load(in_force(filled_in()))[section]
    real = load(None, {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y"}).model_dump()[section]
    assert shown == real


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "accounts: {a: {client_id: x, client_secret: {file: s}, default_profile: 5}}",
        "accounts: {a: {client_id: {env: X}, client_secret: {env: Y}}}\nstate: {key: [{file: a}, {file: b}]}",
        "regions: {na: {api_url: 'http://127.0.0.1:9001'}}",
    ],
)
def test_the_schema_accepts_what_the_program_accepts(text: str) -> None:
    """Short forms and references are no errors in an editor."""
    validator().validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    ["acounts: {}", "regions: {us: {}}", "accounts: {'a b': {client_id: x, client_secret: y}}", "log: {level: loud}",
     "accounts: {a: {client_id: x}}", "clients: [{name: a, key_sha256: b}]", "drain: {delay: -1}"],
)  # fmt: skip
def test_the_schema_refuses_what_the_program_refuses(text: str) -> None:
    """An editor shows the mistake where it is made."""
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(yaml.safe_load(text))


NEEDING_VALUES = frozenset(
    {"tls", "reports", "accounts", "clients", "approvals", "routes", "operations", "invites", "identity_providers"}
)
ACCOUNT = "accounts: {acme: {client_id: a, client_secret: s}}\n"


def tree_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model as a tree of keys."""
    return {name: tree_of(key.section) if key.section else None for name, key in keys_of(model).items()}


def keys_in(value: Any) -> Any:
    """The keys in a document: an entry of a mapping or a list stands for all."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return keys_in(value[0])
    if not isinstance(value, dict):
        return None
    if set(value) in ({"NAME"}, {"na", "eu", "fe"}):
        return keys_in(next(iter(value.values())))
    return {key: keys_in(item) for key, item in value.items()}


def test_it_changes_nothing_as_it_is() -> None:
    """All of it is comment."""
    assert yaml.safe_load(commented_yaml()) is None


def test_every_key_is_in_it_at_its_place() -> None:
    """No key is missing, and none is too many."""
    assert keys_in(yaml.safe_load(in_force(commented_yaml()))) == tree_of(Config)


def test_what_has_a_default_shows_it(tmp_path: Path) -> None:
    """With every key in force that needs no value of one's own, the configuration is the default one."""
    (tmp_path / "all.yaml").write_text(ACCOUNT + in_force(commented_yaml(NEEDING_VALUES)))
    (tmp_path / "none.yaml").write_text(ACCOUNT)
    found, default = (load(tmp_path / f"{name}.yaml", {}) for name in ("all", "none"))
    assert found.model_copy(update={"sources": ()}) == default.model_copy(update={"sources": ()})


def test_what_limits_is_never_a_value() -> None:
    """A key that restricts a client cannot be put in force without thinking of what it should say."""
    text = commented_yaml()
    assert f"#    profiles: {LIMIT}" in text
    assert f"#    client_id: {REQUIRED}" in text


def test_lines_fit_a_terminal() -> None:
    """At most 110 columns, an indented default included."""
    assert max(map(len, commented_yaml().splitlines())) <= 110


def test_sections_can_be_left_out() -> None:
    """For a file that has them in force already."""
    assert "#accounts:" in commented_yaml()
    assert "#accounts:" not in commented_yaml(frozenset({"accounts"}))
