"""The rules of the house, held by reading the source: who may import whom, and how long a thing may be.

Nothing of the program is run or imported here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 40
PARAMETERS = 5

# A longer file, function or parameter list needs its reason here: {"proxy/x.py": "why"}, {"proxy/x.py:name": "why"}.
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
MANY_PARAMETERS: dict[str, str] = {}

PURE = (
    "proxy/errors.py",
    "proxy/events.py",
    "proxy/secret.py",
    "proxy/tokens/lifecycle.py",
    "proxy/access/admission.py",
    "proxy/access/clients.py",
    "proxy/access/policy.py",
    "proxy/routing/route.py",
    "proxy/routing/scope.py",
    "proxy/routing/target.py",
    "proxy/http1/fields.py",
    "proxy/http1/framing.py",
    "proxy/http1/message.py",
    "proxy/http1/request_fields.py",
    "proxy/http1/response_fields.py",
    "proxy/http1/target.py",
    "proxy/forwarding/retry.py",
    "proxy/routing/account_names.py",
    "proxy/routing/amendments.py",
    "proxy/routing/families.py",
    "proxy/routing/operations.py",
    "proxy/routing/templates.py",
)
COMMANDS = ("proxy.commands", "proxy.__main__")
CLOCKS_AND_CHANCE = {"time", "datetime", "random", "secrets", "asyncio", "socket", "threading", "os"}


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the package: its path from the top, its dotted name, its text and its tree."""

    path: str
    name: str
    text: str
    tree: ast.Module


def _read(file: Path) -> Module:
    path = file.relative_to(ROOT)
    parts = list(path.with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    text = file.read_text(encoding="utf-8")
    return Module(path.as_posix(), ".".join(parts), text, ast.parse(text))


MODULES = [_read(file) for file in sorted((ROOT / "proxy").rglob("*.py"))]
EVERY_MODULE = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)


def imported(module: Module) -> set[str]:
    """Every module that this one names in an import, within functions and TYPE_CHECKING blocks too."""
    names: set[str] = set()
    package = module.name if module.path.endswith("__init__.py") else module.name.rpartition(".")[0]
    known = {other.name for other in MODULES}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                origin = ".".join([*above, *([origin] if origin else [])])
            names.add(origin)
            names.update(f"{origin}.{alias.name}" for alias in node.names if f"{origin}.{alias.name}" in known)
    return names


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _is_command(module: Module) -> bool:
    return any(_within(module.name, command) for command in COMMANDS)


def _functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}" if within else node.name
            if not isinstance(node, ast.ClassDef):
                yield name, node
            yield from _functions(node, name)
        else:
            yield from _functions(node, within)


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end; the docstring does not count."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (bool(names) and names[0] in {"self", "cls"})


def _reads_environment(node: ast.AST) -> bool:
    environment = {"environ", "environb", "getenv", "getenvb", "putenv"}
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in environment
    return isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name in environment for a in node.names)


@EVERY_MODULE
def test_every_file_opens_with_its_contract(module: Module) -> None:
    """A docstring of at least a sentence stands at the top of each file."""
    docstring = ast.get_docstring(module.tree)
    assert docstring, f"{module.path} has no docstring"
    assert len(docstring) > 20, f"{module.path}: the docstring says too little"


@EVERY_MODULE
def test_no_file_is_too_long(module: Module) -> None:
    """A file has at most 400 lines, but for those with a reason."""
    lines = module.text.count("\n")
    assert lines <= LINES_PER_FILE or module.path in LONG_FILES, f"{module.path} has {lines} lines"


@EVERY_MODULE
def test_no_function_is_too_long(module: Module) -> None:
    """A function has at most 40 lines without its docstring, but for those with a reason."""
    too_long = {
        f"{module.path}:{name}": _body_lines(function)
        for name, function in _functions(module.tree)
        if _body_lines(function) > LINES_PER_FUNCTION and f"{module.path}:{name}" not in LONG_FUNCTIONS
    }
    assert not too_long


@EVERY_MODULE
def test_no_function_takes_too_much(module: Module) -> None:
    """A function has at most five parameters, `self` not counted, but for those with a reason."""
    too_many = {
        f"{module.path}:{name}": _parameters(function)
        for name, function in _functions(module.tree)
        if _parameters(function) > PARAMETERS and f"{module.path}:{name}" not in MANY_PARAMETERS
    }
    assert not too_many


