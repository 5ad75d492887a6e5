"""`keys new` and `keys rotate-state`. A client's key is shown once and kept nowhere."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from proxy.commands.terminal import FAILED, OK, complain, say, tell
from proxy.config import StateKind
from proxy.config.model.values import parse_name
from proxy.errors import ConfigurationError
from proxy.secret import Secret
from proxy.tokens.opening import rotate_keys

if TYPE_CHECKING:
    from proxy.config import Config

KEY_PREFIX = "adsproxy_"


def new_key(name: str) -> int:
    """Print a fresh key and its digest, as YAML."""
    try:
        parse_name(name)
    except ValueError as error:
        raise ConfigurationError((f"keys new: NAME {error}",)) from None
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    say(f"name: {name}")
    say(f"key: {key}")
    say(f"key_sha256: {hashlib.sha256(key.encode()).hexdigest()}")
    tell("\nGive `key` to the tool; it is not shown again. The configuration keeps its digest, under `clients:`,")
    tell("  - {name: ..., key_sha256: ...}")
    tell("to be narrowed with accounts, profiles, methods, paths and requests_per_minute (docs/configuration.md).")
    return OK


def rotate_state(config: Config) -> int:
    """Encrypt the state anew with the first of `state.key`."""
    if isinstance(config.state.url, Secret):
        complain("state.url leads to Redis; let state.key be a list there, the new key first (docs/scaling.md)")
        return FAILED
    if config.state.kind is StateKind.MEMORY:
        complain("state.url is memory:; only a file: state has keys to rotate")
        return FAILED
    count = rotate_keys(config.state.url, config.state.key)
    say(f"{count} files are now encrypted with the first key; the others can be removed from state.key.")
    return OK
