"""`report add`: a named report that is in force afterwards, and what is refused."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from proxy.commands.new_report import default_name
from proxy.config import load
from proxy.config.model.reports import NamedReportConfig
from proxy.reports.presets import PRESETS
from proxy.reports.store import NAME
from tests.commands.test_cli import run

TEXT = "# Ours.\naccounts:\n  main: {client_id: x, client_secret: canary-secret}  # ours\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "proxy.yaml").write_text(TEXT)
    return tmp_path / "proxy.yaml"


def reports(path: Path) -> dict[str, NamedReportConfig]:
    section = load(path, {}).reports
    return section.named if section is not None else {}


def test_a_preset_is_enough(path: Path) -> None:
    """The report gets a name, the only account, all profiles, thirty days, and a time of the day."""
    ended = run(path.parent, "report", "add", "spCampaigns", "--keep-dir", "kept", "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    (report,) = reports(path).values()
    assert (report.name, report.account, report.profiles, report.days) == ("sp-campaigns", "main", "all", 30)
    assert (report.at, report.every, report.order.preset) == (time(6), None, "spCampaigns")
    section = load(path, {}).reports
    assert section is not None
    assert section.keep.dir == path.parent / "kept"
    assert path.read_text().startswith(TEXT)
    assert "+    sp-campaigns:" in ended.stdout
    assert "`reports:` is new in the file: while Amazon throttles orders, they now wait in the proxy." in ended.stderr
    assert "  ads-proxy report sp-campaigns --wait --config proxy.yaml\n" in ended.stderr
    assert "Results cannot be kept" not in ended.stderr


def test_every_option_is_in_force(path: Path) -> None:
    """The new report comes next to the existing ones; keys without an option stay as they were."""
    path.write_text(TEXT.replace("main:", "other: {client_id: x, client_secret: s}\n  main:"))
    first = ("--account", "other", "--profile", "1", "--profile", "2", "--days", "7", "--every", "6h")
    given = ("--name", "mine", "--time-unit", "summary", "--column", "campaignId", "--column", "cost")
    for preset, options in (("sbCampaigns", ("--account", "main")), ("spCampaigns", (*first, *given))):
        ended = run(path.parent, "report", "add", preset, *options, "--config", "proxy.yaml")
        assert ended.returncode == 0, ended.stderr
    assert "is new in the file" not in ended.stderr
    assert [*reports(path)] == ["sb-campaigns", "mine"]
    report = reports(path)["mine"]
    assert (report.account, report.profiles, report.days, report.at) == ("other", ("1", "2"), 7, None)
    assert (report.every, report.order.time_unit) == (21600.0, "summary")
    assert report.order.columns == ("campaignId", "cost")


def test_a_dry_run_writes_nothing(path: Path) -> None:
    """A dry run shows what would be added."""
    ended = run(path.parent, "report", "add", "spCampaigns", "--dry-run", "--config", "proxy.yaml")
    assert (ended.returncode, ended.stderr, path.read_text()) == (0, "Nothing was written.\n", TEXT)
    assert "+      order: {preset: spCampaigns}" in ended.stdout


def test_a_folder_that_cannot_keep_results_is_noted(path: Path) -> None:
    """The proxy may run as another user, so it is no error."""
    ended = run(path.parent, "report", "add", "spCampaigns", "--keep-dir", "proxy.yaml/kept", "--config", "proxy.yaml")
    assert ended.returncode == 0
    assert f"note: Results cannot be kept: {path}: Not a directory" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("spCampaign",), "report add: PRESET: unknown preset 'spCampaign', did you mean 'spCampaigns'?"),
        (("spCampaigns", "--column", "x"), "report add: --column: unknown column 'x'"),
        (("spCampaigns", "--at", "06:00", "--every", "6h"), "report add: --at and --every: give one of them"),
        (("spCampaigns", "--at", "noon"), "reports.named.sp-campaigns.at: "),
        (("spCampaigns", "--account", "x"), "report add: --account: unknown account; the accounts are: main"),
        (("spCampaigns", "--profile", "x"), "reports.named.sp-campaigns.profiles"),
        (("spCampaigns", "--name", "a/b"), "reports.named"),
        (("sbCampaigns", "--keep-dir", "x", "--name", "a"), "report add: --keep-dir: reports.keep is in proxy.yaml"),
        (("sbCampaigns", "--name", "sb"), "report add: --name: sb is the name of a report already; choose another"),
    ],
)
def test_what_is_no_report_leaves_the_file_alone(path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """With a sentence and exit code 2."""
    if arguments[0] == "sbCampaigns":
        given = ("--keep-dir", "kept", "--name", "sb", "--config", "proxy.yaml")
        assert run(path.parent, "report", "add", "sbCampaigns", *given).returncode == 0
    before = path.read_text()
    ended = run(path.parent, "report", "add", *arguments, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout, path.read_text()) == (2, "", before)
    assert ended.stderr.startswith(f"ads-proxy: {problem}")


def test_an_account_is_needed_where_there_are_several(path: Path) -> None:
    """The command guesses none."""
    path.write_text(TEXT.replace("main:", "other: {client_id: x, client_secret: s}\n  main:"))
    ended = run(path.parent, "report", "add", "spCampaigns", "--config", "proxy.yaml")
    assert ended.stderr.startswith("ads-proxy: report add: --account: missing, and there are several; the accounts are")


@pytest.mark.parametrize("variable", [{"ADS_PROXY_REPORTS__NAMED": "{}"}, {"ADS_PROXY_REPORTS": "{duplicates: reuse}"}])
def test_reports_of_the_environment_are_not_in_the_file(path: Path, variable: dict[str, str]) -> None:
    """A change of the file would do nothing."""
    ended = run(path.parent, "report", "add", "spCampaigns", "--config", "proxy.yaml", **variable)
    assert (ended.returncode, path.read_text()) == (2, TEXT)
    assert f"{next(iter(variable))} sets `reports.named`, which replaces that of proxy.yaml" in ended.stderr


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_has_a_name_that_a_report_can_have(preset: str) -> None:
    """In small letters, such as `sp-campaigns`."""
    name = default_name(preset)
    assert NAME.fullmatch(name)
    assert name == name.lower()
    assert name.replace("-", "") == preset.lower()


NAMED = (
    TEXT
    + """\
