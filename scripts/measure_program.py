"""Measure how the program speaks: the texts that people read, docstrings and comments of proxy/.

`python -m scripts.measure_program [FILE...]` prints a row per kind. `--dialect` lists each phrase of the private
dialect with its place, `--long` each long sentence. Texts are the string constants with a blank in them, without
those of the simulator, which speaks as Amazon does, and without scripts of other languages.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.measure_pages import DIALECT, LONG, passages, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parent.parent
TEXT, DOCSTRING, COMMENT = KINDS = ("text", "docstring", "comment")
OF_PROGRAMS = {
    **DIALECT,
    r"(?<!MCP )(?<!'s )tools(?! (list|that))": "clients (tools are those of MCP)",
    r"callers?": "client",
}
"""Phrases that the style guide replaces, and what to write; `tools` is a word of MCP alone."""
_PHRASES = [(re.compile(rf"\b(?:{phrase})\b", re.IGNORECASE), instead) for phrase, instead in OF_PROGRAMS.items()]
_ANY_PHRASE = re.compile("|".join(phrase.pattern for phrase, _ in _PHRASES), re.IGNORECASE)
_OF_MCP = re.compile(r"\bmcp|\btools?/|JSON-RPC", re.IGNORECASE)
_OTHER_LANGUAGE = re.compile(r"redis\.call|\bKEYS\[|^\s*<(!doctype|html)", re.IGNORECASE)
_MARKUP = re.compile(r"<[^<>]*>")
_CODE_SPAN = re.compile(r"(`+)[^`]*?\1")
_STRING_OR_COMMENT = re.compile(
    r"(?P<quotes>\"{3}|'{3}|[\"'])(?:[^\\]|\\.)*?(?P=quotes)|(?P<comment>#[^\n]*)", re.DOTALL
)
"""What a # may stand in, and what it may begin. `tokenize` reads all else as well, and takes ten times as long."""
_WORD = re.compile(r"\S*\w\S*")
_LEAVES = frozenset({ast.Name, ast.Load, ast.Store, ast.alias})
"""The most frequent nodes without a text."""
_INSERTED = "CODE"
"""What stands for a value that is put into a text."""


@dataclass(frozen=True)
class Passage:
    """A text, docstring or comment, and where it begins."""

    kind: str
    path: Path
    line: int
    text: str

    @property
    def prose(self) -> str:
        """The passage without code, which is not prose."""
        return _CODE_SPAN.sub("", self.text)

    @functools.cached_property
    def sentences(self) -> list[str]:
        """The passage's sentences; those of a text need not be whole."""
        return [each for paragraph, is_prose in passages(self.text) if is_prose for each in sentences(paragraph)]

    @property
    def phrases(self) -> list[tuple[str, str]]:
        """Each phrase of the dialect, and what to write."""
        prose = self.prose
        if not _ANY_PHRASE.search(prose):
            return []
        found = [(match[0], instead) for phrase, instead in _PHRASES for match in phrase.finditer(prose)]
        about_mcp = "mcp" in self.path.parts or "mcp" in self.path.stem or _OF_MCP.search(self.text)
        return [each for each in found if not (about_mcp and "tool" in each[0].lower())]


def passages_of(path: Path) -> Iterator[Passage]:
    """Every passage of a file of Python."""
    source = path.read_text(encoding="utf-8")
    for line, text, is_docstring in _texts(ast.parse(source)):
        if is_docstring:
            yield Passage(DOCSTRING, path, line, text)
        elif " " in text.strip() and "simulator" not in path.parts and not _OTHER_LANGUAGE.search(text):
            yield Passage(TEXT, path, line, _MARKUP.sub(" ", text))
    yield from _comments(path, source)


def _texts(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """The string constants in a tree, in order, and whether each is a docstring. One with values in it is one text."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, is_statement = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else _INSERTED for part in node.values)
            yield node.lineno, "".join(map(str, parts)), is_statement
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node.lineno, node.value, is_statement
        else:
            children = [
                (child, type(node) is ast.Expr) for child in ast.iter_child_nodes(node) if type(child) not in _LEAVES
            ]
            waiting += reversed(children)


def _comments(path: Path, source: str) -> Iterator[Passage]:
    """The comments, several lines in a row as one."""
    begun, lines = 0, list[str]()
    for match in _STRING_OR_COMMENT.finditer(source):
        if (comment := match["comment"]) and not re.match(r"# (noqa|type:|fmt:)", comment):
            line = source.count("\n", 0, match.start()) + 1
            if lines and line != begun + len(lines):
                yield Passage(COMMENT, path, begun, " ".join(lines))
                lines = []
            begun = begun if lines else line
            lines.append(re.sub(r"\s*#.*", "", comment.strip("#- ")))
    if lines:
        yield Passage(COMMENT, path, begun, " ".join(lines))


def files() -> list[Path]:
    """The program's files."""
    return sorted((ROOT / "proxy").rglob("*.py"))


def mean(found: Iterable[Passage]) -> float:
    """Words a sentence."""
    counts = [len(_WORD.findall(sentence)) for passage in found for sentence in passage.sentences]
    return sum(counts) / max(1, len(counts))


def long_sentences(found: Iterable[Passage]) -> list[tuple[Passage, str]]:
    """Each sentence with more than `LONG` words."""
    return [(passage, each) for passage in found for each in passage.sentences if len(_WORD.findall(each)) > LONG]


def _row(kind: str, found: list[Passage]) -> str:
    words = sum(len(_WORD.findall(passage.text)) for passage in found)
    phrases, total = sum(len(passage.phrases) for passage in found), sum(len(each.sentences) for each in found)
    long_share = 100 * len(long_sentences(found)) / max(1, total)
    return f"{kind:<10} {words:>8,} {mean(found):>6.1f} {long_share:>6.1f} {phrases:>8} {1000 * phrases / words:>6.1f}"


def main(arguments: list[str] | None = None) -> int:
    """Print the table of the files given, or of all of proxy/."""
    parser = argparse.ArgumentParser(description="Measure the texts, docstrings and comments of proxy/.")
    parser.add_argument("files", nargs="*", type=Path, help="files to measure (default: proxy/**/*.py)")
    parser.add_argument("--dialect", action="store_true", help="list each phrase of the dialect, and what to write")
    parser.add_argument("--long", action="store_true", help="list each long sentence")
    options = parser.parse_args(arguments)
    found = [passage for path in options.files or files() for passage in passages_of(path)]
    if options.dialect:
        for passage in found:
            for phrase, instead in passage.phrases:
                print(f"{passage.path}:{passage.line}: {passage.kind}: {phrase!r}: {instead}")
    if options.long:
        for passage, sentence in long_sentences(found):
            print(f"{passage.path}:{passage.line}: {passage.kind}: {sentence}")
    print(f"{'kind':<10} {'words':>8} {'mean':>6} {'> 30 %':>6} {'dialect':>8} {'/1000':>6}")
    for kind in KINDS:
        print(_row(kind, [passage for passage in found if passage.kind == kind]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
