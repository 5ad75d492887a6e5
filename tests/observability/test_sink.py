"""Lines reach the output whole, in order and within bounds, from any thread and however slow the output is."""

from __future__ import annotations

import io
import os
import threading

import pytest

from proxy.observability.sink import BATCH_LINES, MAX_CHARACTERS, Sink
from tests.support.patience import PATIENCE


class Gate(io.StringIO):
    """An output that takes nothing while it is shut. `entered` tells that a writer waits before it."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.entered = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return super().write(text)


def told(count: int) -> str:
    return f"lost {count}\n"


def test_lines_of_many_threads_all_arrive_each_thread_s_in_order() -> None:
    """No lock is taken for lines, and none is lost or doubled between those who put and the one who writes."""
    stream = io.StringIO()
    sink = Sink(stream, told)

    def put(name: int) -> None:
        for number in range(0, 5_000, 2):
            if name % 2:
                sink.put_all([f"{name} {number}\n", f"{name} {number + 1}\n"])
            else:
                sink.put(f"{name} {number}\n")
                sink.put(f"{name} {number + 1}\n")

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.flush(10)
    sink.close()
    lines = [line.split() for line in stream.getvalue().splitlines()]
    for name in range(4):
        assert [int(number) for who, number in lines if who == str(name)] == list(range(5_000))


@pytest.mark.parametrize("at_once", [1, 40])
def test_what_waits_is_bounded_by_its_characters_and_the_rest_is_counted(at_once: int) -> None:
    """Behind an output that takes nothing, about 8 MiB wait; each line beyond is lost and counted, and told later."""
    stream = Gate()
    sink = Sink(stream, told)
    sink.put_now("first\n")
    assert stream.entered.wait(PATIENCE)
    line = "x" * 4095 + "\n"
    fitting = MAX_CHARACTERS // len(line)
    for _ in range((fitting + 1_000) // at_once):
        sink.put_all([line] * at_once)
    for _ in range((fitting + 1_000) % at_once):
        sink.put(line)
    assert 990 <= sink.lost <= 1_000
    stream.open.set()
    assert sink.flush(10)
    assert sink.lost == 0
    sink.close()
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("lost 99")
    assert len(lines) == 2 + fitting + 1_000 - int(lines[1].split()[1])


def test_many_short_lines_may_wait() -> None:
    """The limit counts their characters, not the lines."""
    stream = Gate()
    sink = Sink(stream, told)
    sink.put_now("first\n")
    assert stream.entered.wait(PATIENCE)
    for _ in range(BATCH_LINES * 100):
        sink.put("short\n")
    assert sink.lost == 0
    stream.open.set()
    assert sink.flush(10)
    sink.close()
    assert len(stream.getvalue().splitlines()) == 1 + BATCH_LINES * 100


def test_lines_arrive_in_their_order_and_as_they_are() -> None:
    """Also if the output takes them in parts."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    output = os.fdopen(writing, "w")
    sink = Sink(output, told)
    came: list[bytes] = []
    reader = threading.Thread(target=lambda: came.extend(iter(lambda: os.read(reading, 5_000), b"")))
    reader.start()
    for number in range(3_000):
        sink.put(f"line {number} \udcff\n" if number % 7 else f"line {number} {'x' * 9_000}\n")
    assert sink.flush(30)
    sink.close()
    output.close()
    reader.join()
    os.close(reading)
    lines = [line for line in b"".join(came).split(b"\n") if line]
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == [*range(3_000)]
    assert lines.count(b"line 1 \\udcff") == 1


def test_what_is_left_is_written_at_the_end() -> None:
    """The close writes a line just put without waiting for more to come; later lines start a new queue."""
    stream = io.StringIO()
    sink = Sink(stream, told)
    sink.put("last\n")
    sink.close()
    assert stream.getvalue() == "last\n"
    sink.put("after\n")
    sink.close()
    assert stream.getvalue() == "last\nafter\n"
    assert repr(sink) == "<Sink: 0 characters waiting, 0 lines lost>"
