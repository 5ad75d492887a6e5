"""The kinds of value that a configuration holds, each with the check that makes it.

A check takes what YAML or the environment gave and returns the value, or raises `ValueError` with a sentence that
says what is wrong and what to do. Nothing here reads the environment or a file.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

REGION_NAMES = ("na", "eu", "fe")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_RULE = "use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"

_PLACEHOLDER = re.compile(
    r"\$\{.*\}|\$\(.*\)|\{\{.*\}\}|<.*>|\[.*\]|change[-_ ]?me|your[-_ ].*|\.{3,}|replace[-_ ].*", re.IGNORECASE
)
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_LABELS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


class WrongValue(ValueError):
    """A value that cannot be taken; its text is the sentence that says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens. Port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Only programs of this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            ip = ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return bool((mapped or ip).is_loopback)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def quoted(value: object) -> str:
    """A value as a problem shows it: short, on one line, without the password of an address."""
    text = re.sub(r"(?<=//)[^/@\s]*(?=@)", "***", repr(value))
    return text if len(text) <= 60 else text[:56] + "...'"


def kind(value: object) -> str:
    """What sort of thing YAML gave, in words."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return "empty" if value is None else quoted(value)


def looks_like_placeholder(text: str) -> bool:
    """A text that somebody forgot to fill in."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


# --- checks -------------------------------------------------------------------------------------------------


def parse_address(value: Any) -> Address:
    """`HOST:PORT`, with brackets around an IPv6 host."""
    if isinstance(value, Address):
        return value
    example = "write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})", value.strip())):
        raise WrongValue(f"{quoted(value)} is not an address; {example}")
    host, port = match[1].strip("[]").lower(), int(match[2])
    if port > 65535:
        raise WrongValue(f"port {port} does not exist; the highest is 65535")
    if not host or host == "*":
        raise WrongValue(f"{quoted(value)} names no host; write 127.0.0.1:{port}, or 0.0.0.0:{port} for all")
    if match[1].startswith("[") or re.fullmatch(r"[0-9.]+", host):
        _check_ip(host, value, example)
    elif not _HOST_LABELS.fullmatch(host):
        raise WrongValue(f"{quoted(value)} is not an address; {example}")
    return Address(host, port)


def _check_ip(host: str, value: object, example: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise WrongValue(f"{quoted(value)} is not an address; {example}") from None


def parse_host_name(value: Any) -> str:
    """A host name as it is compared: lower case, no port, no final dot."""
    text = value.strip().lower() if isinstance(value, str) else ""
    bare = re.sub(r":[0-9]{1,5}\Z", "", text).rstrip(".")
    if not _HOST_LABELS.fullmatch(bare):
        raise WrongValue(f"{quoted(value)} is not a host name; write one such as proxy.internal, without scheme or '*'")
    return bare


def parse_region(value: Any) -> str:
    """One of Amazon's three, in any case."""
    text = value.strip().lower() if isinstance(value, str) else value
    if text not in REGION_NAMES:
        raise WrongValue(f"{quoted(value)} is not one of {', '.join(REGION_NAMES)}")
    return str(text)


def parse_text(value: Any) -> str:
    """A filled-in text without white space, such as a client id."""
    if not isinstance(value, str):
        raise WrongValue(f"must be a text, not {kind(value)}")
    text = value.strip()
    if not text:
        raise WrongValue("is empty; fill it in")
    if looks_like_placeholder(text):
        raise WrongValue(f"{quoted(text)} is a placeholder; put the real value in its place")
    if re.search(r"[\x00-\x20\x7f]", text):
        raise WrongValue("holds white space or control characters in its middle; copy it again")
    return text


def parse_name(value: Any) -> str:
    """The name of a client, an account or a route."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not NAME.fullmatch(text):
        raise WrongValue(f"{quoted(value)} is not a usable name; {NAME_RULE}")
    return text


def parse_profile_id(value: Any) -> str:
    """Digits; YAML may give them as a number."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,20}", text.strip()):
        raise WrongValue(f"{quoted(value)} is not a profile id (digits); `ads-proxy profiles` lists yours")
    return text.strip()


