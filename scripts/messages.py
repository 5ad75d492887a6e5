"""Find the messages that people read in the code: failed token requests, and problems of a configuration or a command.

A message is a text where it is declared: given to a class of `proxy/errors.py` or to a function that prints or refuses,
or yielded by a check of the configuration. A value that is put into it is shown as `…`.
"""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

from proxy import errors
from proxy.config.model.expected import Expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
INSERTED = "…"
ALIKE = 0.66
"""Messages with this share of words in common are shown as one form."""
MIN_WORDS = 2
"""A shorter text is a part of a message, not one."""
_OF_COMMANDS = frozenset(
    {"complain", "_misused", "SignInRefused", "ConfigurationError", "StartupError", "ListenError", "SimulatorFailed"}
    | {"BadParameter", "StatusAnswer", "ValueError"}
)
_OF_START = frozenset({"StateError", "StateUnavailable", "StateFileDamaged", "ListenError", "StartupError"})
_OF_CONFIGURATION = frozenset({"append", "ConfigurationError", "WrongValue", "Document", "_forbidden"})


@dataclass(frozen=True)
class Source:
    """A file of the program, and its constants that are texts."""

    path: Path
    nodes: tuple[ast.AST, ...]
    constants: dict[str, ast.expr] = field(default_factory=dict)

    @classmethod
    @functools.cache
    def read(cls, path: Path) -> Source:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        return cls(path, tuple(ast.walk(tree)), constants)

    def texts(self, node: ast.expr) -> Iterator[str]:
        """The messages in an expression, outside of calls."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(map(self._part, node.values))
        elif isinstance(node, ast.IfExp):
            yield from (*self.texts(node.body), *self.texts(node.orelse))
        elif isinstance(node, ast.Tuple):
            yield from (text for element in node.elts for text in self.texts(element))
        elif isinstance(node, ast.GeneratorExp):
            yield from self.texts(node.elt)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tuple":
            yield from (text for argument in node.args for text in self.texts(argument))
        elif isinstance(node, ast.Name) and isinstance(found := self.constants.get(node.id), ast.Constant):
            yield from self.texts(found)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            mapping = self.constants.get(node.value.id)
            yield from (text for value in getattr(mapping, "values", ()) for text in self.texts(value))

    def _part(self, part: ast.expr) -> str:
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            return next(self.texts(part.value), INSERTED)
        return str(part.value) if isinstance(part, ast.Constant) else INSERTED

    def given_to(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Each message in an argument of one of these functions and classes, with its name."""
        for call in (node for node in self.nodes if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            if name in names:
                arguments = (*call.args, *(keyword.value for keyword in call.keywords))
                yield from ((name, text) for argument in arguments for text in self.texts(argument))

    def given_out(self) -> Iterator[str]:
        """Each message that a function yields or returns."""
        for node in self.nodes:
            if isinstance(node, ast.Yield | ast.Return) and node.value is not None:
                yield from self.texts(node.value)


def _sources(*folders: str) -> list[Source]:
    return [Source.read(path) for folder in folders for path in sorted((ROOT / "proxy" / folder).rglob("*.py"))]


def _of(sources: Iterable[Source], names: Iterable[str]) -> list[str]:
    return [text for source in sources for _, text in source.given_to(names)]


def whole(found: Iterable[str]) -> list[str]:
    """Each message once and on one line, without parts of messages."""
    lines = dict.fromkeys(" ".join(text.split()) for text in found)
    return [text for text in lines if len(text.replace(INSERTED, " ").split()) >= MIN_WORDS]


def openings(found: Iterable[str], fewest: int = 3) -> list[str]:
    """The forms of messages. Those that begin with the same words are one, with the shortest as the example."""
    groups: dict[str, list[str]] = {}
    for form in forms(found):
        words = form.split()
        groups.setdefault(" ".join(words[: 3 if words[0] == "The" else 2]), []).append(form)
    shown = (
        [f"{opening} {INSERTED} (as in: {min(texts, key=_brevity)})"] if len(texts) >= fewest else texts
        for opening, texts in groups.items()
    )
    return [text for texts in shown for text in texts]


def _brevity(text: str) -> tuple[bool, int]:
    """Messages without a value before those with one, then the short ones."""
    return text.endswith(INSERTED), len(text)


def forms(found: Iterable[str]) -> list[str]:
    """Messages as a page shows them: those that differ in a few words are one form, with `…` for these words."""
    shown: list[str] = []
    for text in (text for text in found if _is_sentence(text)):
        at = next((at for at, form in enumerate(shown) if _matcher(form, text).ratio() >= ALIKE), len(shown))
        shown[at:] = [_common(shown[at], text) if at < len(shown) else text, *shown[at + 1 :]]
    return list(dict.fromkeys(shown))


def _is_sentence(text: str) -> bool:
    """Whether a message has at least two words of its own, besides the place that it begins with."""
    return not text.startswith("(") and len(re.findall(r"[A-Za-z]{2,}(?![\w:(])", text)) >= MIN_WORDS


def _matcher(form: str, text: str) -> SequenceMatcher[str]:
    return SequenceMatcher(None, form.split(), text.split(), autojunk=False)


def _common(form: str, text: str) -> str:
    """The words of both in their order, and a sign for each run of others."""
    words, at, end = form.split(), 0, 0
    found: list[str] = []
    for block in _matcher(form, text).get_matching_blocks():
        if (block.a, block.b) != (at, end) and found[-1:] != [INSERTED]:
            found.append(INSERTED)
        found.extend(words[block.a : block.a + block.size])
        at, end = block.a + block.size, block.b + block.size
    return " ".join(found)


def token_failures() -> list[tuple[str, list[str], str]]:
    """Each kind of failed token request: the reason in metrics, its details, and its advice."""
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.TokenFailure) and kind is not errors.TokenFailure
    }
    found: dict[str, list[str]] = {name: [] for name in kinds}
    for source in _sources("tokens"):
        for name, text in source.given_to(kinds):
            found[name].append(text)
    return [(kind.reason, whole(found[name]), kind.advice) for name, kind in kinds.items()]


