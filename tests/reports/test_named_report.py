"""Named reports on the clients' listener: what a client gets byte for byte, and what it does not learn."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.access.clients import Budgets
from proxy.app.rules import make_clients
from proxy.config.model.clients import Client
from proxy.downstream.ports import Availability
from proxy.events import ReportFileUnreadable
from proxy.reports.overview import NamedReports
from proxy.reports.store import ReportFolder, RunProgress, State
from tests.access.test_clients import digest
from tests.support.deciding import config
from tests.support.named_reports import COMPLETED, ROWS, csv_of, failed_run, lines_of, publish, tell
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Answer, answering

MODIFIED = b"Thu, 09 Oct 2025 08:53:20 GMT"
ACCOUNTS = {"sp-daily": "default", "sp-secret": "default", "other": "zeta"}


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    return ReportFolder(tmp_path / "reports")


@pytest.fixture
def reports(folder: ReportFolder) -> NamedReports:
    return NamedReports(folder, ACCOUNTS, 900.0)


def get(target: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    head = (f"{method} {target} HTTP/{version}", "Host: 127.0.0.1", *lines)
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n"


def clients_with(**limits: Any) -> Any:
    """One client, whose key is `key-of-tool`, next to one without limits."""
    tool = Client(name="tool", key_sha256=digest("key-of-tool"), **limits)
    free = Client(name="free", key_sha256=digest("key-of-free"))
    return make_clients(config({"default": {}, "zeta": {}}, clients=(tool, free)), b"s" * 32, Budgets())


TOOL, FREE = "X-Ads-Proxy-Key: key-of-tool", "X-Ads-Proxy-Key: key-of-free"


def slug(got: Answer) -> str:
    return str(json.loads(got.body)["type"]).removeprefix("urn:ads-proxy:error:")


# --- what is read


@pytest.mark.parametrize(
    ("ending", "body", "media_type"),
    [
        ("csv", csv_of(), b"text/csv; charset=utf-8"),
        ("jsonl", lines_of(), b"application/x-ndjson"),
    ],
)
async def test_a_result_is_read_plain(
    ending: str, body: bytes, media_type: bytes, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """With its length, its name, and headers about its age; Amazon hears nothing."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get(f"/-/reports/sp-daily.{ending}"))
        assert (got.status, got.body) == (200, body)
        assert got.value(b"content-length") == b"%d" % len(body)
        assert got.value(b"content-type") == media_type
        assert got.value(b"content-disposition") == b'attachment; filename="sp-daily.%b"' % ending.encode()
        assert got.value(b"last-modified") == MODIFIED
        assert got.value(b"cache-control") == b"private, no-cache"
        assert got.value(b"vary") == b"Accept-Encoding"
        assert got.value(b"content-encoding") is None
        assert int(got.value(b"age") or b"") == pytest.approx(time.time() - COMPLETED, abs=60)
        assert None not in (got.value(b"date"), got.value(b"x-request-id"))
        assert got.value(b"x-ads-proxy-report-stale") is None
        assert not bench.upstream.wires
        finished = await bench.events.last()
        assert (finished.operation, finished.operation_class) == ("readNamedReport", "read")
        assert (finished.account, finished.path) == ("default", f"/-/reports/sp-daily.{ending}")
        assert (finished.status, finished.bytes_out) == (200, len(body))


