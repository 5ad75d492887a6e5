"""The kinds of value that a configuration holds, each with the check that makes it.

A check takes what YAML or the environment gave and returns the value, or raises `WrongValue`. Nothing here reads the
environment or a file.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import SplitResult, urlsplit

from proxy.config.model.expected import Expected, Shape, WrongValue, shape_of
from proxy.config.model.hours import HOURS, read_spans
from proxy.regions import REGION_NAMES
from proxy.value_classes import dataclass

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of each unit of an interval."""

_PLACEHOLDER = re.compile(
    r"\$\{.*\}|\$\(.*\)|\{\{.*\}\}|<.*>|\[.*\]|change[-_ ]?me|your[-_ ].*|\.{3,}|replace[-_ ].*", re.IGNORECASE
)
_EXACT_PATH = re.compile(r"(?:/|(?:/(?![.])[!$&'()+,.0-9:=@A-Z_a-z~-]+(?<![.]))+/?)")
_ADS_ACCOUNT = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DAY_LENGTH = len("2027-01-31")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,6})?")
MAX_AMOUNT = 1_000_000_000
MAX_CLAIM = 1024
ALLOWED_OPERATION = re.compile(r"[A-Z][A-Z-]{0,31} /[!\"$-)+->@-~]*|MCP [A-Za-z0-9_./-]{1,256}")
_TRUST_DOMAIN, _SEGMENT = "[a-z0-9._-]{1,255}", r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
SAN = re.compile(rf"spiffe://{_TRUST_DOMAIN}(?:/{_SEGMENT})+|dns:{_LABEL}(?:\.{_LABEL})*")
"""A name of a client certificate. The form of the first is that of a workload's SPIFFE ID; the second is lower case."""
_MAX_SPIFFE_ID, _MAX_DNS_NAME = 2048, 253
_HOST_LABELS = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens. Port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            ip = ipaddress.ip_address(self.host.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return bool((mapped or ip).is_loopback)

    @property
    def reachable(self) -> Address:
        """An address of this machine that leads to the listener: a wildcard is none."""
        return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def looks_like_placeholder(text: str) -> bool:
    """A placeholder that was not filled in."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


# --- checks -------------------------------------------------------------------------------------------------


def parse_address(value: Any) -> Address:
    """`HOST:PORT`, with brackets around an IPv6 host."""
    if isinstance(value, Address):
        return value
    if not isinstance(value, str) or not (match := re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]{1,5})", value.strip())):
        raise WrongValue(Expected.ADDRESS)
    host, port = match[1].strip("[]").lower(), int(match[2])
    if port > 65535:
        raise WrongValue(Expected.PORT)
    if not host or host == "*":
        raise WrongValue(Expected.HOST)
    if match[1].startswith("[") or re.fullmatch(r"[0-9.]+", host):
        _check_ip(host, Expected.ADDRESS)
    elif not _HOST_LABELS.fullmatch(host):
        raise WrongValue(Expected.ADDRESS)
    return Address(host, port)


def _check_ip(host: str, expected: Expected) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise WrongValue(expected) from None


def parse_host_name(value: Any) -> str:
    """A host name as it is compared: lower case, no port, no final dot."""
    text = value.strip().lower() if isinstance(value, str) else ""
    bare = re.sub(r":[0-9]{1,5}\Z", "", text).rstrip(".")
    if not _HOST_LABELS.fullmatch(bare):
        raise WrongValue(Expected.HOST_NAME)
    return bare


def parse_host_pattern(value: Any) -> str:
    """A host name, or one behind `*.` for all names below it, or `*`; in lower case, and other letters in their ASCII
    form (RFC 5891)."""
    text = value.strip().lower().removesuffix(".") if isinstance(value, str) else ""
    wildcard, name = ("*.", text.removeprefix("*.")) if text.startswith("*.") else ("", text)
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise WrongValue(Expected.HOST_PATTERN) from None
    if not (text == "*" or _HOST_LABELS.fullmatch(name)) or re.fullmatch(r"0x[0-9a-f]*|[0-9]+", name.split(".")[-1]):
        raise WrongValue(Expected.HOST_PATTERN)
    return wildcard + name


def _fit(value: object, pattern: str | re.Pattern[str], expected: Expected) -> str:
    """A text that fits a pattern as a whole."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise WrongValue(expected)
    return value


def _stripped(value: object) -> object:
    """A text without white space around it; YAML may give an id as a number."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value.strip() if isinstance(value, str) else value


def parse_region(value: Any) -> str:
    """One of Amazon's three, in any case."""
    text = lower_case(value)
    if text not in REGION_NAMES:
        raise WrongValue(Expected.REGION)
    return str(text)


def parse_text(value: Any) -> str:
    """A filled-in text without white space, such as a client id."""
    if not isinstance(value, str):
        raise WrongValue(Expected.TEXT, found=shape_of(value))
    text = value.strip()
    if not text:
        raise WrongValue(Expected.FILLED)
    if looks_like_placeholder(text):
        raise WrongValue(Expected.PLACEHOLDER)
    if re.search(r"[\x00-\x20\x7f]", text):
        raise WrongValue(Expected.UNBROKEN_TEXT)
    return text


def parse_name(value: Any) -> str:
    """The name of a client, an account or a route."""
    return _fit(value if isinstance(value, str) else _stripped(value), NAME, Expected.NAME)


def parse_profile_id(value: Any) -> str:
    """Digits; YAML may give them as a number."""
    return _fit(_stripped(value), r"[0-9]{1,20}", Expected.PROFILE_ID)


def parse_default_profile(value: Any) -> str | None:
    """`first`, an id, or nothing."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lower() == "first":
        return "first"
    try:
        return parse_profile_id(value)
    except ValueError:
        raise WrongValue(Expected.DEFAULT_PROFILE) from None


def parse_default_ads_account(value: Any) -> str | None:
    """What `Amazon-Ads-AccountId` takes, or nothing; YAML may give a DSP advertiser's id as a number."""
    if value is None or value == "":
        return None
    return _fit(_stripped(value), _ADS_ACCOUNT, Expected.DEFAULT_ADS_ACCOUNT)


def parse_title(value: Any) -> str:
    """A name as people read it, spaces included."""
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise WrongValue(Expected.TITLE)
    return text


def parse_day(value: Any) -> date | None:
    """A day, as YAML or a text has it (ISO 8601)."""
    if value is None or value == "":
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        raise WrongValue(Expected.DAY) from None


def parse_end(value: Any) -> datetime | None:
    """The moment when something ends: a day's end in UTC, or a time with its zone (ISO 8601)."""
    if value is None or value == "":
        return None
    try:
        found = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
        is_day = not isinstance(found, datetime) or (isinstance(value, str) and len(value.strip()) <= _DAY_LENGTH)
        if is_day:
            return datetime(found.year, found.month, found.day, tzinfo=UTC) + timedelta(days=1)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        pass
    raise WrongValue(Expected.END)


def parse_method(value: Any) -> str:
    return _fit(value.strip().upper() if isinstance(value, str) else value, _METHOD, Expected.METHOD)


def parse_path_pattern(value: Any) -> str:
    """A pattern over decoded paths; `*` matches anything, `/` too."""
    if not isinstance(value, str) or not value.startswith(("/", "*")):
        raise WrongValue(Expected.PATH_PATTERN)
    if re.search(r"[?#\x00-\x20\x7f]", value):
        raise WrongValue(Expected.PATH_ALONE)
    segments = value.split("/")
    if "." in segments or ".." in segments or re.search(r"%[0-9A-Fa-f]{2}", value):
        raise WrongValue(Expected.DECODED_PATH)
    return value


def parse_file_pattern(value: Any) -> str:
    """A file's name, or a pattern over such names within one folder each: `*`, `?` and `[...]` never match a `/`."""
    if not isinstance(value, str) or not value.strip():
        raise WrongValue(Expected.FILE_PATTERN, found=None if isinstance(value, str) else shape_of(value))
    if "**" in value or "\0" in value:
        raise WrongValue(Expected.FILE_PATTERN)
    return value.strip()


def parse_tool_pattern(value: Any) -> str:
    """A pattern over names of MCP tools; `*` matches anything."""
    return _fit(value, r"[A-Za-z0-9_./*-]{1,256}", Expected.TOOL_PATTERN)


def parse_member(value: Any) -> str:
    """The name of a member of JSON, as Amazon's are."""
    return _fit(_stripped(value), r"[A-Za-z][A-Za-z0-9_]{0,63}", Expected.MEMBER)


def parse_exact_path(value: Any) -> str:
    """One path, compared letter by letter, without the prefix that selects an account or region."""
    path = _fit(value, _EXACT_PATH, Expected.EXACT_PATH)
    segments = path.split("/")[1:]
    if segments[0].startswith("@") or segments[0] in REGION_NAMES:
        raise WrongValue(Expected.NO_PREFIX)
    return path


def parse_ads_account_id(value: Any) -> str:
    """A value of Amazon-Ads-AccountId; YAML may give a DSP advertiser's as a number."""
    return _fit(_stripped(value), _ADS_ACCOUNT, Expected.ADS_ACCOUNT_ID)


def parse_san(value: Any) -> str:
    """`spiffe://TRUST_DOMAIN/PATH` (SPIFFE-ID, 2) or `dns:NAME`, as it is compared: letter by letter."""
    san = _fit(value, SAN, Expected.SAN)
    name = san.removeprefix("dns:")
    if len(name) > (_MAX_SPIFFE_ID if name == san else _MAX_DNS_NAME):
        raise WrongValue(Expected.SAN)
    return san


def parse_key_digest(value: Any) -> str:
    """What `ads-proxy keys new` prints: 64 hexadecimal digits, never the key."""
    return _fit(lower_case(value), r"[0-9a-f]{64}", Expected.KEY_DIGEST)


def parse_seconds(value: Any) -> float:
    """A number of seconds; texts come from the environment. Bounds are the field's."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise WrongValue(Expected.SECONDS, found=shape_of(value))
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise WrongValue(Expected.SECONDS, found=Shape.TEXT if isinstance(value, str) else None)
    return seconds


def parse_interval(value: Any) -> float | None:
    """Seconds from a number with its unit, such as `6h`."""
    if value is None or (isinstance(value, float) and value >= 1):
        return value
    match = re.fullmatch(r"([0-9]{1,6})(s|m|h|d)", value.strip().lower()) if isinstance(value, str) else None
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 1 <= seconds <= 31 * UNITS["d"]:
        raise WrongValue(Expected.INTERVAL)
    return float(seconds)


def parse_daily_time(value: Any) -> time | None:
    """A time of day; YAML reads one without quotation marks as a number to the base of 60."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value // 60:02}:{value % 60:02}"
    if not isinstance(value, str) or not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value.strip()):
        raise WrongValue(Expected.DAILY_TIME)
    return time.fromisoformat(value.strip())


