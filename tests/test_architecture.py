"""The rules of the house, held by reading the source: who may import whom, and how long a thing may be.

Nothing of the program is run or imported here.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.modules import LAYERS, MODULES, Module, circles, imported, nodes_of, room_of, statements, within

pytestmark = pytest.mark.no_cover  # reads files

LINES_PER_FUNCTION = 60
PARAMETERS = 5
NAMES_OF_OURS = 40

# A longer function or parameter list needs its reason here, and leaves the list when it is short again:
# {"proxy/x.py:name": "why"}.
LONG_FUNCTIONS: dict[str, str] = {}
MANY_NAMES: dict[str, str] = {
    "proxy/app/program.py": "it wires all parts of the program",
    "proxy/app/rules.py": "it turns the configuration into the values of all rooms",
    "proxy/commands/check.py": "it looks at all that a start opens",
    "proxy/commands/spend_check.py": "it judges a write as the program would",
    "proxy/config/__init__.py": "it is what other rooms may import of this one",
    "proxy/config/model/sections.py": "it has a section of each room",
    "proxy/forwarding/forwarder.py": "it hands requests to all that serve them",
    "proxy/spend/capability.py": "it joins the parts of a room with many",
}
MANY_PARAMETERS: dict[str, str] = {
    "proxy/commands/audit.py:show_files": "each is an option of the command",
    "proxy/commands/audit.py:undo_record": "each is an option of the command",
    "proxy/commands/check.py:check": "each is an option of the command",
    "proxy/commands/account.py:add": "each is an option of the command",
    "proxy/commands/init.py:init": "each is an option of the command",
    "proxy/commands/invite.py:invite": "each is an option of the command",
    "proxy/commands/run.py:run": "each is an option of the command",
    "proxy/commands/env.py:env": "each is an option of the command",
    "proxy/commands/logs.py:logs": "each is an option of the command",
    "proxy/commands/report.py:add": "each is an option of the command",
    "proxy/commands/report.py:show": "each is an option of the command",
    "proxy/commands/status.py:status": "each is an option of the command",
    "proxy/commands/client.py:add": "each is an option of the command",
    "proxy/commands/client.py:edit": "each is an option of the command",
    "proxy/commands/client.py:allow": "each is an option of the command",
    "proxy/commands/keys.py:new": "each is an option of the command",
    "proxy/commands/keys.py:expire": "each is an option of the command",
    "proxy/commands/simulate.py:simulate": "each is an option of the command",
    "proxy/spend/reading.py:read_rest": "what a request is comes in parts from whoever routed, decoded and asked",
}

# Private names that another module may use need their reason here: {"proxy/x.py: _name": "why"}.
PRIVATE_REACH = {
    "proxy/app/process.py: _exit": "the operating system's own name for it",
}

OF_NAMED_TUPLES = {"_asdict", "_replace"}
"""Public methods, whose names begin so that no field has them (the documentation of `collections.namedtuple`)."""

# What looks like taking a target apart, and is not: {"proxy/x.py": "why"}.
TARGETS_TAKEN_APART_ELSEWHERE: dict[str, str] = {}

CLOCKS_AND_CHANCE = {"time", "datetime", "random", "secrets", "asyncio", "socket", "threading", "os"}


PROXY = [module for module in MODULES if module.room != "simulator"]
"""Without the simulator, which stands apart."""


def _functions(tree: ast.AST, within: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{within}.{node.name}" if within else node.name
            if not isinstance(node, ast.ClassDef):
                yield name, node
            yield from _functions(node, name)
        else:
            yield from _functions(node, within)


@functools.cache
def _all_functions() -> list[tuple[Module, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [(module, name, function) for module in MODULES for name, function in _functions(module.tree)]


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


def test_every_file_opens_with_its_contract() -> None:
    """Each file begins with a docstring of at least a sentence."""
    assert [module.path for module in MODULES if len(ast.get_docstring(module.tree) or "") <= 20] == []


def test_no_function_is_too_long() -> None:
    """A function has at most 60 lines without its docstring, but for those with a reason."""
    lines = {f"{module.path}:{name}": _body_lines(function) for module, name, function in _all_functions()}
    too_long = {name for name, number in lines.items() if number > LINES_PER_FUNCTION}
    assert too_long == LONG_FUNCTIONS.keys()


def test_no_function_takes_too_much() -> None:
    """A function has at most five parameters, `self` not counted, but for those with a reason."""
    parameters = {f"{module.path}:{name}": _parameters(function) for module, name, function in _all_functions()}
    too_many = {name for name, number in parameters.items() if number > PARAMETERS}
    assert too_many == MANY_PARAMETERS.keys()


def test_a_module_needs_few_names_of_ours() -> None:
    """Who imports more than 40 of them does too much, or joins others, and says so here; types do not count."""
    too_many = set()
    for module in MODULES:
        blocks = [node for node in nodes_of(module.path) if isinstance(node, ast.If) and _is_for_types(node)]
        for_types = {id(node) for block in blocks for node in ast.walk(block)}
        names = sum(
            len(node.names)
            for node in nodes_of(module.path)
            if isinstance(node, ast.ImportFrom) and within(node.module or "", "proxy") and id(node) not in for_types
        )
        if names > NAMES_OF_OURS:
            too_many.add(module.path)
    assert too_many == MANY_NAMES.keys()


def _is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_only_the_configuration_reads_the_environment() -> None:
    """`os.environ` and its like are named in `proxy/config` alone."""
    places = [
        f"{module.path}:{getattr(node, 'lineno', 0)}"
        for module in MODULES
        if not within(module.name, "proxy.config")
        for node in nodes_of(module.path)
        if _reads_environment(node)
    ]
    assert places == []


def test_no_name_hides_what_a_thing_is() -> None:
    """No class and no file is called Helper, Util, Base or Data."""
    empty_words = ("Helper", "Util", "Utils", "Base", "Data")
    names = [(module.path, module.name.rpartition(".")[2].title().replace("_", "")) for module in MODULES]
    names += [
        (module.path, node.name)
        for module in MODULES
        for node in nodes_of(module.path)
        if isinstance(node, ast.ClassDef)
    ]
    assert [f"{path}: {name}" for path, name in names if name.endswith(empty_words)] == []


def test_no_unfinished_business_is_left() -> None:
    """No comment puts work off."""
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    assert [f"{module.path}: {mark}" for module in MODULES for mark in marks if mark in module.text] == []


def test_a_room_imports_only_from_those_below_it() -> None:
    """Types included: what stands lower knows nothing of what stands higher."""
    higher = [
        f"{module.path}: {name}"
        for module in PROXY
        if module.room in LAYERS
        for name in imported(module)
        if within(name, "proxy") and name != "proxy" and room_of(name) in LAYERS[: LAYERS.index(module.room)]
    ]
    assert higher == []


CAPABILITIES = ("mcp", "audit", "reports", "local", "spend")
"""The rooms that plug into `forwarding`; one of them is still to come."""


def test_the_core_imports_no_capability() -> None:
    """`forwarding` knows its two sockets, and nothing of what plugs into them: `app` alone brings the two together."""
    core = [module for module in PROXY if module.room == "forwarding"]
    knowing = [
        f"{module.path}: {name}"
        for module in core
        for name in imported(module)
        for room in CAPABILITIES
        if within(name, f"proxy.{room}")
    ]
    assert len(core) > 15
    assert knowing == []


def test_every_module_lies_in_a_room() -> None:
    """A new folder or file takes its place in the list of layers."""
    apart = {"simulator", "__init__.py", "__main__.py"}
    assert {module.room for module in MODULES} == {*LAYERS, *apart}


def test_no_imports_go_round_in_a_circle() -> None:
    """The rule holds at run time and for types alone: each module can be read with those below it."""
    edges = {module.name: {name for name in imported(module) if within(name, "proxy")} for module in MODULES}
    assert not circles(edges)
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]


def _foreign_private_names(module: Module) -> list[str]:
    """Private names that are used of another object than `self`, or imported, and that the module itself lacks."""
    own = {node.name for node in nodes_of(module.path) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    own |= {node.attr for node in nodes_of(module.path) if isinstance(node, ast.Attribute) and _is_self(node.value)}
    own |= {
        node.target.id
        for node in nodes_of(module.path)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    reached = [
        node.attr
        for node in nodes_of(module.path)
        if isinstance(node, ast.Attribute)
        and _is_private(node.attr)
        and not _is_self(node.value)
        and node.attr not in own | OF_NAMED_TUPLES
    ]
    for node in nodes_of(module.path):
        if isinstance(node, ast.ImportFrom) and within(node.module or "", "proxy"):
            reached += [alias.name for alias in node.names if _is_private(alias.name)]
    return reached


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_no_module_reaches_into_anothers_private_names() -> None:
    """What others need is public."""
    reached = [f"{module.path}: {name}" for module in PROXY for name in _foreign_private_names(module)]
    assert set(reached) == PRIVATE_REACH.keys()


def test_no_two_classes_have_one_name() -> None:
    """One name, one thing; names that begin with `_` belong to their file."""
    names = Counter(
        node.name
        for module in PROXY
        for node in nodes_of(module.path)
        if isinstance(node, ast.ClassDef) and not _is_private(node.name)
    )
    assert not [name for name, count in names.items() if count > 1]


TAKES_A_TARGET_APART = re.compile(r"unquote_to_bytes|\.(?:partition|split)\(b\"[?/]\"")
TARGET_ROOMS = ("proxy/http1/target.py", "proxy/routing/target.py")


def test_a_target_is_taken_apart_in_its_own_room_only() -> None:
    """A target is split in `http1`, and read for its prefix and kind in `routing`; all other rooms read the resulting
    values."""
    elsewhere = {module.path for module in PROXY if TAKES_A_TARGET_APART.search(module.text)} - {*TARGET_ROOMS}
    assert elsewhere <= TARGETS_TAKEN_APART_ELSEWHERE.keys()


@pytest.mark.parametrize("observer", ["proxy.observability.logs", "proxy.observability.metrics", "proxy.admin"])
def test_only_the_composition_root_knows_the_observers(observer: str) -> None:
    """`observability` and `admin` are imported by `app` (and by their own parts) alone."""
    knowing = {
        module.path
        for module in MODULES
        if not within(module.name, observer)
        and not within(module.name, "proxy.app")
        and any(within(name, observer) for name in imported(module))
    }
    assert not knowing


OF_ONE_API = {"mcp", "audit", "reports"}
"""Rooms that may ask whether a request is for an API."""


def _tells_apis_apart(module: Module, node: ast.AST) -> bool:
    """Whether it asks which API a request is for."""
    if isinstance(node, ast.Attribute):
        of_kind = isinstance(node.value, ast.Name) and node.value.id == "TargetKind" and node.attr in {"API", "MCP"}
        return of_kind and module.path != "proxy/routing/target.py"
    if not isinstance(node, ast.Compare) or module.room in OF_ONE_API:
        return False
    return any(isinstance(each, ast.Name) and each.id in {"ADS_API", "MCP"} for each in (node.left, *node.comparators))


def test_apis_are_told_apart_by_their_members() -> None:
    """Code asks what an API does, not which one it is, but for rooms that are about one; the path tells the API."""
    asking = [
        f"{module.path}:{getattr(node, 'lineno', 0)}"
        for module in PROXY
        for node in nodes_of(module.path)
        if _tells_apis_apart(module, node)
    ]
    assert asking == []


def test_the_simulator_shares_no_code_with_the_proxy() -> None:
    """The simulator imports nothing of the proxy, so that a mistake cannot be made on both sides at once."""
    for module in MODULES:
        if within(module.name, "proxy.simulator"):
            foreign = {
                name
                for name in imported(module)
                if within(name, "proxy") and not within(name, "proxy.simulator") and name != "proxy"
            }
            assert not foreign, module.path


def test_only_the_commands_start_the_simulator() -> None:
    """Outside the simulator, only the commands and `app` import it."""
    knowing = {
        module.path
        for module in PROXY
        if module.room not in ("commands", "app", "__main__.py")
        and any(within(name, "proxy.simulator") for name in imported(module))
    }
    assert not knowing


PURE = [module for module in PROXY if module.claims_purity]


def test_a_pure_module_asks_no_clock_and_never_awaits() -> None:
    """What calls itself pure takes time and chance as arguments, and does nothing that waits."""
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    impure = [
        f"{module.path}: {name}"
        for module in PURE
        for name in {name.split(".")[0] for name in imported(module)} & CLOCKS_AND_CHANCE
    ]
    impure += [
        f"{module.path}:{node.lineno} waits"
        for module in PURE
        for node in nodes_of(module.path)
        if isinstance(node, waiting)
    ]
    assert impure == []


def test_the_decisions_call_themselves_pure() -> None:
    """`make check` asks for every branch of what calls itself pure; the modules that decide are among them."""
    deciding = ("access/policy", "forwarding/retry", "http1/message", "routing/route", "tokens/lifecycle")
    assert {f"proxy/{name}.py" for name in deciding} <= {module.path for module in PURE}
