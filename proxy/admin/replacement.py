"""What a person is asked before a new login takes the place of one that works."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.profiles.replacement import Comparison


@dataclass(frozen=True, slots=True)
class ReplacementQuestion:
    """What a person is asked before the new login is put in force."""

    account: str
    state: str = field(repr=False)
    comparison: Comparison
    mistyped: bool = False
    """Whether something else than the account's name was typed."""
