"""Values of `proxy.value_classes` behave as those of `dataclasses`, in each shape that the program uses."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import field
from itertools import product
from typing import Any, ClassVar

import pytest

from proxy.value_classes import dataclass, make_dataclass
from tests.support.modules import MODULES, nodes_of


@dataclass(frozen=True, slots=True)
class Pickled:
    """Is found by its name."""

    first: int
    second: str


Decorator = Callable[[type], type]


def plain(make: Decorator) -> list[type]:
    """Classes that derive from none."""

    class Empty:
        """No fields."""

    class Pair:
        """Two fields and what is none."""

        count: ClassVar[int] = 3
        first: int
        second: str = "b"

    class Hidden:
        """Fields that are not shown, not compared or not hashed."""

        first: int
        second: int = field(repr=False)
        third: int = field(default=0, compare=False)
        fourth: int = field(default=0, hash=False)

    class Produced:
        """A field that gets a new value each time."""

        first: int
        second: list[int] = field(default_factory=list, hash=False)

    class Named:
        """Some fields are given by name alone."""

        first: int = field(kw_only=True)
        second: int = 2
        __set_0: int = 5

    return [make(kind) for kind in (Empty, Pair, Hidden, Produced, Named)]


def defining(make: Decorator, *, own_hash: bool) -> list[type]:
    """Classes that define some methods themselves."""

    class Own:  # noqa: PLW1641 - the decorator may add a hash
        """Methods of its own."""

        first: int
        second: int = 0

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return other is not None

    class OwnHash:
        """A hash of its own."""

        first: int
        second: int = 0

        def __hash__(self) -> int:
            return 7

    class OwnInit:
        """An initialiser of its own, which sets the fields as the program's frozen values do."""

        first: int
        second: int

        def __init__(self, first: int, second: int = 1) -> None:
            object.__setattr__(self, "first", first)
            object.__setattr__(self, "second", second)

    return [make(kind) for kind in (Own, OwnInit, *([OwnHash] if own_hash else ()))]


def derived(make: Decorator, *, frozen: bool) -> list[type]:
    """Fields that are not given, and classes that derive from others."""

    class Later:
        """Computes a field, and has two more that are not given."""

        first: int
        sum: int = field(init=False)
        second: int = 2
        fixed: int = field(init=False, default=9)
        made: list[int] = field(init=False, default_factory=list, hash=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "sum", self.first + self.second)

    parent = make(Later)

    class Child(parent):  # type: ignore[misc, valid-type]  # mypy knows no class that is a variable
        """One field more, and another default."""

        second: int = 4
        last: str = "z"

    child = make(Child)

    class Grandchild(child):  # type: ignore[misc, valid-type]  # as above
        """No field of its own, and calls its parent."""

        __slots__ = () if frozen else ("more",)

        def __init__(self, *given: Any) -> None:
            super().__init__(*given)

    return [parent, child, Grandchild]


OPTIONS = [
    {"frozen": frozen, "slots": slots, **more}
    for frozen, slots, more in product(
        (True, False), (True, False), ({}, {"eq": False}, {"repr": False}, {"unsafe_hash": True}, {"kw_only": True})
    )
]
GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((), {}),
    ((1,), {}),
    ((2,), {}),
    ((1, 2), {}),
    ((1, "b"), {}),
    ((1, 2, 3), {}),
    ((1, 2, 3, 4), {}),
    ((1, 2, 3, 4, 5), {}),
    ((), {"first": 1}),
    ((), {"first": 1, "second": 5}),
    ((3,), {"first": 1}),
    ((1,), {"unknown": 1}),
    (([],), {}),
]


def outcome(act: Callable[..., Any], *given: Any, **by_name: Any) -> Any:
    """What a call gives, as text without addresses, or how it fails."""
    try:
        return repr(act(*given, **by_name)).partition(" object at ")[0]
    except (TypeError, AttributeError, ValueError) as error:
        return type(error), str(error)


def make_values(kind: type) -> list[Any]:
    """All values that the arguments in `GIVEN` make."""
    values = []
    for given, by_name in GIVEN:
        try:
            values.append(kind(*given, **by_name))
        except TypeError:
            values.append(None)
    return values


def observe(kind: Any) -> list[Any]:
    """What can be seen of a class and its values."""
    values = make_values(kind)
    made = [value for value in values if value is not None]
    seen: list[Any] = [outcome(kind, *given, **by_name) for given, by_name in GIVEN]
    seen += [[left == right for right in values] for left in values]
    by_place = kind.__hash__ is object.__hash__
    seen += [outcome(hash, value) for value in made if not by_place]
    seen += [[(each.name, each.init, each.kw_only, each.compare) for each in dataclasses.fields(kind)]]
    seen += [kind.__match_args__, kind.__doc__, hasattr(kind, "__slots__"), kind.__hash__ is None, by_place]
    for value in made:
        seen += [outcome(dataclasses.replace, value, first=8), outcome(dataclasses.asdict, value)]
        seen += [outcome(copy.copy, value), outcome(copy.deepcopy, value)]
        if "first" in kind.__match_args__:
            seen += [outcome(setattr, value, "first", 1), outcome(repr, value), outcome(delattr, value, "first")]
        if kind.__name__ != "Grandchild":  # ours refuses there, too
            # The library's own refusal fails for a class with slots, with a TypeError.
            seen += [isinstance(outcome(setattr, value, "unknown", 1), tuple)]
    return seen


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_shape_behaves_as_the_librarys(options: dict[str, bool]) -> None:
    """Arguments, comparison, hash, text, fields, replacement, copies and refused assignments are the same."""
    theirs: Decorator = dataclasses.dataclass(**options)
    ours: Decorator = make_dataclass(**options)
    own_hash = "unsafe_hash" not in options  # the library refuses both together
    pairs = list(zip(*(plain(each) for each in (theirs, ours)), strict=True))
    pairs += zip(*(defining(each, own_hash=own_hash) for each in (theirs, ours)), strict=True)
    pairs += zip(*(derived(each, frozen=options["frozen"]) for each in (theirs, ours)), strict=True)
    assert len(pairs) == 10 + own_hash
    for their, our in pairs:
        assert observe(our) == observe(their)
        assert observe(our) == observe(their), "once the methods are generated"


def test_a_start_compiles_no_methods() -> None:
    """A class gets its methods when they are first called, and then keeps them."""

    @make_dataclass(frozen=True, slots=True)
    class Point:
        """Two numbers."""

        x: int
        y: int = 0

    stub = Point.__init__
    assert Point(1) == Point(1)  # type: ignore[call-arg]  # mypy knows `dataclass` alone
    made = Point.__init__
    assert made is not stub
    assert Point(2) != Point(3)  # type: ignore[call-arg]  # mypy knows `dataclass` alone
    assert Point.__init__ is made
    assert made.__code__.co_varnames == ("self", "x", "y")


def test_the_program_uses_no_others() -> None:
    """The library's own decorator would cost each start 0.7 ms a class; the simulator shares no code with the proxy."""
    library = [
        module.path
        for module in MODULES
        if module.room not in ("simulator", "value_classes.py")
        and any(
            isinstance(node, ast.ImportFrom)
            and node.module == "dataclasses"
            and any(name.name == "dataclass" for name in node.names)
            for node in nodes_of(module.path)
        )
    ]
    assert library == []


def test_frozen_values_can_be_pickled() -> None:
    """Their state is restored without their initialiser."""
    assert pickle.loads(pickle.dumps(Pickled(1, "b"))) == Pickled(1, "b")
