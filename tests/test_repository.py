"""The files next to the code are true: locks, documents, container files, the changelog.

Files are read, and nothing is started but linters; the container itself is tried in tests/integration.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.utils import canonicalize_name

from tests.support.locks import locked_extras, missing_extras
from tests.support.programs import ROOT, require_program

LOCKS = (
    *("requirements.lock", "requirements-dev.lock", "requirements-build.lock"),
    *("benchmarks/requirements.lock", "benchmarks/mitmproxy.lock", "scripts/audit.lock"),
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def _group(name: str) -> list[str]:
    """The requirements of a dependency group, those of the groups it includes left out."""
    return [entry for entry in PROJECT["dependency-groups"][name] if isinstance(entry, str)]


def _locked(lock: str) -> dict[str, str]:
    """Package name -> exact version."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return {
        _normal(name): version
        for name, version in re.findall(r"^([\w.-]+)(?:\[[\w.,-]+\])?==([^\s;\\]+)", text, re.MULTILINE)
    }


# --- locks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_fetch_from(lock: str) -> None:
    """Where packages come from is the installing machine's own affair."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links)", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_fixes_every_package_by_hash(lock: str) -> None:
    """Each requirement has an exact version and at least one SHA-256."""
    logical_lines = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    requirements = [line for line in logical_lines if line.strip()]
    assert len(requirements) > 1
    assert not [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]


def test_the_locks_hold_every_direct_dependency() -> None:
    """What pyproject.toml asks for is in the lock that serves it."""
    runtime = {_normal(entry) for entry in PROJECT["project"]["dependencies"]}
    build = {_normal(entry) for entry in (*_group("build"), *PROJECT["build-system"]["requires"])}
    assert runtime <= _locked("requirements.lock").keys()
    assert build <= _locked("requirements-build.lock").keys()
    assert runtime | build | {_normal(entry) for entry in _group("dev")} <= _locked("requirements-dev.lock").keys()


def test_the_lock_of_the_tests_names_the_extras_that_its_packages_require() -> None:
    """By the metadata of what is installed from it; the other locks are read in tests/integration/test_locks.py."""
    text = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    installed = {
        distribution.name: distribution.requires or []
        for distribution in importlib.metadata.distributions()
        if canonicalize_name(distribution.name) in locked_extras(text)
    }
    assert "pytest-cov" in installed
    assert missing_extras(text, installed) == []
    assert missing_extras(text.replace("coverage[toml]==", "coverage=="), installed) == [
        "pytest-cov requires coverage[toml]; the lock names coverage without it"
    ]


def test_the_locks_agree() -> None:
    """Tests run on the very versions that are shipped."""
    tested = _locked("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-build.lock"):
        assert {name: tested.get(name) for name in _locked(lock)} == _locked(lock)


@pytest.mark.parametrize("name", ["newman", "axe"])
def test_the_npm_locks_name_no_place_to_fetch_from(name: str) -> None:
    """What comes from npm is fixed by integrity, not by address."""
    text = (ROOT / "tests" / name / "package-lock.json").read_text(encoding="utf-8")
    assert '"integrity"' in text
    assert '"resolved"' not in text


def test_every_marker_is_one_that_tests_carry() -> None:
    """A marker that nothing carries promises tests that are not there."""
    markers = [marker.partition(":")[0] for marker in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    tests = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    assert not [marker for marker in markers if f"pytest.mark.{marker}" not in tests]


# --- documents ----------------------------------------------------------------------------------------------


def test_every_direct_dependency_is_explained() -> None:
    """docs/development/dependencies.md says what each is for."""
    text = (ROOT / "docs" / "development" / "dependencies.md").read_text(encoding="utf-8").lower()
    asked = [*PROJECT["project"]["dependencies"], *_group("dev"), *_group("build")]
    assert not [entry for entry in asked if not re.search(rf"\b{re.escape(_normal(entry))}\b", text)]


def test_no_dependency_is_explained_twice() -> None:
    """Two rows about one package drift apart."""
    text = (ROOT / "docs" / "development" / "dependencies.md").read_text(encoding="utf-8")
    rows = [name for row in re.findall(r"^\| (\S.*?) \|", text, re.MULTILINE) for name in row.split(", ")]
    packages = [name for name in rows if name not in {"package", "---"}]
    assert len(packages) > 10
    assert sorted(packages) == sorted(set(packages))


def _anchors(markdown: str) -> set[str]:
    headings = re.findall(r"^#+ +(.+?) *$", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_links(document: Path) -> list[str]:
    """The relative links of a document to a file that is not here, or to a heading that is not in it."""
    broken = []
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        missing = not file.exists()
        if missing or (anchor and file.suffix == ".md" and anchor not in _anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    return broken


def test_every_link_leads_somewhere() -> None:
    """A relative link names a file that is here, and a heading that is in it."""
    broken = {document.relative_to(ROOT).as_posix(): _broken_links(document) for document in DOCUMENTS}
    assert {name: targets for name, targets in broken.items() if targets} == {}


def test_the_changelog_begins_with_what_is_not_released_yet() -> None:
    """The first section is Unreleased or the version that the package says."""
    from proxy import __version__

    first = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] in {"Unreleased", __version__}


def test_a_release_is_told_in_few_words() -> None:
    """Someone who upgrades reads a whole section; it begins with what to do first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## \[([^\]]+)\](.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    released = {name: body for name, body in sections.items() if name != "Unreleased"}
    assert released
    assert {name: len(body.split()) for name, body in released.items() if len(body.split()) > 600} == {}
    assert [name for name, body in released.items() if "Before you upgrade" not in body.partition("### ")[0]] == []


