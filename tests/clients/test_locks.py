"""The clients' environments are fixed by hash, without a place to fetch packages from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.clients.environments import CLIENTS

PYTHON_LOCKS = sorted((*CLIENTS.glob("*/requirements.lock"), *CLIENTS.glob("*/sources.lock")))
NODE_LOCKS = sorted(CLIENTS.glob("*/package-lock.json"))


def _name(lock: Path) -> str:
    return f"{lock.parent.name}/{lock.stem}"


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=_name)
def test_a_python_lock_is_whole(lock: Path) -> None:
    """Each requirement has an exact version and a SHA-256; no address is named."""
    text = lock.read_text(encoding="utf-8")
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    assert requirements
    assert not [line for line in requirements if "==" not in line or "--hash=sha256:" not in line]
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links)", text, re.MULTILINE)


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=_name)
def test_a_python_lock_has_what_is_pinned(lock: Path) -> None:
    """The versions that are pinned by hand are in the lock."""
    wanted = lock.with_suffix(".in").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in wanted if line and not line.startswith("#")]
    text = lock.read_text(encoding="utf-8")
    assert pinned
    assert [line for line in pinned if f"{line} " not in text] == []


@pytest.mark.parametrize("lock", NODE_LOCKS, ids=_name)
def test_a_node_lock_is_whole(lock: Path) -> None:
    """Each package has an exact version and an integrity hash, and no address."""
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    installed = {path: package for path, package in packages.items() if path}
    assert installed
    assert [path for path, package in installed.items() if "integrity" not in package] == []
    assert [path for path, package in installed.items() if "resolved" in package] == []
