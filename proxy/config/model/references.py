"""Values that refer to something else: `{file: ...}`, `{env: ...}`, `{command: [...]}`, the path of a file.

What they refer to is asked of the one `References` of a reading, which the validation carries as its context; nothing
here opens a file, runs a program or knows the environment.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationInfo

from proxy.config.model.expected import Expected, Place, WrongValue, shape_of
from proxy.config.model.redis_address import is_redis_address, parse_redis_address
from proxy.config.model.secret_command import KEYS as COMMAND_KEYS
from proxy.config.model.secret_command import parse_command
from proxy.config.model.values import looks_like_placeholder, parse_list
from proxy.secret import Secret

SECRET_FILE_BYTES = 65_536
FILE_BYTES = 1_048_576


class References(Protocol):
    """What values may refer to while one configuration is read. Without one, as in tests, nothing is looked up."""

    def locate(self, name: str) -> Path:
        """A file's path: `~/` is the user's home; relative ones start where the configuration file is."""

    def read_file(self, path: Path, limit: int, *, secret: bool) -> bytes:
        """A file of at most `limit` bytes, which is remembered as one to watch. Raises `WrongValue`.

        With `secret`, it must not be one that others can change, and one that others can read is worth a note.
        """

    def variable(self, name: str) -> str | None:
        """An environment variable, or None where it is not set."""

    def know(self, secret: Secret) -> None:
        """Remember a secret that was found, so that it can be masked in what commands complain of."""

    def command_output(self, arguments: tuple[str, ...], every: float | None) -> str:
        """What a command printed, without its last newline. Raises `WrongValue`, also where it has not run yet."""


def parse_file(value: Any, info: ValidationInfo, *, secret: bool = False) -> Path:
    """A file that is read at start: there, and readable."""
    if not isinstance(value, str | Path) or not str(value):
        raise WrongValue(Expected.FILE, found=None if isinstance(value, str) else shape_of(value))
    references: References | None = info.context
    if references is None:
        return Path(value)
    path = references.locate(str(value))
    references.read_file(path, FILE_BYTES, secret=secret)
    return path


def watch_file(value: Any, info: ValidationInfo) -> Path:
    """A file that is read by who uses it: it may come later, and each change of it is a reload."""
    path = locate_file(value, info)
    if info.context is not None:
        with contextlib.suppress(WrongValue):
            info.context.read_file(path, FILE_BYTES, secret=False)
    return path


def parse_secret_file(value: Any, info: ValidationInfo) -> Path:
    """Read the path of a file that holds a secret, as `parse_file` does."""
    return parse_file(value, info, secret=True)


def locate_file(value: Any, info: ValidationInfo) -> Path:
    """A file that is written while the program runs: it need not be there."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise WrongValue(Expected.FILE, found=None if isinstance(value, str) else shape_of(value))
    references: References | None = info.context
    return Path(value) if references is None else references.locate(str(value))


def read_spill(value: Any, info: ValidationInfo) -> Path | Literal["off"] | None:
    """A directory, or `off`, which YAML reads as false."""
    if value is None or value is False or value == "off":
        return None if value is None else "off"
    if not isinstance(value, str | Path):
        raise WrongValue(Expected.SPILL)
    return locate_file(value, info)


def read_secret(value: Any, info: ValidationInfo, *, binary: bool = False, public: bool = False) -> Secret:
    """A secret from `{file: ...}`, `{env: ...}`, `{command: [...]}` or a literal. With `binary`, a file may hold any
    bytes.

    With `public`, the value is no secret, and its file may be readable by all.
    """
    if isinstance(value, Secret):
        return value
    references: References | None = info.context
    if isinstance(value, str):
        secret = Secret(check_secret_text(value))
    elif not isinstance(value, Mapping) or references is None:
        raise WrongValue(Expected.REFERENCE)
    else:
        secret = Secret(_follow(value, references, binary=binary, public=public))
    if references is not None and not public:
        references.know(secret)
    return secret


def _follow(value: Mapping[Any, Any], references: References, *, binary: bool, public: bool) -> str:
    """The text that a reference leads to. Raises `WrongValue`."""
    if "command" in value and value.keys() <= COMMAND_KEYS:
        return _checked(references.command_output(*parse_command(value)), Place.OUTPUT, binary=binary)
    if len(value) != 1 or not all(key in ("file", "env") and isinstance(name, str) for key, name in value.items()):
        raise WrongValue(Expected.ONE_REFERENCE)
    if "file" in value:
        return read_secret_file(references, value["file"], binary=binary, public=public)
    text = references.variable(value["env"])
    if text is None:
        raise WrongValue(Expected.SET_VARIABLE, place=Place.VARIABLE)
    return check_secret_text(text, Place.VARIABLE)


