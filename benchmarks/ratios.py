"""Paired measurements as ratios, with their spread. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median over paired rounds, and the interval that holds the true median with at least 95 %.

    The interval is between order statistics, so it assumes nothing of how measurements are spread; up to eight rounds
    it is everything from the least to the most.
    """

    middle: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        return " ".join((format(self.middle, form), f"({self.low:{form}} to {self.high:{form}})"))


def paired(these: Sequence[float], those: Sequence[float]) -> Ratio:
    """The ratios of two lists of numbers, round by round. Both have the same length, one or more."""
    ratios = sorted(this / that for this, that in zip(these, those, strict=True))
    aside = _set_aside(len(ratios))
    return Ratio(statistics.median(ratios), ratios[aside], ratios[-1 - aside])


def _set_aside(count: int) -> int:
    """How many values to leave out at each end: the most that keep the confidence, by the binomial distribution."""
    outside, aside = 0.0, 0
    while aside < count // 2:
        outside += 2 * math.comb(count, aside) / 2**count
        if outside > 1 - _CONFIDENCE:
            break
        aside += 1
    return max(aside - 1, 0) if count > 1 else 0
