"""The event loops of the tests: what opens the bench on sockets cannot be left out of one."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, answering

TRIED = "test_the_bench_runs_on_the_loop_that_it_says"


async def test_the_bench_runs_on_the_loop_that_it_says(running: Running, request: pytest.FixtureRequest) -> None:
    """Nothing but the fixture is needed for that."""
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask()).body == b"hello"
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        assert request.node.name == f"{TRIED}[{loop}]"


def test_the_bench_runs_on_both_loops(running: Running, request: pytest.FixtureRequest) -> None:
    """Asyncio's own, and uvloop, which the program takes where there is one."""
    loops = request.config.hook.pytest_asyncio_loop_factories(config=request.config, item=request.node)
    assert set(loops) == {"asyncio", "uvloop"}
    assert {f"{TRIED}[uvloop]"} <= {item.name for item in request.session.items}


def test_the_bench_is_not_to_be_had_without_the_fixture() -> None:
    """A test that imports the bench and calls it gets an error."""
    from tests.support.proxy_bench import running

    with pytest.raises(pytest.fail.Exception, match="called directly"):
        running(None)
