"""What a lock file holds, and what the metadata of its packages requires of it.

pip refuses a hash-checked install as soon as two things meet: a package requires an extra (`coverage[toml]`) that
the lock leaves out, and a newer release of that package is published. So the lock must name each such extra.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# Everything that a lock made with `--universal` is for.
PLATFORMS = [
    {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system, "platform_system": name}
    for python in ("3.11", "3.12", "3.13", "3.14")
    for system, name in (("linux", "Linux"), ("darwin", "Darwin"), ("win32", "Windows"))
]


def locked_extras(lock: str) -> dict[str, set[str]]:
    """Package name -> the extras that the text of a lock names with it."""
    lines = re.findall(r"^([\w.-]+)(?:\[([\w.,-]+)\])?==", lock, re.MULTILINE)
    return {
        canonicalize_name(name): {canonicalize_name(extra) for extra in extras.split(",") if extra}
        for name, extras in lines
    }


def missing_extras(lock: str, requirements: Mapping[str, Iterable[str]]) -> list[str]:
    """The extras that packages of a lock require and that it leaves out, a line each.

    `requirements`: package name -> the `Requires-Dist` lines of its metadata.
    """
    locked = locked_extras(lock)
    missing = set()
    for name, lines in requirements.items():
        own_extras = locked.get(canonicalize_name(name), set()) | {""}
        for required in map(Requirement, lines):
            for extra in required.extras:
                left_out = canonicalize_name(extra) not in locked.get(canonicalize_name(required.name), {extra})
                if left_out and _applies(required, own_extras):
                    missing.add(f"{name} requires {required.name}[{extra}]; the lock names {required.name} without it")
    return sorted(missing)


def _applies(required: Requirement, extras: set[str]) -> bool:
    if required.marker is None:
        return True
    return any(required.marker.evaluate(platform | {"extra": extra}) for platform in PLATFORMS for extra in extras)