def read_secret_file(references: References, name: str, *, binary: bool, public: bool) -> str:
    if not name:
        raise WrongValue(Expected.FILE)
    path = references.locate(name)
    content = references.read_file(path, SECRET_FILE_BYTES, secret=not public)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not binary:
            raise WrongValue(Expected.UTF_8, place=Place.FILE) from None
        return content.decode("latin-1")
    return _checked(text.rstrip("\r\n"), Place.FILE, binary=binary)


def _checked(text: str, place: Place, *, binary: bool) -> str:
    """A secret's text, which may hold anything with `binary`. Raises `WrongValue`."""
    return text if binary and text.strip() else check_secret_text(text, place)


def check_secret_text(text: str, place: Place | None = None) -> str:
    """A secret's text as it may be: filled in, and without white space. Raises `WrongValue`."""
    if not text.strip():
        raise WrongValue(Expected.FILLED, place=place)
    if looks_like_placeholder(text):
        raise WrongValue(Expected.PLACEHOLDER, place=place)
    if re.search(r"[\x00-\x20\x7f]", text):
        raise WrongValue(Expected.LITERAL_SECRET, place=place)
    return text


def read_secrets(value: Any, info: ValidationInfo) -> Secret | tuple[Secret, Secret]:
    """One secret, or two while one takes the other's place: the newer first."""
    if not isinstance(value, list | tuple):
        return read_secret(value, info)
    if len(value) != 2:
        raise WrongValue(Expected.SECRETS)
    return read_secret(value[0], info), read_secret(value[1], info)


def read_key(value: Any, info: ValidationInfo) -> Secret:
    """A key of ours: 16 bytes or more."""
    return _long_enough(read_secret(value, info))


def read_state_url(value: Any, info: ValidationInfo) -> str | Secret:
    """`memory:`, `file:DIR`, or Redis' address, which is a secret for the password's sake and may be referred to."""
    if isinstance(value, str) and not is_redis_address(value):
        if value == "memory:" or (value.startswith("file:") and value.removeprefix("file:").strip("/ ")):
            return value
        raise WrongValue(Expected.STATE_URL)
    if not isinstance(value, str | Mapping | Secret):
        raise WrongValue(Expected.STATE_URL)
    secret = read_secret(value, info)
    parse_redis_address(secret.reveal())
    return secret


def read_state_keys(value: Any, info: ValidationInfo) -> Secret | tuple[Secret, ...] | None:
    """One key, or several for rotation: the first encrypts, all decrypt."""
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        return _long_enough(read_secret(value, info, binary=True))
    if not value:
        raise WrongValue(Expected.STATE_KEYS)
    return tuple(_long_enough(read_secret(item, info, binary=True)) for item in value)


def _long_enough(secret: Secret) -> Secret:
    if len(secret.reveal().encode()) < 16:
        raise WrongValue(Expected.LONG_KEY)
    return secret


def read_outbound_proxy(value: Any, info: ValidationInfo) -> Secret | None:
    """`http://[USER:PASSWORD@]HOST:PORT`; a secret, for the password's sake."""
    if value is None or value == "":
        return None
    secret = read_secret(value, info)
    parts = _split_url(secret)
    if parts.scheme != "http" or not parts.hostname or not parts.port or parts.path not in ("", "/") or parts.query:
        raise WrongValue(Expected.OUTBOUND_PROXY)
    return secret


def _split_url(secret: Secret) -> SplitResult:
    """The parts of an address; empty ones of what is none."""
    try:
        parts = urlsplit(secret.reveal())
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return urlsplit("")
    return parts


def read_webhook_url(value: Any, info: ValidationInfo) -> Secret:
    """`http(s)://HOST/...`; a secret, for the sake of what its path or query holds."""
    secret = read_secret(value, info)
    parts = _split_url(secret)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongValue(Expected.HTTP_ADDRESS)
    if "@" in parts.netloc:
        raise WrongValue(Expected.NO_USER)
    return secret


def referable(parse: Callable[[Any], Any]) -> Callable[[Any, ValidationInfo], Any]:
    """A check that also takes `{file: ...}`, `{env: ...}` and `{command: [...]}` for a value that is no secret."""

    def parse_or_read(value: Any, info: ValidationInfo) -> Any:
        return parse(read_secret(value, info, public=True).reveal() if isinstance(value, Mapping) else value)

    return parse_or_read


def parse_limiting_list(value: Any, info: ValidationInfo) -> tuple[Any, ...] | None:
    """A list that limits. An absent one is no limit, so one that is written and empty can only be a mistake."""
    if value is None and info.context is None:
        return None
    items = parse_list(value)
    if not items:
        raise WrongValue(Expected.LIMITING_LIST)
    return items


def parse_limit(value: Any, info: ValidationInfo, expected: Expected = Expected.LIMIT) -> Any:
    """A value that limits, or a section with limits: one that is written and empty can only be a mistake, too."""
    if value is None and info.context is not None:
        raise WrongValue(expected)
    return value


def parse_spend(value: Any, info: ValidationInfo) -> Any:
    """A client's section `spend`; one without a key limits, too."""
    return parse_limit(value, info, Expected.SPEND)
