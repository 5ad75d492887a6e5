"""A file of variables: the meaning of its lines, and the error for a line without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.config import environment
from proxy.config.reading.env_file import read_env_file, unquote
from proxy.errors import ConfigurationError


def test_each_line_is_a_variable(tmp_path: Path) -> None:
    """Comments, blank lines, `export`, spaces and quotes are as people write them; nothing is expanded."""
    path = tmp_path / ".env"
    text = "\n".join(
        (
            "\ufeff# a comment",
            "",
            "PLAIN=Atzr|a=b#c",
            "export EXPORTED = spaced ",
            "SINGLE='in quotes'",
            'DOUBLE="$HOME"',
            "EMPTY=",
            "TWICE=1",
            "TWICE=2\r",
        )
    )
    path.write_text(text, encoding="utf-8")
    assert read_env_file(path) == {
        "PLAIN": "Atzr|a=b#c",
        "EXPORTED": "spaced",
        "SINGLE": "in quotes",
        "DOUBLE": "$HOME",
        "EMPTY": "",
        "TWICE": "2",
    }


def test_what_is_no_variable_is_told_by_its_line(tmp_path: Path) -> None:
    """All wrong lines are reported at once, without their text: it may be a secret."""
    path = tmp_path / ".env"
    path.write_text("GOOD=1\ncanary-secret\n1BAD=canary\n")
    with pytest.raises(ConfigurationError) as caught:
        read_env_file(path)
    assert caught.value.problems == (
        "--env-file: line 2 is not NAME=VALUE; correct it, or begin it with #",
        "--env-file: line 3 is not NAME=VALUE; correct it, or begin it with #",
    )


def test_a_file_has_a_mebibyte_at_most(tmp_path: Path) -> None:
    """One that holds a byte more is no file of variables."""
    path = tmp_path / ".env"
    path.write_bytes(b"A=".ljust(1_048_576, b"x"))
    assert len(read_env_file(path)["A"]) == 1_048_574
    path.write_bytes(b"A=".ljust(1_048_577, b"x"))
    with pytest.raises(ConfigurationError, match="is too large"):
        read_env_file(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    """Missing, or no text."""
    path = tmp_path / ".env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^--env-file: the file (that it names|/\S+/\.env) "):
        read_env_file(path)


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set is not set by the file."""
    path = tmp_path / ".env"
    path.write_text("IN_BOTH=file\nIN_FILE=file\n")
    monkeypatch.setenv("IN_BOTH", "environment")
    found = environment(path)
    assert (found["IN_BOTH"], found["IN_FILE"]) == ("environment", "file")
    assert "IN_FILE" not in os.environ


@pytest.mark.parametrize(("value", "text"), [("'", "'"), ("''", ""), ("\"a'", "\"a'"), ("a", "a"), ("", "")])
def test_quotes_count_where_they_are_around_the_whole(value: str, text: str) -> None:
    """One alone, or two different ones, are part of the value."""
    assert unquote(value) == text


def test_an_empty_variable_of_the_environment_does_not_hide_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty means unset, so the value of the file counts; what is set in the environment still wins."""
    path = tmp_path / ".env"
    path.write_text("ADS_PROXY_LISTEN=127.0.0.1:1\nADS_PROXY_LOG__LEVEL=debug\n")
    monkeypatch.setenv("ADS_PROXY_LISTEN", "")
    monkeypatch.setenv("ADS_PROXY_LOG__LEVEL", "error")
    found = environment(path)
    assert (found["ADS_PROXY_LISTEN"], found["ADS_PROXY_LOG__LEVEL"]) == ("127.0.0.1:1", "error")
