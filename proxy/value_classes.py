"""`dataclass` as `dataclasses` has it, with methods that are generated when they are first called.

The library generates up to six methods for each class and compiles them one by one: 0.7 ms a class. The program has
some three hundred, and a start makes values of a quarter of them. Type checkers see the library's own decorator.
Fields, `replace`, `asdict` and pattern matching are the library's; `InitVar` is not supported.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, FrozenInstanceError, fields
from reprlib import recursive_repr
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["dataclass", "make_dataclass"]

T = TypeVar("T")


def make_dataclass(
    *, eq: bool = True, frozen: bool = False, unsafe_hash: bool = False, **options: bool
) -> Callable[[type[T]], type[T]]:
    """A decorator that does what `dataclasses.dataclass` does with these options. What a class defines itself stays.

    An undecorated subclass of a frozen class is frozen as well.
    """
    shown = options.pop("repr", True)

    def complete(written: type[T]) -> type[T]:
        defined = set(vars(written))
        if vars(written).get("__hash__", ...) is None and "__eq__" in defined:
            defined.remove("__hash__")  # the interpreter's own entry for a class that defines equality
        kind = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(written)
        methods: dict[str, Any] = {
            "__init__": _on_first_call(kind, "__init__", _frozen_init if frozen else _plain_init)
        }
        if eq:
            methods |= {"__eq__": _on_first_call(kind, "__eq__", _eq), "__hash__": None}
        if unsafe_hash or (eq and frozen):
            methods["__hash__"] = _on_first_call(kind, "__hash__", _hash)
        if shown:
            methods["__repr__"] = _repr
        if frozen:
            methods |= {"__setattr__": _refuse_assignment, "__delattr__": _refuse_deletion}
        if frozen and "__slots__" in vars(kind):
            methods |= {"__getstate__": _state, "__setstate__": _restore}
        for name in methods.keys() - defined:
            setattr(kind, name, methods[name])
        return kind

    return complete


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = make_dataclass


def _on_first_call(kind: type, name: str, make: Callable[[type], Callable[..., Any]]) -> Callable[..., Any]:
    """A method that puts what `make` generates in its own place. Threads that do so at the same time get equal ones."""

    def first(*args: Any, **named: Any) -> Any:
        method = make(kind)
        method.__qualname__ = f"{kind.__qualname__}.{name}"
        setattr(kind, name, method)
        return method(*args, **named)

    return first


def _compiled(name: str, parameters: Iterable[str], lines: Iterable[str], names: dict[str, Any]) -> Callable[..., Any]:
    """A function with these parameters and lines, which may use these names."""
    body = "\n ".join(lines) or "pass"
    exec(f"def {name}({', '.join(parameters)}):\n {body}", names)  # noqa: S102 - nothing but names of fields
    method: Callable[..., Any] = names[name]
    return method


def _plain_init(kind: type) -> Callable[..., Any]:
    return _init(kind, lambda number, name, value: f"self.{name} = {value}", {})


def _frozen_init(kind: type) -> Callable[..., Any]:
    """Assigns past `__setattr__`: by a slot's own descriptor, which takes half the time of `object.__setattr__`."""
    slots = [getattr(kind, field.name, None) for field in fields(kind)]
    names = {f"__set_{number}": slot.__set__ for number, slot in enumerate(slots) if isinstance(slot, _SLOT)}

    def assign(number: int, name: str, value: str) -> str:
        setter = f"__set_{number}"
        return f"{setter}(self, {value})" if setter in names else f"__assign(self, {name!r}, {value})"

    return _init(kind, assign, {"__assign": object.__setattr__, **names})


_SLOT = MemberDescriptorType


def _init(kind: type, assign: Callable[[int, str, str], str], names: dict[str, Any]) -> Callable[..., Any]:
    """The `__init__` of a class, with the line that `assign` gives for each field's number, name and value."""
    positional: list[str] = ["self"]
    by_name: list[str] = []
    lines: list[str] = []
    for number, field in enumerate(fields(kind)):
        parameter = value = field.name
        default, factory = f"__default_{number}", f"__factory_{number}"
        if field.default_factory is not MISSING:
            names |= {default: MISSING, factory: field.default_factory}
            value = f"{factory}() if {value} is {default} else {value}" if field.init else f"{factory}()"
        elif field.default is not MISSING:
            names[default] = field.default
            value = value if field.init else default
        elif not field.init:
            continue
        if field.init:
            parameter += f"={default}" if default in names else ""
            (by_name if field.kw_only else positional).append(parameter)
        lines.append(assign(number, field.name, value))
    if hasattr(kind, "__post_init__"):
        lines.append("self.__post_init__()")
    return _compiled("__init__", [*positional, *(["*"] if by_name else []), *by_name], lines, names)


def _values(kind: type, of: str, *, hashed: bool = False) -> str:
    """The tuple of the fields of `of` that count in comparisons, or in hashes."""
    counted = [
        field.name for field in fields(kind) if (field.compare if not hashed or field.hash is None else field.hash)
    ]
    return f"({''.join(f'{of}.{name}, ' for name in counted)})"


def _eq(kind: type) -> Callable[..., Any]:
    same = f"return {_values(kind, 'self')} == {_values(kind, 'other')}"
    lines = ("if other.__class__ is not self.__class__: return NotImplemented", same)
    return _compiled("__eq__", ("self", "other"), lines, {})


def _hash(kind: type) -> Callable[..., Any]:
    return _compiled("__hash__", ("self",), (f"return hash({_values(kind, 'self', hashed=True)})",), {})


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({shown})"


def _refuse_assignment(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for field, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