def test_the_version_is_one() -> None:
    """What is installed has the version that the package says; pyproject.toml reads it there."""
    from proxy import __version__

    assert importlib.metadata.version(PROJECT["project"]["name"]) == __version__
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "proxy/__init__.py"}


def test_every_target_of_the_makefile_that_documents_name_is_there() -> None:
    """`make x` in a document is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:`|^ {4})make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"run", "test", "check"} <= named
    assert named <= targets


# --- container files ----------------------------------------------------------------------------------------


def test_the_dockerfile_is_clean() -> None:
    """hadolint has nothing to say."""
    result = subprocess.run(
        [require_program("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


def test_the_image_is_built_from_locks_alone() -> None:
    """Every install in the Dockerfile either checks hashes or reaches no index."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    installs = re.findall(r"pip (?:install|wheel)[^&\n]*", text)
    assert len(installs) == 4
    assert not [line for line in installs if "--require-hashes" not in line and "--no-index" not in line]


def test_the_image_runs_as_nobody_and_asks_itself_for_its_health() -> None:
    """The contract of the image, as text."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "\nUSER 65532:65532\n" in text
    assert 'CMD ["ads-proxy", "healthcheck"]' in text
    assert "ADS_PROXY_STATE__URL=memory:" in text
    assert "\nSTOPSIGNAL SIGTERM\n" in text


def test_the_build_sees_neither_secrets_nor_history() -> None:
    """.dockerignore begins with everything, and lets in only what the Dockerfile copies."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = set(
        re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {name for line in copied for name in line.split()}


def test_the_example_environment_names_what_compose_reads() -> None:
    """.env.example and docker-compose.yml know the same variables; what is left is the program's own."""
    from proxy.config import load
    from proxy.errors import ConfigurationError

    names = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    read = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)) - {"ENV_FILE"}
    own = {name for name in names if name.startswith(("AMAZON_ADS_", "ADS_PROXY_"))}
    assert names - own == read
    with pytest.raises(ConfigurationError) as raised:
        load(None, dict.fromkeys(own, ""))
    assert not [problem for problem in raised.value.problems if "unknown variable" in problem]


