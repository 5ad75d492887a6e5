"""Looks again and again whether a worker stands still, and ends one that does; its keeper sees to the rest.

Whatever a look meets is told as a defect, once for as long as it goes on, and is no end of the looking: nobody else
would notice a worker that hangs.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.app.workers.supervision import LOOK_SECONDS, judge
from proxy.events import DefectMet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.app.workers.worker_process import WorkerProcess
    from proxy.events import Event

LOOKS_UNTIL_ELSEWHERE: Final = 4


class WorkerWatch:
    """`workers` gives those to look at, `look_elsewhere` is called now and then, `tell` gets the defects."""

    def __init__(
        self,
        workers: Callable[[], Iterable[WorkerProcess]],
        look_elsewhere: Callable[[], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._workers, self._look_elsewhere, self._tell = workers, look_elsewhere, tell
        self._looked_at, self._looks = time.monotonic(), 0
        self._met: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<WorkerWatch: {self._looks} looks, {len(self._met)} of them fail>"

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        looked_at, self._looked_at = self._looked_at, now
        self._looks += 1
        for worker in tuple(self._workers()):
            self._try(f"watch of worker {worker.number}", partial(_judge, worker, now, looked_at))
        if self._looks % LOOKS_UNTIL_ELSEWHERE == 0:
            self._try("watch of lists", self._look_elsewhere)

    def _try(self, where: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look is taken
            trace = "".join(traceback.format_exception(error))
            if self._met.get(where) != trace:
                self._met[where] = trace
                self._tell(DefectMet(where, trace))
        else:
            self._met.pop(where, None)


def _judge(worker: WorkerProcess, now: float, looked_at: float) -> None:
    why = judge(worker.vitals, now, looked_at)
    if why is not None:
        worker.kill(why)
