"""Families of operations: what is throttled together, and that no stranger can make one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http1.target import path_segments
from proxy.routing.families import family
from proxy.routing.operations import PUBLISHED, Effect, find_operation

ROWS = tuple(PUBLISHED)
PUBLISHED_FAMILIES = {family(row, b"", ()) for row in ROWS}


def family_of(method: str, path: str) -> str:
    parts = path_segments(path.encode())
    return family(find_operation(method.encode(), parts), method.encode(), parts)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/sp/campaigns/list", "sp/campaigns:read"),
        ("PUT", "/sp/campaigns", "sp/campaigns:write"),
        ("POST", "/sp/campaigns/delete", "sp/campaigns:write"),
        ("POST", "/sp/campaigns/budgetRecommendations", "sp/campaigns/recommendations:read"),
        ("POST", "/sp/targets/keywords/recommendations", "sp/targets/recommendations:read"),
        ("POST", "/sb/v4/campaigns/list", "sb/campaigns:read"),
        ("POST", "/sb/recommendations/bids", "sb/recommendations:read"),
        ("GET", "/sd/adGroups/extended/7", "sd/adGroups:read"),
        ("HEAD", "/sd/adGroups/7", "sd/adGroups:read"),
        ("GET", "/v2/sp/keywords/7/bidRecommendations", "sp/keywords/recommendations:read"),
        ("POST", "/adsApi/v1/query/campaigns", "v1/campaigns:read"),
        ("POST", "/adsApi/v1/update/campaigns", "v1/campaigns:write"),
        ("POST", "/adsApi/v1/retrieve/commitments/dsp", "v1/commitments:read"),
        ("POST", "/adsApi/v1/create/recommendations/sb", "v1/recommendations:write"),
        ("POST", "/adsApi/v1/create/reports", "v1/reports:report"),
        ("POST", "/reporting/reports", "reporting/reports:report"),
        ("GET", "/reporting/reports/7", "reporting/reports:read"),
        ("DELETE", "/reporting/reports/7", "reporting/reports:write"),
        ("POST", "/sd/targets/report", "sd/report:report"),
        ("POST", "/v2/hsa/campaigns/report", "hsa/report:report"),
        ("GET", "/v2/reports/7/download", "reports/download:read"),
        ("GET", "/v2/profiles", "profiles:read"),
        ("POST", "/accounts/7/dsp/conversionDefinitions/list", "accounts/dsp:read"),
        ("GET", "/mcp", "mcp"),
        ("POST", "/mcp/lite", "mcp"),
        ("POST", "/sp/unheard", "sp/other:write"),
        ("GET", "/v7/sp/unheard", "sp/other:read"),
        ("POST", "/adsApi/v1/query/unheard", "v1/other:write"),
        ("BREW", "/unheard", "other:write"),
        ("OPTIONS", "/v2", "other:read"),
        ("GET", "/", "other:read"),
    ],
)
def test_family_of_a_request(method: str, path: str, expected: str) -> None:
    """API, resource and effect; what the table does not know has one family for each API that is known."""
    assert family_of(method, path) == expected


def test_a_family_holds_operations_of_one_effect() -> None:
    """A throttled write never holds a read back."""
    effects: dict[str, set[Effect]] = {}
    for row in ROWS:
        effects.setdefault(family(row, b"", ()), set()).add(row.effect)
    assert len(effects) == 278
    assert {len(found) for found in effects.values()} == {1}


def test_a_mended_row_has_the_family_of_its_new_effect() -> None:
    """Families follow the row that is asked for, not the published one."""
    row = find_operation(b"POST", (b"sp", b"campaigns", b"list"))
    assert row is not None
    assert family(replace(row, effect=Effect.WRITE), b"POST", ()) == "sp/campaigns:write"
    assert family(replace(row, template="/newApi/v1/things/{id}"), b"POST", ()) == "newApi/things:read"
    assert family(replace(row, template="/v2/{id}"), b"POST", ()) == "other:read"


@given(
    st.one_of(st.sampled_from((b"GET", b"POST")), st.binary(max_size=8)),
    st.lists(st.one_of(st.binary(max_size=8), st.sampled_from(sorted({row.segments[0] for row in ROWS}))), max_size=6),
)
def test_strangers_make_no_families(method: bytes, path: list[bytes]) -> None:
    """Whatever is asked for, the family is a published one, one of two for each API, or one of three for the rest."""
    parts = tuple(path)
    apis = {name.partition("/")[0].partition(":")[0] for name in PUBLISHED_FAMILIES}
    others = {f"{api}/other:{effect}" for api in apis for effect in ("read", "write")}
    known = PUBLISHED_FAMILIES | others | {"other:read", "other:write", "mcp"}
    assert family(find_operation(method, parts), method, parts) in known
