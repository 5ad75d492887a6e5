"""The kinds of value as the model's fields name them: a check, and what an editor's schema says of it."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from proxy.config.model import references, values
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
    ]
}

ListenAddress = Annotated[
    values.Address, BeforeValidator(values.parse_address), WithJsonSchema({"type": "string", "pattern": ":[0-9]+$"})
]
HostName = Annotated[str, BeforeValidator(values.parse_host_name)]
RegionName = Annotated[str, BeforeValidator(values.parse_region), WithJsonSchema({"enum": list(REGION_NAMES)})]
ClientId = Annotated[str, BeforeValidator(references.referable(values.parse_text)), WithJsonSchema(_REFERENCE)]
HomeRegion = Annotated[
    str, BeforeValidator(references.referable(values.parse_region)), WithJsonSchema({"enum": list(REGION_NAMES)})
]
FilledText = Annotated[str, BeforeValidator(values.parse_text)]
FilePattern = Annotated[str, BeforeValidator(values.parse_file_pattern)]
Name = Annotated[
    str, BeforeValidator(values.parse_name), WithJsonSchema({"type": "string", "pattern": f"^{values.NAME.pattern}$"})
]
_ID_SCHEMA = {"type": ["string", "integer"], "pattern": "^[0-9]+$"}
ProfileId = Annotated[str, BeforeValidator(values.parse_profile_id), WithJsonSchema(_ID_SCHEMA)]
DefaultProfile = Annotated[
    str | None,
    BeforeValidator(references.referable(values.parse_default_profile)),
    WithJsonSchema({"type": ["string", "integer", "null"], "pattern": "^([Ff]irst|[0-9]+)$"}),
]
DefaultAdsAccount = Annotated[
    str | None,
    BeforeValidator(references.referable(values.parse_default_ads_account)),
    WithJsonSchema({"type": ["string", "integer", "null"], "pattern": "^[A-Za-z0-9._:-]+$"}),
]
Title = Annotated[str, BeforeValidator(values.parse_title), WithJsonSchema({"type": "string", "maxLength": 100})]
Day = Annotated[
    date | None,
    BeforeValidator(values.parse_day),
    WithJsonSchema({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}),
]
End = Annotated[datetime | None, BeforeValidator(values.parse_end), WithJsonSchema({"type": ["string", "null"]})]
Method = Annotated[str, BeforeValidator(values.parse_method)]
PathPattern = Annotated[
    str, BeforeValidator(values.parse_path_pattern), WithJsonSchema({"type": "string", "pattern": "^[/*]"})
]
ToolPattern = Annotated[
    str,
    BeforeValidator(values.parse_tool_pattern),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_./*-]+$"}),
]
ReportPattern = Annotated[
    str,
    BeforeValidator(values.parse_report_pattern),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._*-]+$"}),
]
DailyTime = Annotated[
    time | None,
    BeforeValidator(values.parse_daily_time),
    WithJsonSchema({"type": ["string", "null"], "pattern": "^[0-9:]+$"}),
]
Interval = Annotated[
    float | None,
    BeforeValidator(values.parse_interval),
    WithJsonSchema({"type": ["string", "null"], "pattern": "^[0-9]+[smhdSMHD]$"}),
]
MemberName = Annotated[
    str,
    BeforeValidator(values.parse_member),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"}),
]
ExactPath = Annotated[
    str, BeforeValidator(values.parse_exact_path), WithJsonSchema({"type": "string", "pattern": "^/[^*?#;%]*$"})
]
AdsAccountId = Annotated[
    str,
    BeforeValidator(values.parse_ads_account_id),
    WithJsonSchema({"type": ["string", "integer"], "pattern": "^[A-Za-z0-9.:_-]+$"}),
]
KeyDigest = Annotated[
    str, BeforeValidator(values.parse_key_digest), WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f]{64}$"})
]
Seconds = Annotated[float, BeforeValidator(values.parse_seconds)]
Count = Annotated[int, BeforeValidator(values.parse_count)]
Flag = Annotated[bool, BeforeValidator(values.parse_flag)]
Origin = Annotated[
    str, BeforeValidator(values.parse_origin), WithJsonSchema({"type": "string", "pattern": "^https?://[^/]+/?$"})
]
Url = Annotated[str, BeforeValidator(values.parse_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
RedirectUri = Annotated[
    str, BeforeValidator(values.parse_redirect_uri), WithJsonSchema({"type": "string", "pattern": "^https?://"})
]
StateUrl = Annotated[str | Secret, BeforeValidator(references.read_state_url), WithJsonSchema(_REFERENCE)]
Spill = Annotated[
    Path | Literal["off"] | None,
    BeforeValidator(references.read_spill),
    WithJsonSchema({"anyOf": [_TEXT, {"const": False}, {"type": "null"}]}),
]
ReadableFile = Annotated[Path, BeforeValidator(references.parse_file), WithJsonSchema(_TEXT)]
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
    "refusal",
    "detail",
    "fault",
]
"""The members of a request's line after time, level and the word `request`, in this order."""
WebhookUrl = Annotated[Secret, BeforeValidator(references.read_webhook_url), WithJsonSchema(_REFERENCE)]
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
Named = Annotated[dict[Name, Entry], BeforeValidator(values.parse_mapping), AfterValidator(_tell_names)]
"""Sections by name."""