def parse_report_pattern(value: Any) -> str:
    """Names of reports, where `*` matches anything."""
    return _fit(value, r"[A-Za-z0-9._*-]{1,64}", Expected.REPORT_PATTERN)


def parse_count(value: Any) -> int:
    """A whole number; texts come from the environment. Bounds are the field's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]{1,18}", value.strip()):
        return int(value)
    raise WrongValue(Expected.COUNT, found=None if isinstance(value, float) else shape_of(value))


def parse_amount(value: Any) -> Decimal:
    """A number of a currency's units, or of percent. A float has the digits that were written: it holds any 15 of them
    exactly, and an amount has no more."""
    text = value.strip() if isinstance(value, str) else "" if isinstance(value, bool) else _digits(value)
    amount = Decimal(text) if AMOUNT.fullmatch(text) else None
    if amount is None or amount > MAX_AMOUNT:
        raise WrongValue(Expected.AMOUNT)
    return amount


def _digits(value: object) -> str:
    """A number in decimal notation, without an exponent and without zeros behind the decimal point; empty for anything
    else."""
    if isinstance(value, float) and math.isfinite(value):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return str(value) if isinstance(value, int | Decimal) else ""


def parse_amounts(value: Any) -> Mapping[Any, Any]:
    """Amounts by currency, one at least."""
    return _filled_mapping(value, Expected.AMOUNTS)


def parse_currency(value: Any) -> str:
    """A currency by its code (ISO 4217)."""
    return _fit(value, r"[A-Z]{3}", Expected.CURRENCY)


def parse_hours(value: Any) -> str:
    """Hours as their text, of which all spans can be read."""
    text = _fit(value, HOURS, Expected.HOURS).strip()
    read_spans(text)
    return text


def parse_allowed_operation(value: Any) -> str:
    """The name of an operation or of an MCP tool, without wildcards."""
    return _fit(_stripped(value), ALLOWED_OPERATION, Expected.ALLOWED_OPERATION)


def parse_claims(value: Any) -> Mapping[Any, Any]:
    """What the claims of a token must be, one at least."""
    return _filled_mapping(value, Expected.CLAIMS)


def _filled_mapping(value: Any, expected: Expected) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping) or not value:
        raise WrongValue(expected)
    return value


def parse_claim(value: Any) -> tuple[str, ...]:
    """The texts that a claim may be, where `*` matches within a segment."""
    texts = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not texts or not all(isinstance(text, str) and text and len(text) <= MAX_CLAIM for text in texts):
        raise WrongValue(Expected.CLAIM)
    if any("**" in text for text in texts):
        raise WrongValue(Expected.ONE_SEGMENT)
    return texts


def lower_case(value: Any) -> Any:
    """One of a few words, in any case."""
    return value.strip().lower() if isinstance(value, str) else value


def parse_flag(value: Any) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in ("true", "yes", "on", "1"):
        return True
    if text in ("false", "no", "off", "0"):
        return False
    raise WrongValue(Expected.FLAG, found=shape_of(value))


def parse_mapping(value: Any) -> Mapping[Any, Any]:
    """Entries by name."""
    if not isinstance(value, Mapping):
        raise WrongValue(Expected.KEYS, found=shape_of(value))
    return value


def parse_list(value: Any) -> tuple[Any, ...]:
    """A list; the environment's texts are split at commas."""
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list | tuple):
        raise WrongValue(Expected.LIST, found=shape_of(value))
    return tuple(value)


