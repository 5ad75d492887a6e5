"""What a simulator is told at its start: addresses, credentials, strictness. Frozen values and nothing else."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Callable

REGIONS = ("na", "eu", "fe")

Rotation = Literal["none", "at_once", "grace"]
AccountLists = Literal["region", "all"]
McpTools = Literal["own", "amazon"]
McpHints = Literal["honest", "contrary", "none"]
McpVersions = Literal["both", "sessions", "sessionless"]
Duplicates = Literal["refuse", "return", "accept"]


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One port for each listener; 0 lets the system choose."""

    na: int = 0
    eu: int = 0
    fe: int = 0
    s3: int = 0
    control: int = 0

    @classmethod
    def from_base(cls, base: int) -> PortPlan:
        """Five ports in a row: na, eu, fe, S3, control. A base of 0 lets the system choose all of them."""
        return cls(*(base + step if base else 0 for step in range(5)))


DEFAULT_PORTS = PortPlan.from_base(9001)


@dataclass(frozen=True, slots=True)
class StartSettings:
    """What cannot be changed while the simulator runs. Times are seconds.

    The credentials are valid from the start, and the same in every run unless set here. `consented_on` is the day of
    the consent behind the first refresh token, None if it was before consents had an end. Hidden profiles may be used,
    but the usual list does not show them. `advertised_host` is the host name in URLs that lead to S3.
    """

    host: str = "127.0.0.1"
    ports: PortPlan = PortPlan()
    advertised_host: str | None = None
    client_id: str = "amzn1.application-oa2-client.simulator"
    client_secret: str = "amzn1.oa2-cs.v1.simulator"  # noqa: S105 - a pretend secret
    refresh_token: str = "Atzr|simulator-refresh-token"  # noqa: S105 - a pretend token
    consented_on: str | None = None
    profiles_per_region: int = 3
    hidden_profiles_per_region: int = 0
    ads_accounts_per_login: int = 4
    compress_from: int | None = 1024
    requests_kept: int = 1000
    keepalive_timeout: float = 75
    tls_cert: str | None = None
    tls_key: str | None = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    calendar: Callable[[], float] = field(default=time.time, repr=False)


@dataclass(frozen=True, slots=True)
class SimulatorSettings(StartSettings):
    """All settings; those of its own can be changed while the simulator runs. Times are seconds.

    Of the login: `rotation` is what becomes of a refresh token that was used: it stays ("none"), dies ("at_once"), or
    dies after `rotation_grace` ("grace"). `require_pkce` refuses a sign-in without a challenge. `token_length` is the
    length of access and refresh tokens. `ads_account_lists` is what one host lists of the ads accounts: what lives in
    its "region", or "all".

    Of reports: `report_polls` is how often one is asked for before it is done. With `report_pending` and
    `report_processing`, one of version 3 or 1 takes that many seconds instead. `report_rows` is how many campaigns (or
    keywords, products) it has, `report_parts` how many files one of version 1 in a partitioned format has.
    `report_duplicates` is to "refuse" a duplicate (425), "return" the earlier report, or "accept" the order. It is the
    same order while a report is unfinished and for `report_duplicate_window` seconds after it; with
    `report_units_collide`, even with another time unit. At most `report_queue` reports of a region and app are
    unfinished (0: any number), and `report_spacing` seconds lie between orders, else 429. With
    `report_throttled_but_made` the report is made anyway. `report_url_lifetime` is that of a report's URL.

    Of MCP: `mcp_tools` is which tools are listed, the simulator's "own" or such as "amazon" has; all can be called.
    `mcp_hints` is what the list says of their reading: an "honest" hint, the "contrary", or "none".
    `mcp_versions` is which versions it implements: those with "sessions", the "sessionless" one, or "both". With
    `mcp_confirms`, tools that change something ask first, without a session.
    `mcp_token_status` is the status with which a token that is over is told by a JSON-RPC error.

    Of strictness: `strict_paths` answers 404 to operations that Amazon's specifications, guides and Postman collections
    lack; `strict_reports` refuses report orders that Amazon would refuse, and answers 404 for unknown
    reports; `strict_media_types` refuses media types that the specifications do not name; `strict_bodies` refuses
    bodies of another shape than the operation's; `strict_members` refuses written objects without a member that the
    specification requires; `strict_host` refuses a Host with another port than the listener's. With `number_texts`,
    a text that is a number may stand for it.
    """

    access_token_lifetime: float = 3600
    code_lifetime: float = 300
    rotation: Rotation = "none"
    rotation_grace: float = 60
    answer_refresh_token: bool = True
    require_pkce: bool = False
    token_length: int = 360
    ads_account_lists: AccountLists = "region"
    presigned_lifetime: float = 30
    report_polls: int = 2
    report_pending: float = 0
    report_processing: float = 0
    report_rows: int = 50
    report_parts: int = 2
    report_duplicates: Duplicates = "refuse"
    report_duplicate_window: float = 0
    report_units_collide: bool = False
    report_queue: int = 0
    report_spacing: float = 0
    report_throttled_but_made: bool = False
    report_url_lifetime: float = 3600
    mcp_tools: McpTools = "own"
    mcp_hints: McpHints = "honest"
    mcp_versions: McpVersions = "both"
    mcp_confirms: bool = False
    mcp_token_status: int = 401
    strict_paths: bool = True
    strict_reports: bool = False
    strict_bodies: bool = True
    strict_media_types: bool = True
    strict_members: bool = True
    number_texts: bool = False
    strict_host: bool = True


CHANGEABLE = tuple(sorted(SimulatorSettings.__annotations__))
"""What may be changed while the simulator runs."""

MOST = {"report_rows": 5_000_000, "token_length": 2048}
"""The largest values; other numbers have none."""

WORDS: dict[str, tuple[str, ...]] = {
    "ads_account_lists": get_args(AccountLists),
    "mcp_hints": get_args(McpHints),
    "mcp_tools": get_args(McpTools),
    "mcp_versions": get_args(McpVersions),
    "report_duplicates": get_args(Duplicates),
    "rotation": get_args(Rotation),
}
"""The words that these settings can have."""


def problem_with(name: str, value: object) -> str | None:
    """Why a setting cannot have a value while the simulator runs, or None."""
    if name not in CHANGEABLE:
        return f"{name!r} cannot be changed; {', '.join(CHANGEABLE)} can"
    if name in WORDS:
        return None if value in WORDS[name] else f"{name} is one of {', '.join(WORDS[name])}"
    usual = getattr(SimulatorSettings(), name)
    if isinstance(usual, bool):
        return None if isinstance(value, bool) else f"{name} is true or false"
    if SimulatorSettings.__annotations__[name] == "int":
        least = 1 if name in ("report_rows", "report_parts") else 0
        most = MOST.get(name, math.inf)
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"{name} is a whole number from {least}" + (f" to {most}" if most < math.inf else "")
    number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return None if number else f"{name} is a number"