async def test_json_is_one_array(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """Made from the lines while it is sent: chunked, and by closing for HTTP/1.0."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.json"))
        assert json.loads(got.body) == [*ROWS]
        assert (got.value(b"transfer-encoding"), got.value(b"content-type")) == (b"chunked", b"application/json")
        client = await bench.client(get("/-/reports/sp-daily.json", "Connection: keep-alive", version="1.0"))
        head, _, body = (await client.end()).partition(b"\r\n\r\n")
        assert json.loads(body) == [*ROWS]
        assert b"\r\nConnection: close" in head
        assert b"Transfer-Encoding" not in head


async def test_an_empty_result_is_valid_in_each_form(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """No rows: the header line, an empty array, nothing."""
    publish(folder, "sp-daily", csv=csv_of(()), jsonl=b"", rows=0)
    async with running(answering(HELLO), named_reports=reports) as bench:
        client = await bench.client(*(get(f"/-/reports/sp-daily.{form}") for form in ("csv", "json", "jsonl")))
        assert (await client.answer()).body == csv_of(())
        assert json.loads((await client.answer()).body) == []
        assert (await client.answer()).body == b""


@pytest.mark.parametrize(
    ("accepted", "coded"),
    [
        ("gzip", True),
        ("br;q=1.0, gzip;q=0.5, *;q=0", True),
        ("*", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, *", False),
        ("identity", False),
        ("br", False),
    ],
)
async def test_the_stored_gzip_goes_out_as_it_is(
    accepted: str, coded: bool, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Where the client takes it, with another ETag."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        plain = await bench.ask(get("/-/reports/sp-daily.csv"))
        got = await bench.ask(get("/-/reports/sp-daily.csv", f"Accept-Encoding: {accepted}"))
        assert got.value(b"content-encoding") == (b"gzip" if coded else None)
        assert got.value(b"content-length") == b"%d" % len(got.body)
        assert (gzip.decompress(got.body) if coded else got.body) == csv_of()
        assert (got.value(b"etag") == plain.value(b"etag")) is not coded


async def test_an_array_is_never_coded(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """It does not lie on disk in this form."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.json", "Accept-Encoding: gzip"))
        assert got.value(b"content-encoding") is None
        assert json.loads(got.body) == [*ROWS]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
async def test_head_has_the_same_head_and_no_body(
    ending: str, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """And the connection goes on."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get(f"/-/reports/sp-daily.{ending}"))
        client = await bench.client(get(f"/-/reports/sp-daily.{ending}", method="HEAD"), GET)
        head = await client.answer(to_head=True)
        for name in (b"etag", b"last-modified", b"content-type", b"content-length", b"content-disposition"):
            assert head.value(name) == got.value(name)
        assert (await client.answer()).body == b"hello"


async def test_a_request_split_anywhere_and_with_a_body_is_answered(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """The body of a GET means nothing, and the next request is read behind it."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        request = get("/-/reports/sp-daily.csv", "Content-Length: 5") + b"abcde" + GET
        client = await bench.client()
        for byte in request:
            client.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await client.answer()).body == csv_of()
        assert (await client.answer()).body == b"hello"


