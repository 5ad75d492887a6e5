"""What counts as a text, a docstring and a comment of a program, and as a phrase of the dialect in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.measure_program import COMMENT, DOCSTRING, TEXT, Passage, long_sentences, main, mean, passages_of

PROGRAM = '''"""Serves whoever asks."""

# --- in vain ---

NAME = "one"  # beside it
def refuse(client: str) -> str:
    # The first line,
    # and the second.
    return f"Client {client} may not. Send " "another key."
PAGE = "<p class='x'>for <b>the tool</b></p>"
SCRIPT = "redis.call('get', whoever)"
'''


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_each_kind_of_passage_is_found(program: Path) -> None:
    """A text is whole, whatever is put into it and however it is split; markup and other languages are none."""
    found = [(each.kind, each.line, " ".join(each.text.split())) for each in passages_of(program)]
    assert found == [
        (DOCSTRING, 1, "Serves whoever asks."),
        (TEXT, 9, "Client CODE may not. Send another key."),
        (TEXT, 10, "for the tool"),
        (COMMENT, 3, "in vain"),
        (COMMENT, 5, "beside it"),
        (COMMENT, 7, "The first line, and the second."),
    ]


def test_texts_of_the_simulator_are_amazons(tmp_path: Path) -> None:
    """The simulator's docstrings count."""
    (tmp_path / "simulator").mkdir()
    path = tmp_path / "simulator" / "server.py"
    path.write_text(PROGRAM)
    assert {each.kind for each in passages_of(path)} == {DOCSTRING, COMMENT}


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("x.py", "Give the tool a key.", 1),
        ("x.py", "It serves tools.", 1),
        ("x.py", "`whoever` is a word of code.", 0),
        ("x.py", "The tool of an MCP server.", 0),
        ("mcp.py", "The tool and other tools.", 0),
        ("x.py", "A caller asks, in vain.", 2),
    ],
)
def test_phrases_of_the_dialect(name: str, text: str, count: int) -> None:
    """Tools are those of MCP; code is no prose."""
    assert len(Passage(TEXT, Path(name), 1, text).phrases) == count


def test_sentences_are_counted() -> None:
    """Each by its words."""
    passages = [
        Passage(TEXT, Path("x.py"), 1, "One two three. Four five."),
        Passage(TEXT, Path("x.py"), 2, "word " * 31),
    ]
    assert mean(passages[:1]) == 2.5
    assert [found for found, _ in long_sentences(passages)] == passages[1:]


def test_the_table_names_places(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--dialect says where each phrase is, and what to write."""
    assert main([str(program), "--dialect", "--long"]) == 0
    printed = capsys.readouterr().out
    assert f"{program}:1: docstring: 'whoever': name the reader or the role" in printed
    assert printed.splitlines()[-3].split()[0] == "text"