def parse_default_profile(value: Any) -> str | None:
    """`first`, an id, or nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lower() == "first":
        return "first"
    try:
        return parse_profile_id(value)
    except ValueError:
        raise WrongValue(f"{quoted(value)} is neither 'first', a profile id (digits), nor null") from None


def parse_method(value: Any) -> str:
    text = value.strip().upper() if isinstance(value, str) else ""
    if not _METHOD.fullmatch(text):
        raise WrongValue(f"{quoted(value)} is not an HTTP method; write one such as GET")
    return text


def parse_path_pattern(value: Any) -> str:
    """A pattern over decoded paths; `*` matches anything, `/` too."""
    if not isinstance(value, str) or not value.startswith(("/", "*")):
        raise WrongValue(f"{quoted(value)} is not a path pattern; it begins with '/', such as /reporting/*")
    if re.search(r"[?#\x00-\x20\x7f]", value):
        raise WrongValue(f"{quoted(value)} must hold a path alone: no query, fragment or white space")
    segments = value.split("/")
    if "." in segments or ".." in segments or re.search(r"%[0-9A-Fa-f]{2}", value):
        raise WrongValue(f"{quoted(value)} would match nothing; write the decoded path without '.', '..' or '%' codes")
    return value


def parse_key_digest(value: Any) -> str:
    """What `ads-proxy keys new` prints: 64 hexadecimal digits, never the key."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise WrongValue("must be the 64 hexadecimal digits that `ads-proxy keys new NAME` prints as key_sha256")
    return text


def parse_seconds(value: Any) -> float:
    """A number of seconds; texts come from the environment. Bounds are the field's."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise WrongValue(f"must be a number of seconds, not {kind(value)}")
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise WrongValue(f"{quoted(value)} is not a number of seconds; write one such as 30 or 0.5")
    return seconds


def parse_count(value: Any) -> int:
    """A whole number; texts come from the environment. Bounds are the field's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}", value.strip()):
        return int(value)
    raise WrongValue(f"must be a whole number, not {kind(value)}")


def parse_flag(value: Any) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise WrongValue(f"must be true or false, not {kind(value)}")


def parse_list(value: Any) -> tuple[Any, ...]:
    """A list; the environment's texts are split at commas."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list | tuple):
        raise WrongValue(f"must be a list, not {kind(value)}")
    return tuple(value)


def parse_origin(value: Any) -> str:
    """`http(s)://HOST[:PORT]`, nothing after it."""
    parts = _split_url(value)
    if parts.path not in ("", "/"):
        raise WrongValue(f"{quoted(value)} must not have a path; write {parts.scheme}://{parts.netloc}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_url(value: Any) -> str:
    """`http(s)://HOST[:PORT]/PATH`."""
    parts = _split_url(value)
    if parts.path in ("", "/"):
        raise WrongValue(f"{quoted(value)} has no path; write the whole address")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def _split_url(value: Any) -> SplitResult:
    """An address that can be dialled, without user, query or fragment."""
    problem = WrongValue(f"{quoted(value)} is not an http:// or https:// address")
    if not isinstance(value, str) or re.search(r"[^\x21-\x7e]", value):
        raise problem
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise problem
    if parts.username is not None or parts.password is not None:
        raise WrongValue("must not hold a user or a password")
    if "?" in value or "#" in value:
        raise WrongValue(f"{quoted(value)} must not have a query or fragment")
    if ":" in parts.hostname:
        _check_ip(parts.hostname, value, "an IPv6 host goes in brackets")
    elif not _HOST_LABELS.fullmatch(parts.hostname):
        raise problem
    return parts


def parse_redirect_uri(value: Any) -> str:
    """Where Amazon sends the browser after signing in; it is listed in the security profile, letter by letter."""
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/?#]+[^\s#]*", value):
        raise WrongValue(f"{quoted(value)} is not an http:// or https:// address")
    return value
