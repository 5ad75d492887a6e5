"""The commented configuration: every key of the model, its default in force once the `#` is taken away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from proxy.config import load
from proxy.config.commented import LIMIT, REQUIRED, commented_yaml
from proxy.config.model.section import list_entry, mapping_entry, section_of
from proxy.config.model.sections import Config

NEEDING_VALUES = frozenset({"tls", "accounts", "clients", "routes", "operations", "invites"})
ACCOUNT = "accounts: {acme: {client_id: a, client_secret: s}}\n"


def in_force(text: str) -> str:
    """The text with every key in force: prose begins with `# ` and a word."""
    return re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE)


def keys_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model as a tree of keys."""
    tree: dict[str, Any] = {}
    for key, info in model.model_fields.items():
        if not info.exclude:
            inner = section_of(info.annotation) or list_entry(info.annotation) or mapping_entry(info.annotation)
            tree[key] = keys_of(inner) if inner else None
    return tree


def keys_in(value: Any) -> Any:
    """The same of a document: an entry of a mapping or a list stands for all."""
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
    """None is missing, none is too many."""
    assert keys_in(yaml.safe_load(in_force(commented_yaml()))) == keys_of(Config)


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
