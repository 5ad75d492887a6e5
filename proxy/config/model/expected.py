"""The sentences about unusable values: what is wrong, with what, and the kind of value in one word.

They never hold the value itself: a secret at a wrong key must not appear on a terminal, in a log or in the console.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NewType


class Shape(StrEnum):
    """What sort of thing YAML gave."""

    MAPPING = "a mapping"
    LIST = "a list"
    TEXT = "a text"
    NUMBER = "a number"
    FLAG = "true or false"
    NOTHING = "empty"


ShownFile = NewType("ShownFile", str)
"""`the file PATH`, of a path that looks like one: `key_names.shown_file` makes it."""


class Place(StrEnum):
    """What a sentence is about where that is not the value itself."""

    FILE = "the file that it names"
    VARIABLE = "the environment variable that it names"
    OUTPUT = "the output of its command"


class Expected(StrEnum):
    """Every sentence about a value: what is wrong, what is expected, what to do."""

    ADDRESS = "is not an address; write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
    ADS_ACCOUNT_ID = "is not an account id as `Amazon-Ads-AccountId` takes it, such as amzn1.ads-account.g.x"
    ALL_OR_LIST = "must be all, or a list of profile ids"
    ALLOWED_OPERATION = (
        "is not an operation; write METHOD and path as the page about money fields does, such as "
        "POST /sp/rules/campaignOptimization, or MCP and the tool's name"
    )
    AMOUNT = "must be a number from 0 to 1000000000 with at most 6 decimals, such as 2.50"
    AMOUNTS = "is without a currency; write an amount for each, such as {USD: 200}, or leave the key out for no limit"
    COMMAND = (
        "is not a command; write a list of texts, the program first, such as "
        "{command: [vault, kv, get, -field=secret, ads/acme]}"
    )
    COMMAND_PENDING = "comes from a command that has not run yet; try again"
    CLAIMS = "must hold claims and what each has to be, such as {sub: system:serviceaccount:ads:nightly}"
    CLAIM = "is not a claim's value; write a text, or a list of texts, where * matches anything but ':' and '/'"
    COUNT = "must be a whole number"
    CURRENCY = "is not a currency; write its code in three capital letters (ISO 4217), such as USD"
    DAILY_TIME = "is not a time of day; write HH:MM, such as '06:00'"
    DAY = "is not a day; write YEAR-MONTH-DAY, such as 2026-07-01"
    DECODED_PATH = "would match nothing; write the decoded path without '.', '..' or '%' codes"
    DEFAULT_ADS_ACCOUNT = (
        "is neither an ads account's id, such as amzn1.ads-account.g.x, nor null; "
        "`ads-proxy profiles --accounts` lists yours"
    )
    DEFAULT_PROFILE = "is neither 'first', a profile id (digits), nor null"
    END = "is neither a day, such as 2027-01-31, nor a time with its zone, such as 2027-01-31T12:00:00Z"
    EVERY = "has an `every` that is no interval; write seconds, or a number and s, m, h or d, such as 15m, up to 31d"
    EXACT_PATH = "must be one exact, unambiguous path such as /v2/profiles: no '*', no query, no '%' codes"
    FILE = "must name a file"
    FILE_DIRECTORY = "is a directory; name a file"
    FILE_FORBIDDEN = "cannot be read: permission denied; let this user read it"
    FILE_MISSING = "does not exist; create it, or correct the path"
    FILE_PATTERN = "must name a file or files, such as accounts.d/*.yaml; '**' is not implemented"
    FILE_TOO_LARGE = "is too large; name another file"
    FILE_UNREADABLE = "cannot be read; check the disk"
    FILE_WRITABLE = "can be changed by other users; run `chmod 600` on it"
    FILLED = "is empty; fill it in"
    FLAG = "must be true or false"
    HOST = "has no host; write one before the port, such as 127.0.0.1, or 0.0.0.0 for all"
    HOST_NAME = "is not a host name; write one such as proxy.internal, without scheme or '*'"
    HOST_PATTERN = (
        "is not a host pattern; write a name such as files.example.com, *.example.com for every name below it, or * "
        "for every public host, without scheme, port or path"
    )
    HOURS = 'is not a span of hours; write DAYS HH:MM-HH:MM [ZONE], such as "mon-fri 08:00-18:00 Europe/Berlin"'
    HOURS_DAY = "names a day that there is not; the days are mon, tue, wed, thu, fri, sat and sun"
    HOURS_ORDER = "holds a span that does not begin before its end; a whole day is 00:00-24:00"
    HOURS_TIME = "holds a time that no day has; write HH:MM, from 00:00 to 24:00"
    HOURS_ZONE = "names an unknown time zone; name one as IANA does, such as Europe/Berlin"
    HTTP_ADDRESS = "is not an http:// or https:// address"
    INTERVAL = "is not an interval; write a number and s, m, h or d, from 1s to 31d, such as 6h"
    KEYS = "must hold keys"
    KEY_DIGEST = "must be the 64 hexadecimal digits that `ads-proxy keys new` prints"
    LIMIT = "is empty; write a limit, or leave the key out for none"
    LIMITING_LIST = "an empty list would permit nothing; name something, or leave the key out to permit all"
    LIST = "must be a list"
    LITERAL_SECRET = "holds white space or control characters; it must hold the secret alone"  # noqa: S105 - a sentence
    LONG_KEY = "is shorter than 16 bytes; make one with `openssl rand -hex 32`"
    MEMBER = "is not the name of a JSON member, such as state or budget"
    METHOD = "is not an HTTP method; write one such as GET"
    NAME = "is not a usable name; use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
    NO_PATH = "must not have a path; write scheme, host and port alone"
    NO_PREFIX = "is compared without the prefix that selects an account or region; leave it out"
    NO_QUERY = "must not have a query or fragment"
    NO_USER = "must not hold a user or a password"
    ONE_REFERENCE = "must be exactly one of {file: PATH}, {env: NAME} and {command: [PROGRAM, ...]}"
    ONE_SEGMENT = "holds '**'; a * matches within one segment alone, so write one * for each"
    OUTBOUND_PROXY = "must be the outbound proxy's address, such as http://proxy.internal:3128"
    PATH = "has no path; write the whole address"
    PATH_ALONE = "must hold a path alone: no query, fragment or white space"
    PATH_PATTERN = "is not a path pattern; it begins with '/', such as /reporting/*"
    PLACEHOLDER = "is a placeholder; replace it with the real value"
    PORT = "has a port that does not exist; the highest is 65535"
    PROFILE_ID = "is not a profile id (digits); `ads-proxy profiles` lists yours"
    REDIS_ADDRESS = (
        "is not a Redis address; write redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or "
        "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/SERVICE[/DB], with other characters as '%' codes"
    )
    REDIS_CLUSTER = "has a database, but a cluster has only 0; leave it out"
    REDIS_OPTION = "accepts only ssl_ca_certs, ssl_certfile and ssl_keyfile after '?', each a file, with rediss://"
    REFERENCE = "must be {file: PATH}, {env: NAME}, {command: [PROGRAM, ...]} or a text in quotes"
    REGION = "is not one of na, eu, fe"
    REPORT_PATTERN = "is not a pattern of report names, such as sp-*"
    SAN = (
        "is not a name of a client certificate; write spiffe://TRUST_DOMAIN/PATH, such as spiffe://example.org/ads, or "
        "dns:NAME in lower case and without '*', such as dns:ads.example.org"
    )
    SECRETS = "must be one secret, or a list of two: the newer first, then the older"
    SECONDS = "must be a number of seconds such as 30 or 0.5"
    SET_VARIABLE = "is not set; set it, or use {file: PATH}"
    SPEND = "is empty; write {} to refuse the writes whose amounts cannot be read, or leave the key out for no limit"
    SPILL = "is neither a directory nor off; write an absolute directory, or off"
    STATE_KEYS = "an empty list of keys; name one, or leave the key out"
    STATE_URL = "is not a state store; write file:DIR or memory:, or redis://HOST/DB"
    KEYS_ONCE = "holds a key twice; keep one"
    STRUCTURE = "is neither YAML nor JSON; quote a text with special characters"
    TEXT = "must be a text"
    TITLE = "must be a name of 1 to 100 printable characters"
    TOOL_PATTERN = "is not a pattern of tool names, such as campaign_management-query_*"
    UNBROKEN_TEXT = "holds white space or control characters in its middle; copy it again"
    UNKNOWN_KEY = "unknown key"
    UNWRITTEN_NAME = "unknown key; the name is the key of the mapping"
    UTF_8 = "is not UTF-8 text; save it as UTF-8"


class WrongValue(ValueError):
    """A value that cannot be taken. Its text holds nothing of the value: there is no argument for it."""

    def __init__(
        self, expected: Expected, *, found: Shape | None = None, place: Place | ShownFile | None = None
    ) -> None:
        said = f"{place} {expected}" if place is not None else str(expected)
        super().__init__(f"{said}, not {found}" if found is not None else said)
        self.expected = expected


def shape_of(value: object) -> Shape:
    """What sort of thing a value is, in words."""
    if isinstance(value, Mapping):
        return Shape.MAPPING
    if isinstance(value, list | tuple):
        return Shape.LIST
    if isinstance(value, bool):
        return Shape.FLAG
    if value is None:
        return Shape.NOTHING
    return Shape.NUMBER if isinstance(value, int | float) else Shape.TEXT
