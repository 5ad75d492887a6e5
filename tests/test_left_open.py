"""Which test pays for a socket that was left open, on pytest itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.programs import ROOT

SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
LEAKING = """
import asyncio
import socket

import pytest


async def opened():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    server.close()
    return reader, writer


async def test_a_stream_is_left_open():
    kept = [await opened()]
    kept.append(kept)
    many = [[number] for number in range(100_000)]  # the collector runs by itself, and finds these in use
    assert many


async def test_one_that_has_nothing_to_do_with_it():
    pass


def test_a_failure_leaves_a_socket_open():
    left = socket.create_server(("127.0.0.1", 0))
    assert left is None


async def test_another_one():
    pass


@pytest.fixture(scope="module")
def forgetful():
    kept = [socket.socket()]
    kept.append(kept)
    yield


async def test_the_first_of_two_with_a_fixture(forgetful):
    pass


async def test_the_last_of_its_module(forgetful):
    pass
"""


def test_who_leaves_a_socket_open_fails(tmp_path: Path) -> None:
    """Only that test fails, whenever the garbage collector would have run."""
    file = tmp_path / "test_leaking.py"
    file.write_text(LEAKING)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    options = ("-p", "tests.support.left_open", "-p", "no:cacheprovider", "-rA", "-q", "--rootdir", tmp_path)
    command = (sys.executable, "-m", "pytest", *options, file)
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    told = re.findall(r"^(PASSED|FAILED|ERROR) \S*::(\w+)", run.stdout, re.MULTILINE)
    assert {name for _, name in told} == set(re.findall(r"def (test_\w+)", LEAKING)), run.stdout + run.stderr
    assert {name for outcome, name in told if outcome != "PASSED"} == {
        "test_a_stream_is_left_open",
        "test_a_failure_leaves_a_socket_open",
        "test_the_last_of_its_module",
    }, run.stdout
