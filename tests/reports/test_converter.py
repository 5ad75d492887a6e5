"""Conversions in processes of their own: their result, and how they end."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.reports import converter
from proxy.reports.converter import ConversionFailed, Converter
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT


def task(source: Path, target: Path) -> dict[str, Any]:
    first = ["11", "US", "USD"]
    return {
        "do": "convert",
        "sources": [str(source)],
        "target": str(target),
        "first": first,
        "columns": ["cost"],
        "limit": 0,
    }


async def test_a_task_is_done_in_another_process(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b'[{"cost": 1.5}]')
    told = await Converter().run(task(tmp_path / "source", tmp_path / "target"))
    line = gzip.decompress((tmp_path / "target").read_bytes())
    assert (told, line) == (
        {"rows": 1},
        b'{"profileId":"11","countryCode":"US","currencyCode":"USD","cost":1.5}\n',
    )


async def test_what_went_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file, a process that ends without a word, and one that does not begin."""
    (tmp_path / "source").write_bytes(b"{}")
    given, convert = task(tmp_path / "source", tmp_path / "target"), Converter()
    with pytest.raises(ConversionFailed, match="it holds no list of rows") as failed:
        await convert.run(given)
    assert failed.value.damaged
    with monkeypatch.context() as broken:
        broken.setattr(converter, "_CODE", "import sys; sys.exit('no memory')")
        with pytest.raises(ConversionFailed, match="ended with 1: no memory"):
            await convert.run(given)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(ConversionFailed, match="does not start: No such file"):
        await convert.run(given)


async def test_a_cancelled_task_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before who began it goes on: another one may write the same file."""
    begun, begin = list[subprocess.Popen[bytes]](), converter._begin

    def note() -> subprocess.Popen[bytes]:
        begun.append(begin())
        return begun[0]

    monkeypatch.setattr(converter, "_begin", note)
    monkeypatch.setattr(converter, "_CODE", "import signal; signal.pause()")
    convert = Converter()
    running = asyncio.create_task(convert.run(task(tmp_path / "source", tmp_path / "target")))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    assert begun[0].returncode == -signal.SIGKILL
    assert repr(convert) == "<Converter: 0 processes>"


def test_a_process_ends_with_the_one_that_began_it(tmp_path: Path) -> None:
    """Also if that is killed; and it does nothing if that had ended before."""
    os.mkfifo(tmp_path / "source")  # to open it waits for ever
    begins = f"""
import asyncio, json, sys
from proxy.reports import converter
process = converter._begin()
process.stdin.write(json.dumps({task(tmp_path / "source", tmp_path / "target")!r}).encode())
process.stdin.close()
print(process.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        (sys.executable, "-c", begins), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        waiting = os.open(tmp_path / "source", os.O_WRONLY)  # once the child has opened it, too
        ended = os.pidfd_open(child)
        try:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            asyncio.run(_until_readable(ended))
        finally:
            os.close(ended)
            os.close(waiting)
    late = subprocess.run(
        (sys.executable, "-P", "-c", converter._CODE, str(ROOT), "1"), input=b"{}", capture_output=True, check=False
    )
    assert (late.returncode, late.stdout) == (1, b"")


async def _until_readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
    loop.remove_reader(descriptor)
