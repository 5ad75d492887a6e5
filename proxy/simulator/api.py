"""The Ads API: which handler answers which path.

A known operation without a handler gets a plausible generic answer. An unknown one is refused, unless `strict_paths`
is off.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from proxy.simulator import ads_account_api, campaign_api, report_api, unified_api
from proxy.simulator.answers import Answer, Refusal
from proxy.simulator.calls import Call, CallRefused
from proxy.simulator.campaigns import SP_KINDS
from proxy.simulator.operations import load_collections

Handler = Callable[[Call, "re.Match[str]"], Answer]
Route = tuple[str, "re.Pattern[str]", Handler]

KIND = f"(?P<kind>{'|'.join(kind for kind in SP_KINDS if kind != 'portfolios')})"
SPONSORED = "(?P<product>sp|sb/v4)"
PORTFOLIOS = "(?P<product>)/(?P<kind>portfolios)"
RULED = "(?P<product>sp|sb|sd)"
ID = "(?P<id>[^/]+)"
NUMBER = "(?P<id>[0-9]+)"
DISPLAY = "(?P<product>sd)"
BRAND_KEYWORDS = "(?P<product>sb)/(?P<kind>keywords|negativeKeywords)"
BRAND_TARGETS = "(?P<product>sb)/(?P<kind>targets|negativeTargets)"


def _route(methods: str, pattern: str, handler: Handler) -> Route:
    return methods, re.compile(pattern + "/?"), handler


ROUTES: tuple[Route, ...] = (
    _route("GET", "/v2/profiles", ads_account_api.list_profiles),
    _route("PUT", "/v2/profiles", ads_account_api.update_profiles),
    _route("GET", f"/v2/profiles/{ID}", ads_account_api.show_profile),
    _route("GET", "/managerAccounts", ads_account_api.list_manager_accounts),
    _route("POST", "/adsAccounts", ads_account_api.register_ads_account),
    _route("POST", "/adsAccounts/list", ads_account_api.list_ads_accounts),
    _route("GET", f"/adsAccounts/{ID}", ads_account_api.show_ads_account),
    _route("POST", "/adsApi/v1/query/advertiserAccounts", ads_account_api.query_advertiser_accounts),
    _route("POST", "/adsApi/v1/query/managerAccounts", ads_account_api.query_manager_accounts),
    _route("POST", "/adsApi/v1/create/reports", report_api.create_reports),
    _route("POST", "/adsApi/v1/retrieve/reports", report_api.retrieve_reports),
    _route("POST", "/adsApi/v1/delete/reports", report_api.delete_reports),
    _route("POST", "/testAccounts", ads_account_api.order_test_account),
    _route("GET", "/testAccounts", ads_account_api.show_test_account),
    _route("GET", "/amc/accounts", ads_account_api.list_amc_accounts),
    _route("GET", "/amc/instances", ads_account_api.list_amc_instances),
    _route("GET", f"/amc/instances/{ID}", ads_account_api.show_amc_instance),
    _route("POST", "/v2/(sp|hsa|sd)/(?P<subject>[^/]+)/report", report_api.V2.order),
    _route("GET", f"/v[12]/reports/{ID}", report_api.V2.show),
    _route("GET", f"(/v[12])?(/sp|/hsa|/sd)?/(reports|snapshots)/{ID}/download", report_api.download),
    _route("POST", "(/v2/sp|/v2/hsa|/v2/sd|/sd)/(?P<subject>[^/]+)/snapshot", report_api.SNAPSHOT.order),
    _route("GET", f"(/v2/sp|/v2/hsa|/v2/sd|/v[12]|/sd)/snapshots/{ID}", report_api.SNAPSHOT.show),
    _route("POST", "/reporting/reports", report_api.order_v3_report),
    _route("GET", f"/reporting/reports/{ID}", report_api.show_v3_report),
    _route("DELETE", f"/reporting/reports/{ID}", report_api.delete_v3_report),
    _route("POST", "/accounts/(?P<subject>[^/]*)/dsp/reports", report_api.DSP.order),
    _route("GET", f"/accounts/(?P<subject>[^/]*)/dsp/reports/{ID}", report_api.DSP.show),
    _route("POST", "/(?P<subject>campaigns|adGroups|ads|targets)/export", report_api.EXPORT.order),
    _route("GET", f"/exports/{ID}", report_api.EXPORT.show),
    _route("POST", "/assets/upload", report_api.open_upload),
    _route("POST", "/amc/reporting/(?P<subject>[^/]+)/workflowExecutions", report_api.EXECUTION.order),
    _route("GET", f"/amc/reporting/[^/]+/workflowExecutions/{ID}", report_api.EXECUTION.show),
    _route("GET", f"/amc/reporting/[^/]+/workflowExecutions/{ID}/downloadUrls", report_api.show_download_urls),
    _route("POST", f"/{SPONSORED}/{KIND}/list", campaign_api.list_entities),
    _route("POST", f"/{SPONSORED}/{KIND}", campaign_api.create_entities),
    _route("PUT", f"/{SPONSORED}/{KIND}", campaign_api.update_entities),
    _route("POST", f"/{SPONSORED}/{KIND}/delete", campaign_api.archive_entities),
    _route("POST", f"{PORTFOLIOS}/list", campaign_api.list_entities),
    _route("POST", PORTFOLIOS, campaign_api.create_entities),
    _route("PUT", PORTFOLIOS, campaign_api.update_entities),
    _route("POST PUT", f"/{RULED}/budgetRules", campaign_api.change_budget_rules),
    _route("POST", f"/{RULED}/campaigns/[^/]+/budgetRules", campaign_api.associate_budget_rules),
    _route("GET", f"/{DISPLAY}/{KIND}", campaign_api.list_display),
    _route("GET", f"/{DISPLAY}/{KIND}/{NUMBER}", campaign_api.show_display),
    _route("DELETE", f"/{DISPLAY}/{KIND}/{NUMBER}", campaign_api.archive_display),
    _route("POST PUT", f"/{DISPLAY}/{KIND}", campaign_api.change_display),
    _route("GET", f"/{BRAND_KEYWORDS}", campaign_api.list_display),
    _route("GET", f"/{BRAND_KEYWORDS}/{NUMBER}", campaign_api.show_display),
    _route("DELETE", f"/{BRAND_KEYWORDS}/{NUMBER}", campaign_api.archive_display),
    _route("POST PUT", f"/{BRAND_KEYWORDS}", campaign_api.change_display),
    _route("GET", f"/{BRAND_TARGETS}/{NUMBER}", campaign_api.show_display),
    _route("DELETE", f"/{BRAND_TARGETS}/{NUMBER}", campaign_api.archive_display),
    _route("POST PUT", f"/{BRAND_TARGETS}", campaign_api.change_brand_targets),
)


def respond(call: Call) -> Answer | Refusal:
    """The answer to a call that passed all checks; a refusal of an unknown operation, or of a body that does not fit.

    The operation is known if Amazon's specifications, guides or Postman collections have it.
    """
    handle, settings = _find_handler(call), call.state.settings
    known = handle or call.operation or load_collections().find(call.method, call.path)
    if settings.strict_paths and known is None:
        return _not_found(call)
    try:
        with contextlib.suppress(*(() if settings.strict_bodies else (CallRefused,))):
            if handle is not None:
                return handle()
        return answer_generically(call)
    except CallRefused as error:
        return error.refusal


def _find_handler(call: Call) -> Callable[[], Answer] | None:
    """What answers a call, or None where there is no more than the generic answer."""
    method = "GET" if call.method == "HEAD" else call.method
    for methods, pattern, handler in ROUTES:
        match = pattern.fullmatch(call.path) if method in methods.split() else None
        if match is not None:
            return partial(handler, call, match)
    if call.operation is not None and call.operation.template.startswith(unified_api.PREFIX):
        return partial(unified_api.answer_unified, call)
    return None


def _not_found(call: Call) -> Refusal:
    """What Amazon's gateway is believed to answer to an unknown operation (docs/development/amazon.md)."""
    return Refusal(
        404,
        "operation-unknown",
        "NOT_FOUND",
        f"Amazon's specifications, guides and Postman collections lack {call.method} {call.path}",
        f"Could not find resource for full path: {call.api_url}{call.path}",
    )


