"""The runner's own notes on disk: how far a run is, and what is kept of each profile between runs.

    DIR/NAME/run          a run that has not ended: its plan, then one line for each step, written before the next step
    DIR/NAME/kept.json    which rows are kept of each profile, and when each group of profiles ran last
    DIR/NAME/parts/       these rows, one file for each order

A step counts once its line is on disk. A program that is killed continues from there, and asks Amazon for nothing twice
that it knows the id of.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, field, replace
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import StateError
from proxy.reports.plan import ReportProfile
from proxy.reports.store import PARTS, ReportFolderError
from proxy.reports.templates import PlannedOrder
from proxy.tokens import state_directory
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

RUN, KEPT = "run", "kept.json"


class OrderStep(StrEnum):
    """The steps of an order, as they are noted."""

    ASKED = "asked"
    """The order is about to be sent, for the first time: Amazon may have made the report."""
    ORDERED = "ordered"
    """Amazon said its id."""
    REJECTED = "rejected"
    """Amazon failed to make it, or lost it: it may be ordered again."""
    KEPT = "kept"
    """Its rows are on disk."""
    FAILED = "failed"
    """The order is given up in this run."""


@dataclass(frozen=True, slots=True)
class OrderState:
    """How far an order is; None before its first step. `at` is when it was ordered, wall-clock; `part` is the file of
    its rows."""

    step: OrderStep | None = None
    report_id: str = ""
    at: float = 0.0
    rejections: int = 0
    rows: int = 0
    part: str = ""
    error: str = ""

    @property
    def is_over(self) -> bool:
        return self.step in (OrderStep.KEPT, OrderStep.FAILED)


def after(state: OrderState, entry: Mapping[str, Any]) -> OrderState:
    """The state after a noted step. Raises `ValueError` or `KeyError` for what is none."""
    step = OrderStep(entry["step"])
    if step is OrderStep.ORDERED:
        return replace(state, step=step, report_id=str(entry["id"]), at=float(entry["at"]))
    if step is OrderStep.REJECTED:
        return replace(state, step=step, report_id="", rejections=state.rejections + 1, error=str(entry["error"]))
    if step is OrderStep.KEPT:
        return replace(state, step=step, rows=int(entry["rows"]), part=str(entry["part"]))
    if step is OrderStep.FAILED:
        return replace(state, step=step, error=str(entry["error"]))
    return replace(state, step=step)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run does: the orders of the `profiles` of these groups. `covered` are the ids of all profiles of the
    report, `missing` those of which Amazon's lists have nothing now, or that are not the account's."""

    run: str
    began_at: float
    digest: str
    groups: tuple[str, ...]
    profiles: tuple[ReportProfile, ...]
    orders: tuple[PlannedOrder, ...]
    covered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class RunJournal:
    """A run on disk. Made by `begin` or `resume`; `note` writes a step."""

    def __init__(self, path: Path, plan: RunPlan, states: dict[str, OrderState]) -> None:
        self._path, self.plan, self._states = path, plan, states
        self._writing = Lock()
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)

    def __repr__(self) -> str:
        over = sum(state.is_over for state in self._states.values())
        return f"<RunJournal of {self.plan.run}: {over} of {len(self.plan.orders)} orders are over>"

    @classmethod
    def begin(cls, folder: Path, plan: RunPlan) -> RunJournal:
        """A new run. Raises `ReportFolderError`."""
        _write(folder / RUN, json.dumps(asdict(plan)).encode() + b"\n")
        return cls(folder / RUN, plan, {})

    @classmethod
    def resume(cls, folder: Path) -> RunJournal | None:
        """The run that has not ended; None where there is none, or none that can be read. A line that was cut counts
        as not written, and is removed."""
        path = folder / RUN
        try:
            whole, _, torn = path.read_bytes().rpartition(b"\n")
            first, *lines = whole.split(b"\n")
            plan, states = read_plan(json.loads(first)), dict[str, OrderState]()
            for line in lines:
                entry = json.loads(line)
                states[entry["order"]] = after(states.get(entry["order"], OrderState()), entry)
            if torn:
                os.truncate(path, len(whole) + 1)
            return cls(path, plan, states)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None

    def state(self, order: PlannedOrder) -> OrderState:
        return self._states.get(order.key, OrderState())

    def note(self, order: PlannedOrder, step: OrderStep, **said: Any) -> None:
        """The step is on disk when this returns. May be called from several threads. Raises `ReportFolderError`, and
        from then on each time: a line after a half one could not be read."""
        entry = {"order": order.key, "step": step, **said}
        with self._writing:
            try:
                self._append(json.dumps(entry).encode() + b"\n")
            except OSError as error:
                self._close()
                raise ReportFolderError(f"{self._path} cannot be written: {state_directory.reason(error)}.") from None
        self._states[order.key] = after(self.state(order), entry)

    def _append(self, line: bytes) -> None:
        while line:  # a disk that is nearly full takes a part of it
            line = line[os.write(self._descriptor, line) :]
        os.fsync(self._descriptor)

    def end(self) -> None:
        """The run has ended, and what it brought is remembered elsewhere."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """The run may be resumed."""
        with self._writing:
            self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_plan(said: Mapping[str, Any]) -> RunPlan:
    """The plan of a journal's first line. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    return RunPlan(
        **{
            **said,
            "groups": tuple(said["groups"]),
            "profiles": tuple(ReportProfile(**each) for each in said["profiles"]),
            "orders": tuple(PlannedOrder(**each) for each in said["orders"]),
            "covered": tuple(said["covered"]),
            "missing": tuple(said["missing"]),
        }
    )


