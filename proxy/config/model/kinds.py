"""The kinds of value as the model's fields name them: a check, and what an editor's schema says of it."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from proxy.config.model import references, values
from proxy.config.model.hours import HOURS
from proxy.config.model.section import NamedSection
from proxy.regions import REGION_NAMES
from proxy.secret import Secret

_TEXT = {"type": "string"}
_REFERENCE: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        *(
            {"type": "object", "properties": {key: _TEXT}, "required": [key], "additionalProperties": False}
            for key in ("file", "env")
        ),
        {
            "type": "object",
            "properties": {
                "command": {"type": "array", "items": _TEXT, "minItems": 1},
                "every": {"type": ["number", "string"], "pattern": "^[0-9]+[smhdSMHD]$"},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    ]
}

_AMOUNT = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": values.MAX_AMOUNT},
        {"type": "string", "pattern": f"^{values.AMOUNT.pattern}$"},
    ]
}


def _like(pattern: str, *other_types: str) -> WithJsonSchema:
    """What an editor's schema says of a text with a pattern, which may be of other types, too."""
    return WithJsonSchema({"type": ["string", *other_types] if other_types else "string", "pattern": pattern})


ListenAddress = Annotated[values.Address, BeforeValidator(values.parse_address), _like(":[0-9]+$")]
HostName = Annotated[str, BeforeValidator(values.parse_host_name)]
HostPattern = Annotated[str, BeforeValidator(values.parse_host_pattern)]
RegionName = Annotated[str, BeforeValidator(values.parse_region), WithJsonSchema({"enum": list(REGION_NAMES)})]
ClientId = Annotated[str, BeforeValidator(references.referable(values.parse_text)), WithJsonSchema(_REFERENCE)]
HomeRegion = Annotated[
    str, BeforeValidator(references.referable(values.parse_region)), WithJsonSchema({"enum": list(REGION_NAMES)})
]
FilledText = Annotated[str, BeforeValidator(values.parse_text)]
FilePattern = Annotated[str, BeforeValidator(values.parse_file_pattern)]
Name = Annotated[str, BeforeValidator(values.parse_name), _like(f"^{values.NAME.pattern}$")]
ProfileId = Annotated[str, BeforeValidator(values.parse_profile_id), _like("^[0-9]+$", "integer")]
DefaultProfile = Annotated[
    str | None,
    BeforeValidator(references.referable(values.parse_default_profile)),
    _like("^([Ff]irst|[0-9]+)$", "integer", "null"),
]
DefaultAdsAccount = Annotated[
    str | None,
    BeforeValidator(references.referable(values.parse_default_ads_account)),
    _like("^[A-Za-z0-9._:-]+$", "integer", "null"),
]
Title = Annotated[str, BeforeValidator(values.parse_title), WithJsonSchema({"type": "string", "maxLength": 100})]
Day = Annotated[
    date | None,
    BeforeValidator(values.parse_day),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}),
]
End = Annotated[datetime | None, BeforeValidator(values.parse_end), WithJsonSchema({"type": ["string", "null"]})]
Method = Annotated[str, BeforeValidator(values.parse_method)]
PathPattern = Annotated[str, BeforeValidator(values.parse_path_pattern), _like("^[/*]")]
ToolPattern = Annotated[str, BeforeValidator(values.parse_tool_pattern), _like("^[A-Za-z0-9_./*-]+$")]
ReportPattern = Annotated[str, BeforeValidator(values.parse_report_pattern), _like("^[A-Za-z0-9._*-]+$")]
DailyTime = Annotated[time | None, BeforeValidator(values.parse_daily_time), _like("^[0-9:]+$", "null")]
Interval = Annotated[float | None, BeforeValidator(values.parse_interval), _like("^[0-9]+[smhdSMHD]$", "null")]
MemberName = Annotated[str, BeforeValidator(values.parse_member), _like("^[A-Za-z][A-Za-z0-9_]{0,63}$")]
ExactPath = Annotated[str, BeforeValidator(values.parse_exact_path), _like("^/[^*?#;%]*$")]
AdsAccountId = Annotated[str, BeforeValidator(values.parse_ads_account_id), _like("^[A-Za-z0-9.:_-]+$", "integer")]
KeyDigest = Annotated[str, BeforeValidator(values.parse_key_digest), _like("^[0-9A-Fa-f]{64}$")]
San = Annotated[str, BeforeValidator(values.parse_san), _like("^(spiffe://|dns:)[A-Za-z0-9._/-]+$")]
Amount = Annotated[Decimal, BeforeValidator(values.parse_amount), WithJsonSchema(_AMOUNT)]
Amounts = Annotated[
    dict[Annotated[str, BeforeValidator(values.parse_currency)], Amount],
    BeforeValidator(values.parse_amounts),
    WithJsonSchema(
        {
            "type": "object",
            "patternProperties": {"^[A-Z]{3}$": _AMOUNT},
            "additionalProperties": False,
            "minProperties": 1,
        }
    ),
]
"""Amounts by currency."""
_CLAIM = {"type": "string", "minLength": 1, "maxLength": values.MAX_CLAIM, "not": {"pattern": r"\*\*"}}
_CLAIM_TEXTS = {"anyOf": [_CLAIM, {"type": "array", "items": _CLAIM, "minItems": 1}]}
Claims = Annotated[
    dict[FilledText, Annotated[tuple[str, ...], BeforeValidator(values.parse_claim)]],
    BeforeValidator(values.parse_claims),
    WithJsonSchema({"type": "object", "additionalProperties": _CLAIM_TEXTS, "minProperties": 1}),
]
"""What the claims of a token must be, by their names."""
SignatureAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
HoursText = Annotated[str, BeforeValidator(values.parse_hours), _like(f"^{HOURS.pattern}$")]
AllowedOperation = Annotated[
    str, BeforeValidator(values.parse_allowed_operation), _like(f"^({values.ALLOWED_OPERATION.pattern})$")
]
Seconds = Annotated[float, BeforeValidator(values.parse_seconds)]
Count = Annotated[int, BeforeValidator(values.parse_count)]
Flag = Annotated[bool, BeforeValidator(values.parse_flag)]
Origin = Annotated[str, BeforeValidator(values.parse_origin), _like("^https?://[^/]+/?$")]
Url = Annotated[str, BeforeValidator(values.parse_url), _like("^https?://")]
RedirectUri = Annotated[str, BeforeValidator(values.parse_redirect_uri), _like("^https?://")]
StateUrl = Annotated[str | Secret, BeforeValidator(references.read_state_url), WithJsonSchema(_REFERENCE)]
Spill = Annotated[
    Path | Literal["off"] | None,
    BeforeValidator(references.read_spill),
    WithJsonSchema({"anyOf": [_TEXT, {"const": False}, {"type": "null"}]}),
]
ReadableFile = Annotated[Path, BeforeValidator(references.parse_file), WithJsonSchema(_TEXT)]
WatchedFile = Annotated[Path, BeforeValidator(references.watch_file), WithJsonSchema(_TEXT)]
SecretFile = Annotated[Path, BeforeValidator(references.parse_secret_file), WithJsonSchema(_TEXT)]
FilePath = Annotated[Path, BeforeValidator(references.locate_file), WithJsonSchema(_TEXT)]
SecretValues = Annotated[
    Secret | tuple[Secret, Secret],
    BeforeValidator(references.read_secrets),
    WithJsonSchema(
        {"anyOf": [*_REFERENCE["anyOf"], {"type": "array", "items": _REFERENCE, "minItems": 2, "maxItems": 2}]}
    ),
]
AccessField = Literal[
    "request_id",
    "client",
    "account",
    "region",
    "profile",
    "ads_account",
    "method",
    "operation",
    "operation_class",
    "subject",
    "path",
    "user_agent",
    "status",
    "upstream_status",
    "amazon_request_id",
    "bytes_in",
    "bytes_out",
    "duration_ms",
    "upstream_ms",
    "overhead_ms",
    "attempts",
    "mcp_tools",
    "outcome",
    "items",
    "spend",
    "refusal",
    "detail",
    "fault",
    "retry_after",
    "address",
    "unverified_subject",
]
"""The members of a request's line after time, level and the word `request`, in this order."""
WebhookUrl = Annotated[Secret, BeforeValidator(references.read_webhook_url), WithJsonSchema(_REFERENCE)]
SecretValue = Annotated[Secret, BeforeValidator(references.read_secret), WithJsonSchema(_REFERENCE)]
KeyValue = Annotated[Secret, BeforeValidator(references.read_key), WithJsonSchema(_REFERENCE)]
StateKeys = Annotated[
    Secret | tuple[Secret, ...] | None,
    BeforeValidator(references.read_state_keys),
    WithJsonSchema(
        {"anyOf": [*_REFERENCE["anyOf"], {"type": "array", "items": _REFERENCE, "minItems": 1}, {"type": "null"}]}
    ),
]
OutboundProxy = Annotated[
    Secret | None,
    BeforeValidator(references.read_outbound_proxy),
    WithJsonSchema({"anyOf": [*_REFERENCE["anyOf"], {"type": "null"}]}),
]

# --- Kinds of other kinds ---------------------------------------------------------------------------------

T = TypeVar("T")
Entry = TypeVar("Entry", bound=NamedSection)


def _tell_names(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Tell each entry of a mapping its name."""
    return {
        name: entry if entry.name == name else entry.model_copy(update={"name": name})
        for name, entry in entries.items()
    }


AnyCase = Annotated[T, BeforeValidator(values.lower_case)]
"""One of a few words, in any case."""
Listed = Annotated[tuple[T, ...], BeforeValidator(values.parse_list)]
Limiting = Annotated[tuple[T, ...] | None, BeforeValidator(references.parse_limiting_list)]
"""A list that limits; None is no limit."""
Limit = Annotated[T | None, BeforeValidator(references.parse_limit)]
"""A value that limits; None is no limit."""
Named = Annotated[dict[Name, Entry], BeforeValidator(values.parse_mapping), AfterValidator(_tell_names)]
"""Sections by name."""