@EVERY_MODULE
def test_only_the_configuration_reads_the_environment(module: Module) -> None:
    """`os.environ` and its like are named in `proxy/config` alone."""
    if _within(module.name, "proxy.config"):
        return
    places = [getattr(node, "lineno", 0) for node in ast.walk(module.tree) if _reads_environment(node)]
    assert not places, f"{module.path} reads the environment in lines {places}"


@EVERY_MODULE
def test_no_name_hides_what_a_thing_is(module: Module) -> None:
    """No class and no file is called Helper, Util, Base or Data."""
    empty_words = ("Helper", "Util", "Utils", "Base", "Data")
    classes = [node.name for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    stem = module.name.rpartition(".")[2].title().replace("_", "")
    assert not [name for name in (*classes, stem) if name.endswith(empty_words)]


@EVERY_MODULE
def test_no_unfinished_business_is_left(module: Module) -> None:
    """No comment puts work off."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert not [mark for mark in marks if mark in module.text]


@pytest.mark.parametrize("name", ["proxy.errors", "proxy.events", "proxy.secret"])
def test_the_ground_floor_stands_on_nothing_of_ours(name: str) -> None:
    """`errors`, `events` and `secret` import nothing from the package."""
    module = _named(name)
    assert not {other for other in imported(module) if _within(other, "proxy")}


def test_tokens_know_nothing_of_traffic() -> None:
    """No module of `tokens` imports one of the rooms that requests go through."""
    rooms = ("forwarding", "access", "routing", "profiles", "downstream", "upstream")
    for module in MODULES:
        if _within(module.name, "proxy.tokens"):
            foreign = {name for name in imported(module) for room in rooms if _within(name, f"proxy.{room}")}
            assert not foreign, module.path


@pytest.mark.parametrize("observer", ["proxy.observability.logs", "proxy.observability.metrics", "proxy.admin"])
def test_only_the_composition_root_knows_the_observers(observer: str) -> None:
    """`observability` and `admin` are imported by `app` (and by their own parts) alone."""
    knowing = {
        module.path
        for module in MODULES
        if not _within(module.name, observer)
        and not _within(module.name, "proxy.app")
        and any(_within(name, observer) for name in imported(module))
    }
    assert not knowing


def test_the_simulator_shares_no_code_with_the_proxy() -> None:
    """The simulator imports nothing of the proxy, so that a mistake cannot be made on both sides at once."""
    for module in MODULES:
        if _within(module.name, "proxy.simulator"):
            foreign = {
                name
                for name in imported(module)
                if _within(name, "proxy") and not _within(name, "proxy.simulator") and name != "proxy"
            }
            assert not foreign, module.path


def test_only_the_commands_start_the_simulator() -> None:
    """Outside the simulator, only the commands and `app` import it."""
    knowing = {
        module.path
        for module in MODULES
        if not _within(module.name, "proxy.simulator")
        and not _is_command(module)
        and not _within(module.name, "proxy.app")
        and any(_within(name, "proxy.simulator") for name in imported(module))
    }
    assert not knowing


def test_the_composition_root_is_imported_by_the_commands_alone() -> None:
    """Nothing below `app` knows it, nor the commands."""
    for root in ("proxy.app", "proxy.commands"):
        knowing = {
            module.path
            for module in MODULES
            if not _within(module.name, root)
            and not _is_command(module)
            and any(_within(name, root) for name in imported(module))
        }
        assert not knowing, root


@pytest.mark.parametrize("path", PURE)
def test_a_pure_module_asks_no_clock_and_never_awaits(path: str) -> None:
    """Pure modules take time and chance as arguments, and do nothing that waits."""
    module = next((module for module in MODULES if module.path == path), None)
    if module is None:
        pytest.skip(f"{path} is not written yet")
    assert not {name.split(".")[0] for name in imported(module)} & CLOCKS_AND_CHANCE
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert not [node for node in ast.walk(module.tree) if isinstance(node, waiting)]


def test_the_exceptions_are_still_needed() -> None:
    """An exception whose file or function is short again, or gone, leaves the lists."""
    lengths = {module.path: module.text.count("\n") for module in MODULES}
    functions = {f"{m.path}:{name}": function for m in MODULES for name, function in _functions(m.tree)}
    stale = [path for path in LONG_FILES if lengths.get(path, 0) <= LINES_PER_FILE]
    stale += [
        key for key in LONG_FUNCTIONS if key not in functions or _body_lines(functions[key]) <= LINES_PER_FUNCTION
    ]
    stale += [key for key in MANY_PARAMETERS if key not in functions or _parameters(functions[key]) <= PARAMETERS]
    assert not stale


def _named(name: str) -> Module:
    return next(module for module in MODULES if module.name == name)
