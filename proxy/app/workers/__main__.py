"""A worker's process. Only the supervisor starts it, and passes it descriptors; everything else comes through them."""

from __future__ import annotations

import asyncio
import sys

from proxy.app.process import forbid_core_dumps, loop_factory
from proxy.app.workers.channel import Descriptors
from proxy.app.workers.worker import Worker


async def _run(given: Descriptors) -> None:
    worker = Worker(given)
    try:
        await worker.ended.wait()
    finally:
        worker.close()


def main() -> None:
    """Serve until the end."""
    forbid_core_dumps()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(Descriptors.read(sys.argv[1:])))


if __name__ == "__main__":
    main()