def parse_all_or_list(value: Any) -> str | tuple[Any, ...]:
    """`all`, or a list that is not empty."""
    if isinstance(value, str) and value.strip().lower() == "all":
        return "all"
    items = parse_list(value)
    if not items:
        raise WrongValue(Expected.ALL_OR_LIST)
    return items


def parse_origin(value: Any) -> str:
    """`http(s)://HOST[:PORT]`, nothing after it."""
    parts = _split_url(value)
    if parts.path not in ("", "/"):
        raise WrongValue(Expected.NO_PATH)
    return f"{parts.scheme}://{parts.netloc.lower()}"


def parse_url(value: Any) -> str:
    """`http(s)://HOST[:PORT]/PATH`."""
    parts = _split_url(value)
    if parts.path in ("", "/"):
        raise WrongValue(Expected.PATH)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}"


def _split_url(value: Any) -> SplitResult:
    """An address that can be dialled, without user, query or fragment."""
    if not isinstance(value, str) or re.search(r"[^\x21-\x7e]", value):
        raise WrongValue(Expected.HTTP_ADDRESS)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise WrongValue(Expected.HTTP_ADDRESS) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise WrongValue(Expected.HTTP_ADDRESS)
    if parts.username is not None or parts.password is not None:
        raise WrongValue(Expected.NO_USER)
    if "?" in value or "#" in value:
        raise WrongValue(Expected.NO_QUERY)
    if ":" in parts.hostname:
        _check_ip(parts.hostname, Expected.HTTP_ADDRESS)
    elif not _HOST_LABELS.fullmatch(parts.hostname):
        raise WrongValue(Expected.HTTP_ADDRESS)
    return parts


def parse_redirect_uri(value: Any) -> str:
    """Where Amazon sends the browser after signing in; it is listed in the security profile, letter by letter."""
    if not isinstance(value, str) or not (match := re.fullmatch(r"https?://([^\s/?#]+)[^\s#]*", value)):
        raise WrongValue(Expected.HTTP_ADDRESS)
    if "@" in match[1]:
        raise WrongValue(Expected.NO_USER)
    return value
