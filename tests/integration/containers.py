"""Runs podman for the container tests: each image made once in a run, containers that end with their test.

Nothing here asserts; what a container must do is in test_container.py.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import TypeVar

from tests.support.patience import PATIENCE
from tests.support.processes import free_port, taking_turns, until
from tests.support.programs import ROOT, require_file, require_program

CONTAINER_SETUP = ROOT.parent / "shared" / "tools" / "container-setup"
"""Makes podman work on a machine that can pull no image; builds stand-ins for the base images."""

BUILD = ("build", "--quiet", "--format", "docker", "--pull=never", "--isolation=chroot", "--network=host")
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
PIP_CONFIGURATION = Path("/etc/pip.conf")
Found = TypeVar("Found")
_ENVIRON = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
_IMAGES = ROOT / ".cache" / "images"
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
"""The name of this run of the tests, the same in each of its processes."""


def podman(*arguments: str, check: bool = True) -> str:
    """Run podman; its standard output. With `check`, anything but success is an error that shows what it said."""
    result = _run([require_program("podman"), *arguments])
    if check and result.returncode:
        raise AssertionError(f"podman {' '.join(arguments)} ended with {result.returncode}: {result.stderr}")
    return result.stdout.strip()


def _run(command: list[str], environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**_ENVIRON, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )


def prepare_images(*names: str) -> None:
    """Stand-ins for published images, where there are none yet."""
    with taking_turns(_IMAGES.with_suffix(".lock")):
        _prepare_images(*names)


def _prepare_images(*names: str) -> None:
    setup = _run([require_program("bash"), str(require_file(CONTAINER_SETUP)), *names])
    if setup.returncode:
        raise AssertionError(f"container-setup failed: {setup.stderr}")


def _once(tag: str, make: Callable[[], str]) -> str:
    """The id of the image that `make` builds under this tag, for the first in this run of the tests who asks.

    A build takes five seconds of CPU even where podman finds each layer made, as it reads all files again. It is the id
    and not the tag that tests run: a run of another work tree's tests takes the tag.
    """
    note = _IMAGES / tag
    with taking_turns(_IMAGES.with_suffix(".lock")):
        run, _, built = note.read_text(encoding="utf-8").partition(" ") if note.exists() else ("", "", "")
        if run != _RUN:
            built = make().split()[-1]
            assert re.fullmatch("[0-9a-f]{64}", built), built
            note.parent.mkdir(exist_ok=True)
            note.write_text(f"{_RUN} {built}", encoding="utf-8")
    return built


def build_image(tag: str) -> str:
    """Build the project's image by `make image`, with the base images' stand-ins; its id.

    How this machine reaches its package registry is mounted for the build, and is in no layer.
    """
    require_program("podman")

    def make() -> str:
        _prepare_images("python:3.13-slim")
        mounts = ["--volume", f"{PIP_CONFIGURATION}:{PIP_CONFIGURATION}:ro"] if PIP_CONFIGURATION.exists() else []
        flags = " ".join((*BUILD[1:], *mounts))
        arguments = (f"PODMAN={require_program('podman')}", f"IMAGE={tag}", f"BUILD_FLAGS={flags}")
        made = _run([require_program("make"), "--no-print-directory", "image", *arguments])
        if made.returncode:
            raise AssertionError(f"make image failed: {made.stdout}{made.stderr}")
        return made.stdout

    return _once(tag, make)


def build_prometheus(tag: str, directory: Path) -> str:
    """This machine's own Prometheus in an image, if the published one cannot be pulled; the image's id."""
    return build_program(tag, directory, Path(require_program("prometheus")))


def build_program(tag: str, directory: Path, program: Path) -> str:
    """An image that has this machine's program, linked statically, as its entry point; its id."""

    def make() -> str:
        shutil.copy(program, directory / program.name)
        dockerfile = f'FROM python:3.13-slim\nCOPY {program.name} /usr/bin/\nENTRYPOINT ["/usr/bin/{program.name}"]\n'
        (directory / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        return podman(*BUILD, "--tag", tag, str(directory))

    return _once(tag, make)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request brought."""

    status: int
    headers: Message
    body: bytes


def get(url: str) -> Answer:
    """One GET request, an error status included; OSError without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def eventually(find: Callable[[], Found | None], what: str) -> Found:
    """Ask until there is an answer that is not None and not an OSError; then an error that says `what`."""
    trouble: object = "nothing was found"

    def look() -> tuple[Found] | None:
        nonlocal trouble
        try:
            found = find()
        except (OSError, ValueError) as error:
            trouble = error
            return None
        return None if found is None else (found,)

    found: tuple[Found] = until(look, lambda: f"{what} did not happen: {trouble}", between=0.2)
    return found[0]


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs."""

    name: str
    port: int
    """On 127.0.0.1; leads to 8080 within."""
    admin_port: int
    """On 127.0.0.1; leads to 8081 within."""

    def url(self, path: str) -> str:
        """An address of the clients' listener."""
        return f"http://127.0.0.1:{self.port}{path}"

    def admin_url(self, path: str) -> str:
        """An address of the admin listener."""
        return f"http://127.0.0.1:{self.admin_port}{path}"

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return podman("inspect", "--format", "{{.State.Running}}", self.name) == "true"

    def exit_code(self) -> int:
        """What it ended with, or has not ended with yet."""
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name))

    def logs(self) -> str:
        """What it said, on both streams."""
        result = _run([require_program("podman"), "logs", self.name])
        return result.stdout + result.stderr


@contextmanager
def running_container(image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
    """A hardened container that publishes both listeners on ports of its own; gone afterwards."""
    name = f"ads-proxy-test-{uuid.uuid4().hex[:12]}"
    container = Container(name, free_port(), free_port())
    published = ("-p", f"127.0.0.1:{container.port}:8080", "-p", f"127.0.0.1:{container.admin_port}:8081")
    podman("run", "--detach", "--name", name, *HARDENED, *published, *options, image, *command)
    try:
        yield container
    finally:
        podman("rm", "--force", "--time", "1", name, check=False)


class Compose:
    """The project's compose file, run by podman-compose under a project name and on ports of its own."""

    def __init__(self, image: str, env_file: Path, overrides: tuple[Path, ...] = ()) -> None:
        self.project = f"adsproxy{uuid.uuid4().hex[:8]}"
        self.proxy = Container(f"{self.project}_proxy_1", free_port(), free_port())
        self.prometheus_port = free_port()
        self.fleet_port = free_port()
        self._files = ("docker-compose.yml", *(str(path) for path in overrides))
        self._environ = {
            "ENV_FILE": str(env_file),
            "IMAGE": image,
            "PROXY_PORT": str(self.proxy.port),
            "ADMIN_PORT": str(self.proxy.admin_port),
            "PROMETHEUS_PORT": str(self.prometheus_port),
            "FLEET_PORT": str(self.fleet_port),
            "RESTART": "no",
        }

    def __call__(self, *arguments: str, profile: str = "", check: bool = True) -> str:
        """Run podman-compose; what it said."""
        command = [require_program("podman-compose"), "-p", self.project]
        command += [word for file in self._files for word in ("-f", file)]
        command += ["--profile", profile] if profile else []
        result = _run([*command, *arguments], self._environ)
        if check and result.returncode:
            raise AssertionError(
                f"podman-compose {' '.join(arguments)} ended with {result.returncode}: {result.stderr}"
            )
        return result.stdout + result.stderr

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}_{service}_1"

    def down(self) -> None:
        """End and remove all of it."""
        self("--profile", "demo", "--profile", "fleet", "down", "--timeout", "1", "--volumes", check=False)