def test_the_example_environment_holds_no_credential() -> None:
    """A copy of the file causes the message about missing credentials, not a strange error."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert not re.findall(r"^(?:AMAZON_ADS|ADS_PROXY)_[A-Z_]+=.+$", example, re.MULTILINE)


@pytest.mark.parametrize("service", sorted(COMPOSE["services"]))
def test_a_service_can_do_no_more_than_it_must(service: str) -> None:
    """Read-only root, no capability, no new privileges, and nothing published beyond this machine.

    Only Valkey's image starts as root, and needs what makes it another user.
    """
    settings = COMPOSE["services"][service]
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    assert settings.get("cap_add", []) == (["CHOWN", "SETGID", "SETUID"] if service == "valkey" else [])
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert not [port for port in settings.get("ports", []) if not port.startswith("127.0.0.1:")]
    assert "privileged" not in settings


def test_what_compose_mounts_is_here() -> None:
    """Every file or directory of the work tree that a service mounts exists, and is mounted read-only."""
    mounts = [mount for settings in COMPOSE["services"].values() for mount in settings.get("volumes", [])]
    own = [mount.split(":") for mount in mounts if mount.startswith("./")]
    assert not [source for source, *_ in own if not (ROOT / source).exists()]
    assert {mode for _, _, mode in own} == {"ro"}


def test_only_its_profile_brings_the_demo_or_the_fleet() -> None:
    """Without its profile nothing of the demo or the fleet is started, and Prometheus and Grafana are in all."""
    profiles = {name: settings.get("profiles", []) for name, settings in COMPOSE["services"].items()}
    fleet = {name: ["fleet"] for name in ("proxy-2", "proxy-3", "valkey", "nginx")}
    assert profiles == {"proxy": [], "demo": ["demo"], "prometheus": [], "grafana": [], **fleet}


def _start_of_proxy(directory: Path, environ: dict[str, str], *, demo_is_up: bool) -> subprocess.CompletedProcess[str]:
    """Run what compose runs in the service `proxy`, with stand-ins for `ads-proxy` and for name resolution."""
    for name, script in {
        "ads-proxy": 'echo "run: $*"; echo "key: ${#ADS_PROXY_ADMIN__KEY}"; echo "state: $ADS_PROXY_STATE__URL"',
        "getent": f"exit {0 if demo_is_up else 2}",
        "sleep": "exit 0",
        "python": 'exec python3 "$@"',
    }.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (directory / name).chmod(0o755)
    service = COMPOSE["services"]["proxy"]
    command = [*service["entrypoint"], service["command"][0].replace("$$", "$")]
    environ = {"PATH": f"{directory}:{os.environ['PATH']}", **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=30)


def test_compose_serves_where_there_are_credentials(tmp_path: Path) -> None:
    """Credentials win, even when the demo's container is up; a missing admin key is made up and never shown."""
    result = _start_of_proxy(tmp_path, {"AMAZON_ADS_CLIENT_ID": "id", "ADS_PROXY_ADMIN__KEY": ""}, demo_is_up=True)
    assert result.stdout.splitlines()[:2] == ["run: serve", "key: 43"]


@pytest.mark.parametrize("given", ["memory:", "redis://valkey:6379/0"])
def test_compose_keeps_state_on_a_volume_where_there_is_no_store(tmp_path: Path, given: str) -> None:
    """The image's own setting would lose sign-ins with the container; a store of .env stays in force."""
    mounts = dict(mount.split(":")[:2] for mount in COMPOSE["services"]["proxy"]["volumes"])
    environ = {"AMAZON_ADS_CLIENT_ID": "id", "ADS_PROXY_STATE__URL": given}
    state = f"file:{mounts['state']}" if given == "memory:" else given
    assert _start_of_proxy(tmp_path, environ, demo_is_up=False).stdout.splitlines()[2] == f"state: {state}"
    assert "state" in COMPOSE["volumes"]
    assert f"-o 65532 -g 65532 {mounts['state']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environ", "words"),
    [({"AMAZON_ADS_CLIENT_ID": "id", "ADS_PROXY_STATE__URL": "memory:"}, "redis://valkey"), ({}, ".env.example")],
    ids=["no store", "no credentials"],
)
def test_a_replica_says_what_it_lacks(tmp_path: Path, environ: dict[str, str], words: str) -> None:
    """The replica prints one line, and ends with exit code 2; also with the profile of the demo."""
    assert COMPOSE["services"]["proxy-2"]["command"] == COMPOSE["services"]["proxy"]["command"]
    result = _start_of_proxy(tmp_path, environ | {"FLEET": "1"}, demo_is_up=True)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_replica_serves_with_the_store_of_the_environment_file(tmp_path: Path) -> None:
    """Nothing stands between .env and the program."""
    environ = {"AMAZON_ADS_CLIENT_ID": "id", "ADS_PROXY_STATE__URL": "redis://valkey:6379/0", "FLEET": "1"}
    assert _start_of_proxy(tmp_path, environ, demo_is_up=False).stdout.splitlines()[0] == "run: serve"