clients:
  - {name: excel, key_sha256: DIGEST, reports: [sp-daily, 'sb-*']}
reports:
  duplicates: reuse
  named:
    # Each morning.
    sp-daily: {account: main, order: {preset: spCampaigns, columns: [cost]}, at: "06:00"}
    # Each hour.
    sb-hourly: {account: main, order: {preset: sbCampaigns, columns: [cost]}, every: 1h}
""".replace("DIGEST", "ab" * 32)
)


def test_a_report_is_removed_with_its_comment(path: Path) -> None:
    """The other one stays; a client that names it is told. The last one goes with `named`."""
    path.write_text(NAMED)
    ended = run(path.parent, "report", "remove", "sp-daily", "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    begin, end = NAMED.index("    # Each morning"), NAMED.index("    # Each hour")
    assert path.read_text() == NAMED[:begin] + NAMED[end:]
    assert "-    # Each morning." in ended.stdout
    assert ended.stderr.splitlines() == [
        "Removed: report sp-daily. A running proxy removes its results within seconds.",
        "note: `reports` of these clients still names it: excel",
    ]
    assert run(path.parent, "report", "remove", "sb-hourly", "--config", "proxy.yaml").returncode == 0
    assert path.read_text() == NAMED[: NAMED.index("  named:")]


def test_the_section_of_the_last_report_goes_with_it(path: Path) -> None:
    """If it held nothing else; what that changes is told. A dry run writes nothing."""
    assert run(path.parent, "report", "add", "spCampaigns", "--config", "proxy.yaml").returncode == 0
    before = path.read_text()
    dry = run(path.parent, "report", "remove", "sp-campaigns", "--dry-run", "--config", "proxy.yaml")
    assert (dry.returncode, dry.stderr, path.read_text()) == (0, "Nothing was written.\n", before)
    ended = run(path.parent, "report", "remove", "sp-campaigns", "--config", "proxy.yaml")
    assert (ended.returncode, path.read_text().rstrip("\n")) == (0, TEXT.rstrip("\n"))
    assert "orders that Amazon throttles no longer wait in the proxy" in ended.stderr


@pytest.mark.parametrize(
    ("name", "problem"),
    [("sp-dayly", "unknown report; did you mean 'sp-daily'?"), ("zzz", "the reports are: sp-daily, sb-hourly")],
)
def test_an_unknown_report_is_not_removed(path: Path, name: str, problem: str) -> None:
    """The file stays."""
    path.write_text(NAMED)
    ended = run(path.parent, "report", "remove", name, "--config", "proxy.yaml")
    assert (ended.returncode, path.read_text()) == (2, NAMED)
    assert problem in ended.stderr