def configuration() -> dict[str, list[str]]:
    """The problems of a configuration, by what they are about."""
    problems, rules, contents, commands, operations, document, *variables = (
        Source.read(ROOT / "proxy" / path)
        for path in (
            *("config/checks/problems.py", "config/checks/rules.py", "config/checks/contents.py"),
            *("config/reading/command_run.py", "routing/operations.py", "config/reading/document.py"),
            *("config/reading/variables.py", "config/reading/env_file.py"),
        )
    )
    explanations = (
        text
        for pair in getattr(document.constants["_EXPLANATIONS"], "elts", ())
        for text in document.texts(pair.elts[1])
    )
    return {
        "a key": whole([*map(str, Expected), *problems.given_out()]),
        "keys together": whole([*rules.given_out(), *operations.given_out()]),
        "the file": whole([*explanations, *_of([document], _OF_CONFIGURATION)]),
        "what a key names": whole([*contents.given_out(), *commands.given_out()]),
        "variables": whole(_of(variables, _OF_CONFIGURATION)),
    }


def at_start() -> dict[str, list[str]]:
    """The problems of listeners, and of the state store."""
    return {
        "listeners": whole(_of(_sources("app", "downstream"), _OF_START)),
        "state store": whole(_of(_sources("tokens"), _OF_START)),
    }


def of_commands() -> dict[str, list[str]]:
    """The problems of commands, by the file."""
    found = {source.path.stem: whole(_of([source], _OF_COMMANDS)) for source in _sources("commands")}
    found["of a running proxy"] = whole(Source.read(ROOT / "proxy/commands/asking.py").given_out())
    return {name.replace("_", "-"): texts for name, texts in found.items() if texts}
