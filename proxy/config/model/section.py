"""What every section of the configuration is made from: frozen, no unknown keys, no nulls that lift a limit."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema

from proxy.config.model.expected import Expected, WrongValue, shape_of
from proxy.secret import Secret
from proxy.value_classes import dataclass


class Section(BaseModel):
    """Frozen, and no key that the model does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)
    null_counts: ClassVar[frozenset[str]] = frozenset()
    """Keys with nothing after them mean the default, but for these, where that would lift a limit."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, BaseModel):
            return data
        if not isinstance(data, Mapping):
            raise WrongValue(Expected.KEYS, found=shape_of(data))
        counting = cls.null_counts
        return {
            key: value
            for key, value in data.items()
            if value is not None or key in counting or key not in names_of(cls)
        }


class NamedSection(Section):
    """An entry of a mapping; its name is its key there, never written twice."""

    name: SkipJsonSchema[str] = Field(default="", exclude=True)

    @field_validator("name", mode="before")
    @classmethod
    def _not_written(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            raise WrongValue(Expected.UNWRITTEN_NAME)
        return value


# --- How sections stand within each other, read off the annotations of the model's fields ----------------

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""


class Holds(Enum):
    """What stands behind a key."""

    VALUE = auto()
    NAMED_VALUES = auto()
    """A mapping from names to values."""
    SECTION = auto()
    NAMED_SECTIONS = auto()
    """A mapping from names to sections."""
    LIST_OF_SECTIONS = auto()


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section. `section` is what it holds, each of them if there are several; None for a value. `field` is
    the model's name of it, another one only where the key is a word of Python."""

    name: str
    field: str
    info: FieldInfo
    holds: Holds
    section: type[BaseModel] | None = None

    @property
    def is_structured(self) -> bool:
        return self.section is not None

    @property
    def has_many(self) -> bool:
        """Whether it holds any number of sections."""
        return self.holds in (Holds.NAMED_SECTIONS, Holds.LIST_OF_SECTIONS)


@functools.lru_cache(maxsize=64)
def keys_of(model: type[BaseModel]) -> Mapping[str, Key]:
    """The keys that a section may have, in their order."""
    keys = (_key(field, info) for field, info in model.model_fields.items() if not info.exclude)
    return {key.name: key for key in keys}


@functools.lru_cache(maxsize=64)
def names_of(model: type[BaseModel]) -> frozenset[str]:
    """The keys that a section may have, and those that it gives itself."""
    return frozenset(info.alias or field for field, info in model.model_fields.items())


def _key(field: str, info: FieldInfo) -> Key:
    name, annotation = info.alias or field, info.annotation
    if typing.get_origin(annotation) is dict:
        section = _section_of(typing.get_args(annotation)[1])
        return Key(name, field, info, Holds.NAMED_SECTIONS if section else Holds.VALUE, section)
    if typing.get_origin(annotation) is tuple:
        section = _section_of(typing.get_args(annotation)[0])
        return Key(name, field, info, Holds.LIST_OF_SECTIONS if section else Holds.VALUE, section)
    section = _section_of(annotation)
    holds = Holds.SECTION if section else Holds.NAMED_VALUES if _is_mapping(annotation) else Holds.VALUE
    return Key(name, field, info, holds, section)


def _is_mapping(annotation: Any) -> bool:
    """Whether an annotation holds a mapping, `X | None` included."""
    return typing.get_origin(annotation) is dict or any(map(_is_mapping, typing.get_args(annotation)))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds, `X | None` included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, typing.Annotated):
        for part in typing.get_args(annotation):
            if (section := _section_of(part)) is not None:
                return section
    return None


def holds_secret(annotation: Any) -> bool:
    """Whether the type allows a secret, alone or among other types."""
    return annotation is Secret or any(holds_secret(part) for part in typing.get_args(annotation))
