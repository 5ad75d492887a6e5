"""Places of their own for the clients that other people wrote: one virtual environment or node_modules per client.

Each is made once from its lock file, with nothing but what that names, and kept under `.cache/clients` until the lock
changes; programs in Go and Java from their sources. Nothing of the project is installed there, and
nothing is asserted here.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from uv import find_uv_bin

from tests.support.processes import taking_turns
from tests.support.programs import ROOT, do_without, require_program

CLIENTS = ROOT / "tests" / "clients"
MADE = ROOT / ".cache" / "clients"
_LOCKED = ("--quiet", "--no-deps", "--require-hashes")
"""The lock files name every package, so no resolver need look for more."""
_WHEELS = ("--only-binary=:all:",)
_BUILT = ("--no-binary=:all:", "--no-build-isolation")
"""Without isolation, what requirements.lock installed builds the sources. Isolated, a newest setuptools would."""
_WITHOUT_CHECK = "--disable-pip-version-check"
_PATIENCE = 500


def python_environment(name: str, *versions: str) -> Path:
    """The interpreter of this client's virtual environment: of one of these versions of Python, else of our own."""
    lock, sources = CLIENTS / name / "requirements.lock", CLIENTS / name / "sources.lock"
    interpreter = find_python(*versions) if versions else sys.executable
    place = MADE / name
    locks = [lock, sources] if sources.exists() else [lock]

    def make() -> None:
        _run(interpreter, "-m", "venv", "--without-pip", place)
        _install(place / "bin" / "python", lock, _WHEELS)
        if sources.exists():
            _install(place / "bin" / "python", sources, _BUILT)

    _once(place, locks, interpreter, make)
    return place / "bin" / "python"


def node_environment(name: str) -> Path:
    """The directory that holds this client's node_modules."""
    manifest = [CLIENTS / name / file for file in ("package.json", "package-lock.json")]
    place = MADE / name
    npm = require_program("npm")

    def make() -> None:
        for file in manifest:
            shutil.copy(file, place)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        _run(npm, "ci", "--prefix", place, *quiet)

    _once(place, manifest, npm, make)
    return place


def downloaded_wheel(name: str) -> Path:
    """The one wheel that the lock file names, downloaded and not installed."""
    lock = CLIENTS / name / "requirements.lock"
    place = MADE / name

    def make() -> None:
        download = (sys.executable, "-m", "pip", _WITHOUT_CHECK, "download", "--no-input")
        _run(*download, *_LOCKED, *_WHEELS, "-d", place, "-r", lock)

    _once(place, [lock], sys.executable, make)
    return next(place.glob("*.whl"))


def recent_node() -> Path:
    """A Node whose fetch obeys HTTPS_PROXY where NODE_USE_ENV_PROXY is set; Debian's is older."""
    return next((node_environment("node") / "node_modules").glob("node-*/bin/node"))


def go_program(name: str) -> Path:
    """The program that this client's main.go makes. The first call compiles Go's own library, which is kept: without
    optimizing it, and without a garbage collector in the compiler, as each saves a fifth of the minute it takes."""
    go, source, place = require_program("go"), CLIENTS / name / "main.go", MADE / name
    kept = {"GOCACHE": str(MADE / ".go-build"), "GOPATH": str(MADE / ".go"), "GOFLAGS": "-mod=mod"}
    alone = {"GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0", "GOGC": "off"}
    build = (go, "build", "-gcflags=all=-N -l", "-ldflags=-s -w", "-o", place / name, source)
    _once(place, [source], go, lambda: _run(*build, **kept, **alone))
    return place / name


def java_classes(name: str) -> Path:
    """The directory with the classes of this client's programs in Java."""
    javac, sources, place = require_program("javac"), sorted((CLIENTS / name).glob("*.java")), MADE / name
    _once(place, sources, javac, lambda: _run(javac, "-d", place, *sources))
    return place


def find_python(*versions: str) -> str:
    """An interpreter of the first of these minor versions that is here: this one, or one installed next to it."""
    for version in versions:
        name = f"python{version}"
        managed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/{name}"))
        places = [sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}", shutil.which(name) or "", *managed]
        for candidate in map(str, places):
            if os.access(candidate, os.X_OK) and _answers(candidate, version):
                return candidate
    return do_without(f"python{' or '.join(versions)} is not installed")


def _answers(interpreter: str, version: str) -> bool:
    """Whether it runs at all, as that version: a version manager's stand-in is there also where the version is not."""
    said = subprocess.run([interpreter, "--version"], capture_output=True, text=True, check=False)
    return said.returncode == 0 and said.stdout.startswith(f"Python {version}.")


def _install(python: Path, lock: Path, kind: Sequence[str]) -> None:
    """By uv, which takes a tenth of pip's time; by pip where its settings lead to packages and uv's do not."""
    uv = [find_uv_bin(), "pip", "install", "--python", python, "--cache-dir", ROOT / ".cache" / "uv", "--system-certs"]
    command = [str(part) for part in (*uv, *_index(), *_LOCKED, *kind, "-r", lock)]
    if subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE).returncode:
        pip = (sys.executable, "-m", "pip", "--python", python, _WITHOUT_CHECK)
        _run(*pip, "install", "--no-input", "--no-compile", *_LOCKED, *kind, "-r", lock)


@functools.cache
def _index() -> tuple[str, ...]:
    """uv's option for pip's index, where one is set."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    url = os.environ.get("PIP_INDEX_URL") or subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return ("--default-index", url.strip()) if url.strip() else ()


def _once(place: Path, inputs: Sequence[Path], tool: str, make: Callable[[], None]) -> None:
    """Make the place unless it was made whole from just these inputs. Two test runs at once take turns."""
    digest = hashlib.sha256(tool.encode())
    for file in inputs:
        digest.update(file.read_bytes())
    stamp = place / ".made-from"
    with taking_turns(place.with_suffix(".lock")):
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        make()
        stamp.write_text(digest.hexdigest())


def _run(*command: str | Path, **variables: str) -> None:
    parts, environ = [str(part) for part in command], os.environ | variables
    result = subprocess.run(parts, env=environ, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    if result.returncode:
        do_without(f"{' '.join(parts[:4])} ... failed: {(result.stderr or result.stdout)[-600:]}")
