"""The program's source as values: its modules, what each imports, and the order of the rooms. Nothing is run."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.programs import ROOT

LAYERS = (
    *("commands", "app", "admin", "spend", "mcp", "audit", "reports", "intercept", "local"),
    *("forwarding", "access", "routing", "profiles", "downstream", "upstream"),
    *("tokens", "observability", "http1", "net", "config"),
    *("problem.py", "events.py", "errors.py"),
    *("token_bucket.py", "directory_watch.py", "regions.py", "marketplaces.py", "backoff.py", "clock.py"),
    *("body_reader.py", "bounded_cache.py", "unchanging.py", "value_classes.py", "strict_json.py", "advice.py"),
    *("redaction.py", "secret.py"),
)
"""From top to bottom: each imports only from those after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One file of the package: its path from the top, its dotted name, its text and its tree."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder of proxy/ that it lies in, or its own name at the top."""
        parts = self.path.split("/")
        return parts[1]

    @property
    def claims_purity(self) -> bool:
        """Whether a docstring's first lines say that the module is pure, without a `but`."""
        contract = ast.get_docstring(self.tree) or ""
        return "Pure." in contract or "Pure:" in contract or "; pure" in contract.lower()


def _read(file: Path) -> Module:
    path = file.relative_to(ROOT)
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    text = file.read_text(encoding="utf-8")
    return Module(path.as_posix(), ".".join(parts), text, ast.parse(text))


MODULES = [_read(file) for file in sorted((ROOT / "proxy").rglob("*.py"))]
_NAMES = {module.name for module in MODULES}
_TREES = {module.path: module.tree for module in MODULES}


def statements(within: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements directly in it. To look into their expressions, too, would take most of the time."""
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):
        yield from getattr(within, block, ())


@functools.cache
def nodes_of(path: str) -> tuple[ast.AST, ...]:
    """All nodes of the module at this path, in the order of `ast.walk`."""
    return tuple(ast.walk(_TREES[path]))


@functools.cache
def imported(module: Module) -> frozenset[str]:
    """Every module that this one names in an import, within functions and TYPE_CHECKING blocks too."""
    names: set[str] = set()
    package = module.name if module.path.endswith("__init__.py") else module.name.rpartition(".")[0]
    for node in nodes_of(module.path):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*above, *([origin] if origin else [])])
            within = {f"{origin}.{alias.name}" for alias in node.names if f"{origin}.{alias.name}" in _NAMES}
            names.update(within)
            if len(within) < len(node.names):
                names.add(origin)
    return frozenset(names)


def within(name: str, package: str) -> bool:
    """Whether a dotted name is that package or lies in it."""
    return name == package or name.startswith(package + ".")


def room_of(name: str) -> str:
    """The room of a dotted name of ours: `proxy.http1.fields` -> `http1`, `proxy.problem` -> `problem.py`."""
    part = name.split(".")[1] if "." in name else ""
    return part if (ROOT / "proxy" / part).is_dir() else f"{part}.py"


def circles(edges: dict[str, set[str]]) -> list[str]:
    """The nodes that lie on a circle: each reaches itself."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = list(edges.get(start, ()))
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting.extend(edges.get(node, ()))
        return found

    return sorted(node for node in edges if node in reached(node))


COVERAGE = """\
[run]
branch = true
data_file = .cache/coverage
include =
    {modules}

[report]
fail_under = 100
skip_covered = true
show_missing = true
exclude_also =
    if TYPE_CHECKING:
    @overload
    \\.\\.\\.$
    assert_never\\(
"""
"""The settings of coverage in `make check`: every line and branch of the pure modules. Others cost too much time."""

if __name__ == "__main__":
    pure = [module.path for module in MODULES if module.room != "simulator" and module.claims_purity]
    print(COVERAGE.format(modules="\n    ".join(pure)), end="")