# --- What is kept between runs ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeptProfile:
    """The rows that are kept of a profile: files in `parts`. `stale` tells that its last orders failed."""

    profile: ReportProfile
    first_day: str = ""
    last_day: str = ""
    rows: int = 0
    completed_at: float = 0.0
    stale: bool = False
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeptRows:
    """All profiles by id, and when the last run of each group began."""

    profiles: Mapping[str, KeptProfile] = field(default_factory=dict)
    ran: Mapping[str, float] = field(default_factory=dict)

    def is_of_others(self, covered: Iterable[ReportProfile]) -> bool:
        """Whether none of these profiles, which the report covers now, had a part in it: another login has the name of
        the account now, and its clients may not read the rows of the one before."""
        ids = {profile.id for profile in covered}
        return bool(ids and self.profiles) and ids.isdisjoint(self.profiles)


EMPTY: Final = KeptRows()


def read_kept(folder: Path) -> KeptRows:
    """What is kept in a report's folder; nothing, where that cannot be read. If rows are gone, no group counts as run,
    so that all are ordered again at once."""
    try:
        said = json.loads((folder / KEPT).read_bytes())
        profiles = {
            name: KeptProfile(**{**each, "profile": ReportProfile(**each["profile"]), "parts": tuple(each["parts"])})
            for name, each in said["profiles"].items()
        }
        parts = folder / PARTS
        there = {name: kept for name, kept in profiles.items() if all((parts / each).is_file() for each in kept.parts)}
        ran = said["ran"] if len(there) == len(profiles) else {}
        return KeptRows(there, {str(group): float(at) for group, at in ran.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return EMPTY


def write_kept(folder: Path, kept: KeptRows) -> None:
    """Keep this from now on, and remove the rows of which nothing is said. Raises `ReportFolderError`."""
    _write(folder / KEPT, json.dumps(asdict(kept)).encode())
    remove_parts(folder, (name for profile in kept.profiles.values() for name in profile.parts))


def remove_parts(folder: Path, kept: Iterable[str]) -> None:
    """Remove all rows but these."""
    names = frozenset(kept)
    with contextlib.suppress(OSError):
        for path in (folder / PARTS).iterdir():
            if path.name not in names:
                path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    try:
        state_directory.replace(path, content)
    except StateError as error:
        raise ReportFolderError(str(error)) from None