def test_compose_keeps_a_given_admin_key(tmp_path: Path) -> None:
    """The key of .env is the key."""
    environ = {"AMAZON_ADS_CLIENT_ID": "id", "ADS_PROXY_ADMIN__KEY": "0123456789abcdef"}
    assert "key: 16" in _start_of_proxy(tmp_path, environ, demo_is_up=False).stdout


def test_compose_runs_the_demo_only_with_its_profile(tmp_path: Path) -> None:
    """No credentials, and the container of the profile is up: the demo."""
    result = _start_of_proxy(tmp_path, {"AMAZON_ADS_CLIENT_ID": ""}, demo_is_up=True)
    assert result.stdout.splitlines()[0] == "run: demo"


def test_compose_without_credentials_is_an_error_that_names_the_demo(tmp_path: Path) -> None:
    """The line has both ways out, the credentials and the profile, and the exit code is 2."""
    result = _start_of_proxy(tmp_path, {"AMAZON_ADS_CLIENT_ID": ""}, demo_is_up=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert ".env.example" in result.stderr
    assert "docker compose --profile demo up" in result.stderr


def test_docker_compose_understands_the_file() -> None:
    """The reference implementation parses it, with and without each profile, with no .env at all."""
    docker_compose = require_program("docker-compose")
    for arguments, services in ((["--profile", "demo"], 4), (["--profile", "fleet"], 7), ([], 3)):
        result = subprocess.run(
            [docker_compose, *arguments, "config", "--services"],
            cwd=ROOT,
            env={**os.environ, "ENV_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (result.returncode, len(result.stdout.split())) == (0, services), result.stderr


# --- every file ---------------------------------------------------------------------------------------------


def _files() -> list[Path]:
    """What git has or would take."""
    listing = subprocess.run(
        [require_program("git"), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is a matter of the machine, and so are its paths."""
    registries = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org")
    paths = ("/wo" + "rk/", "/fa" + "rm/", "/root/" + ".pyenv")
    found = {
        f"{path.relative_to(ROOT)}: {word}"
        for path in _files()
        for word in (*registries, *paths)
        if word.encode() in path.read_bytes()
    }
    assert not found


def test_no_file_holds_a_real_credential() -> None:
    """No refresh or access token of Amazon's length, and no client secret of its form."""
    pattern = re.compile(rb"Atz[ar]\|[A-Za-z0-9_-]{200,}|amzn1\.oa2-cs\.v1\.[0-9a-f]{64}")
    assert not [str(path) for path in _files() if pattern.search(path.read_bytes())]


# --- continuous integration ---------------------------------------------------------------------------------


def test_every_folder_of_tests_is_run() -> None:
    """What a target leaves out by its folder or its mark, another one names, and marks as it asks for them."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [left_out] = re.findall(r"\(foreach path,(.*),-path \$\(path\) -o\) -false \\\) -prune", makefile)
    assert left_out == "tests/integration $(PURE)"
    assert "\trun pure $(PURE) " in makefile
    [whole, alone] = [line for line in re.findall(r"-m pytest (.*)", makefile) if "$(INTEGRATED)" in line]
    assert whole.startswith("$$($(BIN)/python -m tests.support.integrated) ")
    assert '$(INTEGRATED) and not alone"' in whole
    assert '$(INTEGRATED) and alone"' in alone
    for path in (ROOT / "tests/integration").glob("test_*.py"):
        assert re.search(r"mark\.(integration|soak)\b", path.read_text(encoding="utf-8")), path.name