async def test_a_range_gets_the_whole(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """200, and a header that says that there are no parts."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv", "Range: bytes=0-4"))
        assert (got.status, got.body, got.value(b"accept-ranges")) == (200, csv_of(), b"none")


# --- conditions


async def test_what_the_client_has_is_not_sent_again(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """By tag before date; a tag of another coding or form is another one."""
    publish(folder, "sp-daily", stale=("13",))
    async with running(answering(HELLO), named_reports=reports) as bench:
        tags = {}
        for form in ("csv", "jsonl", "json"):
            got = await bench.ask(get(f"/-/reports/sp-daily.{form}"))
            tags[form] = (got.value(b"etag") or b"").decode()
        assert len(set(tags.values())) == 3

        async def status(*lines: str) -> int:
            return (await bench.ask(get("/-/reports/sp-daily.csv", *lines))).status

        assert await status(f"If-None-Match: {tags['csv']}") == 304
        assert await status(f'If-None-Match: "x", W/{tags["csv"]}') == 304
        assert await status("If-None-Match: *") == 304
        assert await status(f"If-None-Match: {tags['json']}") == 200
        assert await status(f"If-None-Match: {tags['csv']}", "Accept-Encoding: gzip") == 200
        assert await status('If-None-Match: "x"', f"If-Modified-Since: {MODIFIED.decode()}") == 200
        assert await status(f"If-Modified-Since: {MODIFIED.decode()}") == 304
        assert await status("If-Modified-Since: Thu, 09 Oct 2025 08:53:19 GMT") == 200
        assert await status("If-Modified-Since: yesterday") == 200
        client = await bench.client(get("/-/reports/sp-daily.csv", f"If-None-Match: {tags['csv']}"), GET)
        got = await client.answer()
        assert (got.status, got.body, got.value(b"etag")) == (304, b"", tags["csv"].encode())
        assert got.value(b"x-ads-proxy-report-stale") == b"13"
        assert (got.value(b"content-type"), got.value(b"content-length")) == (None, None)
        assert (await client.answer()).body == b"hello"


async def test_equal_content_of_another_run_has_the_same_tag(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """So a nightly run that changed nothing costs its readers nothing."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        first = await bench.ask(get("/-/reports/sp-daily.csv"))
        publish(folder, "sp-daily", "r2", completed=COMPLETED + 86400)
        second = await bench.ask(get("/-/reports/sp-daily.csv"))
        publish(folder, "sp-daily", "r3", csv=csv_of(ROWS[:1]))
        third = await bench.ask(get("/-/reports/sp-daily.csv"))
        tags = [got.value(b"etag") for got in (first, second, third)]
        assert tags[0] == tags[1] != tags[2]
        assert second.value(b"last-modified") == b"Fri, 10 Oct 2025 08:53:20 GMT"


# --- what is not there


async def test_until_a_first_result_the_answer_says_what_it_waits_for(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """503 with Retry-After, for each state."""
    async with running(answering(HELLO), named_reports=reports) as bench:

        async def told() -> tuple[str, bytes | None]:
            got = await bench.ask(get("/-/reports/sp-daily.csv"))
            assert (got.status, slug(got)) == (503, "report-not-ready")
            assert json.loads(got.body)["retryable"]
            return json.loads(got.body)["detail"], got.value(b"retry-after")

        assert await told() == (
            "sp-daily has no complete result yet. No proxy with this configuration has begun it: start or reload one.",
            b"60",
        )
        tell(folder, "sp-daily", State.RUNNING, waits_for="Waits for Amazon.", progress=RunProgress(4, 2, 1))
        assert await told() == (
            "sp-daily has no complete result yet. Waits for Amazon. 1 of 4 orders are here.",
            b"60",
        )
        tell(folder, "sp-daily", next_run=time.time() + 600, waits_for="All orders failed.")
        detail, wait = await told()
        assert detail == "sp-daily has no complete result yet. All orders failed."
        assert 590 < int(wait or b"") <= 601
        assert (await bench.events.last()).refusal == "report-not-ready"


async def test_rows_of_another_account_are_not_shown(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """A report whose account was changed has no result until its next run, whatever lies in its folder."""
    publish(folder, "sp-daily", account="former")
    async with running(answering(HELLO), named_reports=reports) as bench:
        assert (await bench.ask(get("/-/reports/sp-daily.csv"))).status == 503
        listed = json.loads((await bench.ask(get("/-/reports"))).body)["reports"]
        assert [each["rows"] for each in listed] == [None, None, None]


async def test_stale_profiles_are_named(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """In a header, not in the rows; at most a hundred of them."""
    publish(folder, "sp-daily", stale=("13", "14"))
    publish(folder, "sp-secret", stale=tuple(map(str, range(100, 203))))
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv"))
        assert got.value(b"x-ads-proxy-report-stale") == b"13, 14"
        got = await bench.ask(get("/-/reports/sp-secret.csv"))
        assert (got.value(b"x-ads-proxy-report-stale") or b"").endswith(b", 199, and 3 more")


async def test_the_list_says_what_there_is(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """Each report with its state, age, rows and stale profiles."""
    publish(folder, "sp-daily", stale=("13",))
    tell(folder, "sp-daily", next_run=COMPLETED + 86400)
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports"))
        assert (got.status, got.value(b"content-type")) == (200, b"application/json")
        other, daily, _ = json.loads(got.body)["reports"]
        assert (other["name"], other["state"], other["age"], other["rows"]) == ("other", "new", None, None)
        assert (daily["state"], daily["rows"], daily["staleProfiles"]) == ("idle", 2, ["13"])
        assert (daily["completedAt"], daily["nextRun"]) == ("2025-10-09T08:53:20+00:00", "2025-10-10T08:53:20+00:00")
        assert daily["paths"][0] == "/-/reports/sp-daily.csv"
        assert (await bench.events.last()).operation == "readNamedReport"
        assert (await bench.ask(get("/-/reports", method="HEAD"))).value(b"content-length") is not None


# --- paths and methods


ODD_PATHS = [
    "/-",
    "/-/",
    "/-/x",
    "/-/reports/",
    "/-/reports/sp-daily",
    "/-/reports/sp-daily.xml",
    "/-/reports/sp-daily.CSV",
    "/-/reports/SP-DAILY.csv",
    "/-/Reports/sp-daily.csv",
    "/-/reports/sp-daily.csv/",
    "/-/reports/sp-daily.csv.",
    "/-/reports/sp-daily%2ecsv",
    "/-/reports/sp-daily.csv%00",
    "/-/reports%2fsp-daily.csv",
    "/-/reports//sp-daily.csv",
    "//-/reports/sp-daily.csv",
    "/-//reports/sp-daily.csv",
    "/%2d/reports/sp-daily.csv",
    "/-/reports/./sp-daily.csv",
    "/-/x/../reports/sp-daily.csv",
    "/-/reports/../../etc/passwd.csv",
    "/-/reports/..%2f..%2fetc%2fpasswd.csv",
    "/-/reports/sp-daily.csv;x",
    "/-/reports/unknown.csv",
    "/-/reports/unknown.csv?x=1",
    "/na/-/reports/sp-daily.csv",
    "/@default/-/reports/sp-daily.csv",
    "/@default/eu/-/reports",
    "/@nobody/-/reports/sp-daily.csv",
    "/-/../auth/o2/token",
    "/-/.well-known/oauth-protected-resource",
]


@pytest.mark.parametrize("target", ODD_PATHS)
async def test_no_other_spelling_leads_to_a_report_or_to_amazon(
    target: str, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """One 404 for all, and one 401 without a key."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get(target))
        assert (got.status, slug(got)) == (404, "unknown-report")
        bench.apply(clients=clients_with())
        assert (await bench.ask(get(target))).status == 401
        assert not bench.upstream.wires


async def test_without_the_section_the_path_passes(running: Running) -> None:
    """As it did before there were named reports."""
    async with running(answering(HELLO, HELLO)) as bench:
        assert (await bench.ask(get("/-/reports/sp-daily.csv"))).body == b"hello"
        assert b"GET /-/reports/sp-daily.csv HTTP/1.1" in bytes(bench.upstream.wires[0].received)


async def test_a_reload_turns_the_path_on_and_off(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Nothing that was remembered of it stays."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO, HELLO)) as bench:
        request = get("/-/reports/sp-daily.csv")
        assert (await bench.ask(request)).body == b"hello"
        bench.apply(named_reports=reports)
        assert (await bench.ask(request)).body == csv_of()
        bench.apply(named_reports=None)
        assert (await bench.ask(request)).body == b"hello"


@pytest.mark.parametrize("target", ["/-/reports", "/-/reports/sp-daily.csv", "/-/reports/unknown.csv", "/-/x"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_reports_are_only_read(
    method: str, target: str, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """405 says which methods there are, the same for every name."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get(target, "Content-Length: 2", method=method) + b"{}")
        assert (got.status, got.value(b"allow")) == (405, b"GET, HEAD")


@pytest.mark.parametrize(
    "target",
    [
        "/-/reports?x=1",
        "/-/reports?refresh=1",
        "/-/reports/sp-daily.csv?refresh=0",
        "/-/reports/sp-daily.csv?refresh=1&refresh=1",
        "/-/reports/sp-daily.csv?refresh=1&profile=11",
        "/-/reports/sp-daily.csv?limit=5",
    ],
)
async def test_another_parameter_is_refused(
    target: str, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Rather than ignored: the client would take the whole for a part."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get(target))
        assert (got.status, slug(got)) == (400, "unknown-parameter")
        assert not folder.run_is_asked_for("sp-daily")


@pytest.mark.parametrize("line", ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"])
async def test_web_pages_read_nothing(line: str, running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """Nor may they ask for a run."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        assert (await bench.ask(get("/-/reports/sp-daily.csv?refresh=1", line))).status == 403
        rebound = get("/-/reports/sp-daily.csv").replace(b"127.0.0.1", b"evil.example")
        assert (await bench.ask(rebound)).status == 421
        assert not folder.run_is_asked_for("sp-daily")


# --- clients


@pytest.mark.parametrize(
    ("limits", "readable"),
    [
        ({}, {"sp-daily", "sp-secret", "other"}),
        ({"reports": ("sp-daily",)}, {"sp-daily"}),
        ({"reports": ("sp-*",)}, {"sp-daily", "sp-secret"}),
        ({"reports": ("*",)}, {"sp-daily", "sp-secret", "other"}),
        ({"accounts": ("zeta",)}, {"other"}),
        ({"accounts": ("zeta",), "reports": ("sp-*",)}, set()),
        ({"profiles": ("11",)}, set()),
        ({"account_ids": ("amzn1.ads-account.g.x",)}, set()),
        ({"profiles": ("11",), "reports": ("sp-daily",)}, {"sp-daily"}),
        ({"paths": ("/-/reports/sp-secret.csv",)}, {"sp-secret"}),
        ({"paths": ("/v2/*",)}, set()),
        ({"methods": ("POST",)}, set()),
        ({"access": "read"}, {"sp-daily", "sp-secret", "other"}),
    ],
)
async def test_a_client_reads_what_it_may(
    limits: dict[str, Any], readable: set[str], running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """The list holds exactly what it may read."""
    for name, account in ACCOUNTS.items():
        publish(folder, name, account=account)
    async with running(answering(HELLO), named_reports=reports, clients=clients_with(**limits)) as bench:
        got = {name for name in ACCOUNTS if (await bench.ask(get(f"/-/reports/{name}.csv", TOOL))).status == 200}
        assert got == readable
        listed = await bench.ask(get("/-/reports", TOOL))
        if listed.status == 200:
            assert {each["name"] for each in json.loads(listed.body)["reports"]} == readable
        else:
            assert limits.keys() & {"paths", "methods"}
        finished = await bench.events.last()
        assert (finished.client, finished.operation) == ("tool", "readNamedReport")


async def test_a_hidden_report_is_told_from_an_unknown_one_by_nothing(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Not by its tag, its date, a wrong parameter, HEAD or a request for a run."""
    publish(folder, "sp-secret")
    async with running(answering(HELLO), named_reports=reports, clients=clients_with(reports=("sp-daily",))) as bench:
        tag = ((await bench.ask(get("/-/reports/sp-secret.csv", FREE))).value(b"etag") or b"").decode()
        assert tag
        for further in ((), (f"If-None-Match: {tag}",), ("If-None-Match: *",), ("Accept-Encoding: gzip",)):
            for query in ("", "?refresh=1", "?x=1"):
                for method in ("GET", "HEAD"):
                    seen = set()
                    for name in ("sp-secret", "sp-nothing"):
                        got = await bench.ask(
                            get(f"/-/reports/{name}.csv{query}", TOOL, "X-Request-Id: 1", *further, method=method)
                        )
                        date = got.value(b"date") or b""
                        seen.add((got.head.replace(date, b""), got.body))
                    assert len(seen) == 1
                    assert seen.pop()[0].startswith(b"HTTP/1.1 404 ")
        assert not folder.run_is_asked_for("sp-secret")


async def test_budgets_hold_for_reports(running: Running, folder: ReportFolder, reports: NamedReports) -> None:
    """Each read is a request, and a response under way is one in flight."""
    publish(folder, "sp-daily", csv=big())
    limits = {"requests_per_minute": 3, "max_in_flight": 1}
    async with running(answering(HELLO), named_reports=reports, clients=clients_with(**limits)) as bench:
        slow = await bench.client(get("/-/reports/sp-daily.csv", TOOL))
        slow.transport.pause_reading()
        await bench.settled(lambda: not bench.connection().writable)
        got = await bench.ask(get("/-/reports/sp-daily.csv", TOOL))
        assert (got.status, slug(got)) == (429, "budget-spent")
        slow.abort()
        await bench.settled(lambda: not bench.accounting.in_flight)
        assert (await bench.ask(get("/-/reports", TOOL))).status == 200
        assert (await bench.ask(get("/-/reports", TOOL))).status == 429


# --- asking for a run


async def test_refresh_asks_for_a_run_and_answers_with_what_there_is(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Once; the next answers say that one is under way."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        assert (await bench.ask(get("/-/reports/sp-daily.csv"))).value(b"x-ads-proxy-report") is None
        got = await bench.ask(get("/-/reports/sp-daily.csv?refresh=1"))
        assert (got.body, got.value(b"x-ads-proxy-report")) == (csv_of(), b"refreshing")
        assert folder.take_request("sp-daily")
        tell(folder, "sp-daily", State.RUNNING)
        got = await bench.ask(get("/-/reports/sp-daily.csv?refresh=1"))
        assert got.value(b"x-ads-proxy-report") == b"refreshing"
        assert not folder.run_is_asked_for("sp-daily")


async def test_refresh_answers_with_what_there_is_if_no_run_can_be_asked_for(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """As in a folder that this replica cannot write to."""
    publish(folder, "sp-daily")
    folder.path("sp-daily").chmod(0o755)
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv?refresh=1"))
        assert (got.status, got.body, got.value(b"x-ads-proxy-report")) == (200, csv_of(), None)
        assert (await bench.ask(get("/-/reports/sp-secret.csv?refresh=1"))).status == 503


@pytest.mark.parametrize("failed", [False, True])
async def test_a_run_that_was_just_now_is_not_repeated(
    failed: bool, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """Within `reuse_for`, whether it failed or not: a client that asks all the time does not order all the time."""
    now = time.time()
    publish(folder, "sp-daily", completed=COMPLETED if failed else now - 890)
    tell(folder, "sp-daily", history=(failed_run(now - 890),) if failed else ())
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv?refresh=1"))
        assert (got.status, got.value(b"x-ads-proxy-report")) == (200, None)
        assert not folder.run_is_asked_for("sp-daily")


@pytest.mark.parametrize(("access", "status"), [("read", 403), ("report", 200), ("write", 200)])
async def test_a_client_that_only_reads_orders_nothing(
    access: str, status: int, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """`refresh=1` makes the proxy order reports."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports, clients=clients_with(access=access)) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv?refresh=1", TOOL))
        assert got.status == status
        assert folder.run_is_asked_for("sp-daily") is (status == 200)


# --- streams


@functools.cache
def big() -> bytes:
    """16 MB: more than sockets and buffers hold."""
    return b"".join(b"%06d,some,more,text\r\n" % number for number in range(8_000)) * 100


@pytest.fixture
def slow_reader(running: Running, folder: ReportFolder, reports: NamedReports) -> Iterator[Any]:
    publish(folder, "sp-daily", csv=big())
    yield running(answering(HELLO), named_reports=reports)


async def begun(bench: ProxyBench, *lines: str, version: str = "1.1") -> Any:
    """A client that has begun to read the large result, and stopped."""
    client = await bench.client(get("/-/reports/sp-daily.csv", *lines, version=version))
    await client.until(lambda: len(client.received) > 1000)
    client.transport.pause_reading()
    await bench.settled(lambda: not bench.connection().writable)
    return client


def open_files(directory: Path) -> list[str]:
    """The files below a directory that this process has open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = each.readlink()
        except OSError:
            continue
        if directory in target.parents:
            found.append(target.name)
    return found


async def test_a_slow_client_holds_one_piece_and_gets_all(slow_reader: Any) -> None:
    """What it has not taken is not read from the disk."""
    async with slow_reader as bench:
        client = await begun(bench)
        assert bench.connection().unsent < 2_000_000
        client.transport.resume_reading()
        got = await client.answer()
        assert got.body == big()
        assert (await bench.events.last()).bytes_out == len(big())


async def test_a_result_that_is_published_meanwhile_does_not_mix(slow_reader: Any, folder: ReportFolder) -> None:
    """The response that has begun ends with the rows that it began with; the next one has the new ones."""
    async with slow_reader as bench:
        client = await begun(bench)
        publish(folder, "sp-daily", "r2")
        client.transport.resume_reading()
        assert (await client.answer()).body == big()
        assert (await bench.ask(get("/-/reports/sp-daily.csv"))).body == csv_of()


@pytest.mark.parametrize("how", ["abort", "drop"])
async def test_a_client_that_leaves_frees_everything(slow_reader: Any, folder: ReportFolder, how: str) -> None:
    """Its file is closed, and its account is kept."""
    async with slow_reader as bench:
        client = await begun(bench)
        assert open_files(folder.directory) == ["r1.csv.gz"]
        getattr(client, how)()
        finished = await bench.events.last()
        assert (finished.fault, finished.status) == ("client-gone", 200)
        await bench.settled(lambda: not open_files(folder.directory))


async def test_a_client_that_takes_nothing_is_cut_off(slow_reader: Any, folder: ReportFolder) -> None:
    """As for every response that nobody takes."""
    async with slow_reader as bench:
        await begun(bench)
        bench.sweep(11)
        assert (await bench.events.last()).fault == "client-stalled"
        await bench.settled(lambda: not open_files(folder.directory))


async def test_the_time_of_a_slow_client_is_not_the_proxys(slow_reader: Any) -> None:
    """Nor is that of the disk."""
    async with slow_reader as bench:
        client = await begun(bench)
        client.transport.resume_reading()
        await client.answer()
        finished = await bench.events.last()
        assert finished.overhead < finished.duration


async def test_a_program_that_ends_breaks_the_response(slow_reader: Any) -> None:
    """So that it does not look complete."""
    async with slow_reader as bench:
        client = await begun(bench)
        bench.connection().end()
        client.transport.resume_reading()
        assert len(await client.end()) < len(big())
        assert (await bench.events.last()).fault == "draining"


async def test_a_proxy_that_stops_refuses_new_requests(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """As for every request."""
    publish(folder, "sp-daily")
    async with running(answering(HELLO), named_reports=reports) as bench:
        bench.forwarder.availability = Availability.CLOSING
        assert (await bench.ask(get("/-/reports/sp-daily.csv"))).status == 503


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("ending", ["csv", "json"])
async def test_a_file_that_is_cut_off_never_looks_complete(
    ending: str, version: str, running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """The connection ends in the middle, with a reset where its end alone would mean completion."""
    result = publish(folder, "sp-daily", csv=big(), jsonl=b'{"a": 1}\n' * 1_000_000)
    for file in result.files.values():
        path = folder.path("sp-daily") / "results" / file.name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) - 9])
    async with running(answering(HELLO), named_reports=reports) as bench:
        client = await bench.client(get(f"/-/reports/sp-daily.{ending}", version=version))
        await client.until(lambda: client.ended)
        assert client.reset or not client.received.endswith(b"0\r\n\r\n")
        assert client.reset or version == "1.1" or b"Content-Length" in client.received
        assert (await bench.events.last()).fault == "report-unreadable"
        assert "cut off" in bench.events.of(ReportFileUnreadable)[0].detail


async def test_a_result_without_its_file_is_an_error(
    running: Running, folder: ReportFolder, reports: NamedReports
) -> None:
    """The client is told that it cannot be read, the log where."""
    result = publish(folder, "sp-daily")
    for file in result.files.values():
        (folder.path("sp-daily") / "results" / file.name).unlink()
    async with running(answering(HELLO), named_reports=reports) as bench:
        got = await bench.ask(get("/-/reports/sp-daily.csv"))
        assert (got.status, slug(got)) == (500, "report-unreadable")
        assert str(folder.directory).encode() not in got.body
        assert str(folder.directory) in bench.events.of(ReportFileUnreadable)[0].detail