def answer_generically(call: Call) -> Answer:
    """The example of the operation's answer, or what was understood of the call, with the specification's status."""
    media_type = (call.head.first("content-type") or "").lower()
    body = call.json() if call.body and "json" in media_type else None
    status = call.operation.status if call.operation else HTTPStatus.OK
    if status == HTTPStatus.NO_CONTENT:
        return Answer(status)
    if call.operation and call.operation.example is not None:
        return call.answer(_with_each(call.operation.example, _given(body)), status)
    return call.answer(
        {
            "simulated": True,
            "method": call.method,
            "path": call.path,
            "query": call.query,
            "region": call.region,
            "scope": call.caller.scope,
            "operation": call.operation.template if call.operation else None,
            "bodyBytes": len(call.body),
        },
        status,
    )


def _given(body: Any) -> list[Any]:
    """The items that a body lists, in a member or, as a filter on ids does, one below; empty where it lists none."""
    members = list(body.values()) if isinstance(body, dict) else [body]
    below = [value for member in members if isinstance(member, dict) for value in member.values()]
    return next((value for value in (*members, *below) if isinstance(value, list)), [])


def _with_each(example: Any, given: list[Any]) -> Any:
    """An example in which a list of successes has one entry for each item that was given."""
    if not isinstance(example, dict):
        return example
    filled = {name: _with_each(value, given) for name, value in example.items()}
    match example.get("success"):
        case [{"index": _} as first] if given:
            filled["success"] = [{**first, "index": index} for index, _ in enumerate(given)]
    return filled
