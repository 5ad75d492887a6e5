"""How sections stand within each other, read off the annotations of the model's fields. Pure."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel

from proxy.secret import Secret

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds, `X | None` included."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (types.UnionType, typing.Union, typing.Annotated):
        for part in typing.get_args(annotation):
            if (section := section_of(part)) is not None:
                return section
    return None


def mapping_entry(annotation: Any) -> type[BaseModel] | None:
    """The section of each entry of a mapping by name."""
    if typing.get_origin(annotation) is dict:
        return section_of(typing.get_args(annotation)[1])
    return None


def list_entry(annotation: Any) -> type[BaseModel] | None:
    """The section of each entry of a list."""
    if typing.get_origin(annotation) is tuple:
        return section_of(typing.get_args(annotation)[0])
    return None


def holds_secret(annotation: Any) -> bool:
    """Whether a secret may stand there, alone or among other things."""
    return annotation is Secret or any(holds_secret(part) for part in typing.get_args(annotation))
