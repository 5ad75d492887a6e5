"""What all orders of a named report have in common, and how each one is written in versions 3 and 1 of reports. Pure.

A template knows everything in which the versions differ; the run of a report is the same in both. Sources: Amazon's
specifications of `/reporting/reports` and of `/adsApi/v1/create/reports`; docs/development/amazon.md, Reports.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import quote

from proxy.profiles.listing import ListRequest
from proxy.reports.orders import ReportOperation
from proxy.reports.presets import MAX_RANGE, MAX_RETENTION, PRESETS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH: Final = "/reporting/reports"
_ORDER_TYPE: Final = "application/vnd.createasyncreportrequest.v3+json"
_ORDER_ANSWER_TYPE: Final = "application/vnd.createasyncreportresponse.v3+json"
_POLL_ANSWER_TYPE: Final = "application/vnd.getasyncreportresponse.v3+json"
_RETENTION_1: Final = 731
"""Days for which version 1 has rows: 24 months."""
_COUNTRY: Final = "campaign.country"
"""The field of version 1 by which the rows of an ads account are told apart."""


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order: a profile's rows of these days, the last one included; ISO dates.

    `ads_account` is the one that the profile belongs to, where the order needs it. Its rows are the profile's if they
    are of this `country`, or all of them if that is empty.
    """

    profile: str
    region: str
    first_day: str
    last_day: str
    ads_account: str = ""
    country: str = ""

    @property
    def key(self) -> str:
        """Names it among the orders of a run."""
        return f"{self.profile}-{self.first_day}"


@dataclass(frozen=True, slots=True)
class OrderTemplate(ABC):
    """Makes orders from planned ones. `content` is what Amazon is asked for, without days and accounts.

    `longest` is the most days of one order, `most_days` those of a report in several. `needs_ads_accounts` tells that a
    planned order must name one.
    """

    content: Mapping[str, Any] = field(repr=False)
    order_operation: ClassVar[ReportOperation]
    poll_operation: ClassVar[ReportOperation]
    longest: ClassVar[int]
    most_days: ClassVar[int]
    needs_ads_accounts: ClassVar[bool]

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of the rows."""

    @property
    @abstractmethod
    def retention(self) -> int:
        """Days for which Amazon has rows."""

    @abstractmethod
    def find_fault(self, order: PlannedOrder) -> str:
        """Why an order cannot be sent, as a sentence; empty if it can be."""

    @abstractmethod
    def write(self, order: PlannedOrder) -> dict[str, Any]:
        """The body of an order. It has no name: two orders with other names are the same report."""

    @abstractmethod
    def ask_for(self, order: PlannedOrder) -> ListRequest:
        """The request that orders a report."""

    @abstractmethod
    def ask_about(self, order: PlannedOrder, report_id: str) -> ListRequest:
        """The request that polls it."""


@dataclass(frozen=True, slots=True)
class Version3Template(OrderTemplate):
    """`POST /reporting/reports`: the profile is the Scope. `content` is the `configuration` of each order."""

    order_operation = ReportOperation.ORDER
    poll_operation = ReportOperation.POLL
    longest = MAX_RANGE
    most_days = MAX_RETENTION
    needs_ads_accounts = False

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(map(str, self.content["columns"]))

    @property
    def retention(self) -> int:
        preset = PRESETS.get(str(self.content.get("reportTypeId")))
        return preset.retention if preset is not None else MAX_RETENTION

    def find_fault(self, order: PlannedOrder) -> str:
        return ""

    def write(self, order: PlannedOrder) -> dict[str, Any]:
        return {"startDate": order.first_day, "endDate": order.last_day, "configuration": dict(self.content)}

    def ask_for(self, order: PlannedOrder) -> ListRequest:
        body = json.dumps(self.write(order)).encode()
        return ListRequest("POST", _PATH, body, _ORDER_TYPE, order.profile, _ORDER_ANSWER_TYPE)

    def ask_about(self, order: PlannedOrder, report_id: str) -> ListRequest:
        target = f"{_PATH}/{quote(report_id, safe='')}"
        return ListRequest("GET", target, profile=order.profile, accept=_POLL_ANSWER_TYPE)


@dataclass(frozen=True, slots=True)
class Version1Template(OrderTemplate):
    """`POST /adsApi/v1/create/reports`: the ads account is in the body. `content` is the one entry of `reports`,
    without its period."""

    order_operation = ReportOperation.ORDER_V1
    poll_operation = ReportOperation.POLL_V1
    longest = 120
    most_days = _RETENTION_1 - 1
    needs_ads_accounts = True

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(map(str, self.content["query"]["fields"]))

    @property
    def retention(self) -> int:
        return _RETENTION_1

    def find_fault(self, order: PlannedOrder) -> str:
        if order.ads_account:
            return ""
        return "Amazon lists no ads account with this profile, or one with several in its country; version 1 needs one."

    def write(self, order: PlannedOrder) -> dict[str, Any]:
        period = {"datePeriod": {"startDate": order.first_day, "endDate": order.last_day}}
        query = dict(self.content["query"])
        if order.country:
            query["filter"] = _with_country(query.get("filter"), order.country)
        return {
            "accessRequestedAccounts": [{"advertiserAccountId": order.ads_account}],
            "reports": [{**self.content, "periods": [period], "query": query}],
        }

    def ask_for(self, order: PlannedOrder) -> ListRequest:
        return ListRequest("POST", "/adsApi/v1/create/reports", json.dumps(self.write(order)).encode())

    def ask_about(self, order: PlannedOrder, report_id: str) -> ListRequest:
        body = json.dumps({"reportIds": [report_id]}).encode()
        return ListRequest("POST", "/adsApi/v1/retrieve/reports", body)


def _with_country(given: Any, country: str) -> dict[str, Any]:
    """A filter that lets the rows of one country pass, of those that the given one does."""
    own = {"on": {"field": _COUNTRY, "comparisonOperator": "EQUALS", "not": False, "values": [country]}}
    return {"and": {"filters": [given, own]}} if given else own
