"""From Amazon's file to a result: every row once, ids unharmed, and damage noticed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ijson  # type: ignore[import-untyped]  # it has no types
import pytest

from proxy.reports.conversion import MAX_TEXT, BoundedTexts, DamagedRows, as_cell, run

ROWS = [
    {"date": "2026-11-01", "campaignId": 388123456789012345, "campaignName": 'A "b", c', "cost": 1.5, "clicks": 3},
    {"date": "2026-11-02", "campaignId": 7, "campaignName": "Ünïcode\n", "cost": 0.1, "clicks": None},
]
COLUMNS = ["date", "campaignId", "campaignName", "cost", "clicks"]
FIRST = ["11", "US", "USD"]


def converted(tmp_path: Path, content: bytes, **changes: Any) -> dict[str, Any]:
    source, target = tmp_path / "from-amazon", tmp_path / "part.jsonl.gz"
    source.write_bytes(content)
    task = {
        "do": "convert",
        "sources": [str(source)],
        "target": str(target),
        "first": FIRST,
        "columns": COLUMNS,
        "limit": 0,
    }
    return run({**task, **changes})


def merged(tmp_path: Path, *parts: Path, columns: list[str] = COLUMNS, limit: int = 0) -> dict[str, Any]:
    files = {"csv": str(tmp_path / "r.csv.gz"), "jsonl": str(tmp_path / "r.jsonl.gz")}
    return run({"do": "merge", "parts": list(map(str, parts)), "columns": columns, "limit": limit, **files})


def zipped(rows: Any) -> bytes:
    return gzip.compress(json.dumps(rows).encode(), mtime=0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_rows_become_lines_with_the_profile_first(tmp_path: Path) -> None:
    assert converted(tmp_path, zipped(ROWS)) == {"rows": 2}
    first, second = lines_of(tmp_path / "part.jsonl.gz")
    assert list(first) == ["profileId", "countryCode", "currencyCode", *COLUMNS]
    assert first["campaignId"] == "388123456789012345"
    assert second == {"profileId": "11", "countryCode": "US", "currencyCode": "USD", **ROWS[1], "campaignId": "7"}


def test_rows_of_several_files_are_one_table(tmp_path: Path) -> None:
    """In the order of the files; one that is damaged leaves nothing of the others."""
    files = [tmp_path / str(number) for number in range(3)]
    for file, rows in zip(files, ([ROWS[1]], [], [ROWS[0]]), strict=True):
        file.write_bytes(zipped(rows))
    assert converted(tmp_path, b"", sources=list(map(str, files))) == {"rows": 2}
    assert [line["date"] for line in lines_of(tmp_path / "part.jsonl.gz")] == ["2026-11-02", "2026-11-01"]
    files[2].write_bytes(zipped(ROWS)[:-9])
    assert converted(tmp_path, b"", sources=list(map(str, files)))["problem"] == "damaged"
    assert not (tmp_path / "part.jsonl.gz").exists()


def test_a_file_that_is_not_compressed_is_read_too(tmp_path: Path) -> None:
    assert converted(tmp_path, json.dumps(ROWS).encode()) == {"rows": 2}


def test_a_report_without_rows(tmp_path: Path) -> None:
    assert converted(tmp_path, zipped([])) == {"rows": 0}
    assert lines_of(tmp_path / "part.jsonl.gz") == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(ROWS * 500)[:-9], "cut or damaged"),
        (zipped(ROWS)[:-4] + b"\0\0\0\0", "cut or damaged"),
        (gzip.compress(b'[{"date": "2026-11-01"}', mtime=0), "not JSON"),
        (gzip.compress(b'[{"date": "2026-11-01"}]rest', mtime=0), "not JSON"),
        (gzip.compress(b'[{"date": "\xff"}]', mtime=0), "not JSON"),
        (zipped({"error": "expired"}), "no list of rows"),
        (zipped([1, 2]), "something else than rows"),
        (zipped([*ROWS, {"campaign": {"id": "7"}}]), "rows without any of the columns that were ordered"),
        (b"<Error><Code>AccessDenied</Code></Error>", "no list of rows"),
        (b"", "no list of rows"),
    ],
)
def test_what_is_damaged_leaves_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    """A cut file must never pass for a short report."""
    told = converted(tmp_path, content)
    assert told["problem"] == "damaged"
    assert words in told["words"]
    assert not (tmp_path / "part.jsonl.gz").exists()


@pytest.mark.parametrize(
    "text",
    [
        '"' + "x" * (MAX_TEXT + 1) + '"',
        '"' + '\\"' * MAX_TEXT + '"',
        '"' + "\\\\" * MAX_TEXT + '"',
        "1" * (MAX_TEXT + 1),
    ],
    ids=["letters", "escaped quotes", "escaped backslashes", "digits"],
)
def test_rows_with_a_text_longer_than_any_of_amazons_are_refused(tmp_path: Path, text: str) -> None:
    """However it is written: the parser would begin it anew for each piece of the file."""
    content = f'[{{"date": {text}}}]'.encode()
    for body in (content, gzip.compress(content)):
        told = converted(tmp_path, body)
        assert told == {"problem": "damaged", "words": f"one of its texts has more than {MAX_TEXT} bytes"}


def test_a_long_text_is_read_no_further_than_its_bound() -> None:
    """What is behind it costs nothing."""
    file = io.BytesIO(b'[{"date":"' + b"x" * (16 << 20) + b'"}]')
    with pytest.raises(DamagedRows):
        for _ in ijson.items(BoundedTexts(file), "item"):
            raise AssertionError
    assert file.tell() <= 2 * MAX_TEXT


@pytest.mark.parametrize("start", range(4))
def test_texts_up_to_the_bound_are_read_unharmed(tmp_path: Path, start: int) -> None:
    """Wherever the pieces of the file end: amid escapes, too."""
    texts = ["a" * start, '\\"' * (MAX_TEXT // 9), "\\" * (MAX_TEXT // 3), "é" * (MAX_TEXT // 7), '"\\']
    rows = [{"date": text, "clicks": 1} for text in texts * 3]
    assert converted(tmp_path, json.dumps(rows).encode()) == {"rows": len(rows)}
    assert [row["date"] for row in lines_of(tmp_path / "part.jsonl.gz")] == texts * 3


def test_a_result_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    """Also where only the last rows exceed it: nothing of them stays."""
    assert converted(tmp_path, zipped(ROWS), limit=100)["problem"] == "too-large"
    assert not list(tmp_path.glob("*.jsonl.gz"))


def test_rows_that_take_too_long_to_read_are_refused(tmp_path: Path) -> None:
    """Whatever it is that takes long."""
    source, target = tmp_path / "from-amazon", tmp_path / "part.jsonl.gz"
    source.write_bytes(gzip.compress(b'[{"date":"x"}' + b',{"date":"x"}' * (8 << 20) + b"]", 1))
    task = {"do": "convert", "sources": [str(source)], "target": str(target), "first": FIRST, "columns": ["date"]}
    code = "from proxy.reports import conversion; conversion.MAX_SECONDS = 1; conversion.main()"
    command = [sys.executable, "-c", code, str(os.getpid())]
    ended = subprocess.run(command, input=json.dumps({**task, "limit": 0}), capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == {"problem": "too-large", "words": "reading its rows took more than 1 s"}
    assert not target.exists()


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    told = converted(tmp_path, zipped(ROWS), target=str(tmp_path / "missing" / "part"))
    assert told["problem"] == "disk"
    assert "No such file" in told["words"]


@pytest.mark.parametrize(
    ("name", "value", "cell"),
    [
        ("campaignId", 7, "7"),
        ("campaign.id", 7, "7"),
        ("impressions", 7, 7),
        ("metric.clicks", 7, 7),
        ("impressions", 2**53 - 1, 2**53 - 1),
        ("impressions", 2**53, "9007199254740992"),
        ("delta", -(2**53), "-9007199254740992"),
        ("isIdle", True, True),
        ("portfolioId", None, None),
        ("portfolioId", "12", "12"),
    ],
)
def test_ids_are_texts(name: str, value: object, cell: object) -> None:
    """Of one kind in all rows; and no integer is one that spreadsheets round."""
    assert as_cell(name, value) == cell


def test_a_result_has_all_rows_in_both_forms(tmp_path: Path) -> None:
    """Read by other readers than ours."""
    converted(tmp_path, zipped(ROWS))
    part = tmp_path / "part.jsonl.gz"
    told = merged(tmp_path, part, part)
    assert told["rows"] == 4
    text = gzip.decompress((tmp_path / "r.csv.gz").read_bytes())
    assert text.startswith(b"profileId,countryCode,currencyCode,date,")
    table = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert [row["campaignName"] for row in table] == ['A "b", c', "Ünïcode\n"] * 2
    assert table[0] | {"campaignName": ""} == {
        "profileId": "11",
        "countryCode": "US",
        "currencyCode": "USD",
        "date": "2026-11-01",
        "campaignId": "388123456789012345",
        "campaignName": "",
        "cost": "1.5",
        "clicks": "3",
    }
    assert lines_of(tmp_path / "r.jsonl.gz") == lines_of(part) * 2
    assert told["csv"] == {
        "name": "r.csv.gz",
        "size": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "stored": (tmp_path / "r.csv.gz").stat().st_size,
    }


def test_texts_are_quoted_and_numbers_are_not(tmp_path: Path) -> None:
    """So that ids stay texts."""
    converted(tmp_path, zipped(ROWS[:1]))
    merged(tmp_path, tmp_path / "part.jsonl.gz")
    lines = gzip.decompress((tmp_path / "r.csv.gz").read_bytes()).decode().split("\r\n")
    assert lines[1] == '"11","US","USD","2026-11-01","388123456789012345","A ""b"", c",1.5,3'


def test_rows_of_an_earlier_order_get_the_columns_of_today(tmp_path: Path) -> None:
    converted(tmp_path, zipped(ROWS[:1]))
    merged(tmp_path, tmp_path / "part.jsonl.gz", columns=["cost", "sales7d"])
    expected = {"profileId": "11", "countryCode": "US", "currencyCode": "USD", "cost": 1.5, "sales7d": None}
    assert lines_of(tmp_path / "r.jsonl.gz") == [expected]


def test_equal_rows_have_an_equal_digest(tmp_path: Path) -> None:
    converted(tmp_path, zipped(ROWS))
    part = tmp_path / "part.jsonl.gz"
    assert merged(tmp_path, part) == merged(tmp_path, part)
    assert merged(tmp_path, part)["csv"]["sha256"] != merged(tmp_path, part, part)["csv"]["sha256"]


def test_a_part_that_is_damaged_makes_no_result(tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl.gz"
    converted(tmp_path, zipped(ROWS))
    part.write_bytes(part.read_bytes()[:-5])
    assert merged(tmp_path, part)["problem"] == "damaged"
    assert merged(tmp_path, tmp_path / "missing")["problem"] == "damaged"
    assert not (tmp_path / "r.csv.gz").exists()


def test_lists_within_a_cell_are_json(tmp_path: Path) -> None:
    converted(tmp_path, zipped([{"date": ["a", 1]}]), columns=["date"])
    merged(tmp_path, tmp_path / "part.jsonl.gz", columns=["date"])
    assert gzip.decompress((tmp_path / "r.csv.gz").read_bytes()).endswith(b'"USD","[""a"",1]"\r\n')
