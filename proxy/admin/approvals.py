"""Approvals at the admin listener: the queue, one approval, and the decisions of approvers.

Who may look and who may decide is here. What becomes of an approval is for `proxy.spend.approvals`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from proxy import errors
from proxy.admin import guard
from proxy.admin.responses import FORM_SECONDS, as_json
from proxy.admin.status import stamp
from proxy.config import ADMIN_APPROVER
from proxy.events import ApprovalState, ApproverRefused
from proxy.spend.approvals import ApprovalOver
from proxy.strict_json import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.admin.view import AccessRules, AdminView
    from proxy.events import Observer
    from proxy.spend.approvals import Approval

PATH: Final = "/console/approvals"
APPROVER_HEADER: Final = "X-Ads-Proxy-Approver-Key"
_DECISIONS: Final = {"approve": ApprovalState.APPROVED, "deny": ApprovalState.DENIED}
_FORM: Final = '{"decision": "approve"} or {"decision": "deny", "because": TEXT}'
_APPROVER: Final = web.RequestKey("approver", str)
"""The name of the approver whose key a request has shown."""


class ApproverKeyRequired(errors.ClientUnknown):
    """A decision without an approver's key, where the admin key does not decide."""

    slug, title = "approver-key-required", "An approver's key is needed"


class NoApprover(errors.NotPermitted):
    """A key that is none of an approver, or has expired."""

    slug, title = "not-an-approver", "The key is not one of an approver"


class ApprovalEndedBefore(errors.Refused):
    """A decision about an approval that has ended. Its state is a member of the document."""

    slug, status, title, code = "approval-over", 409, "The approval has ended", "CONFLICT"
    proxy_error = "http_request_denied"


class ApproverKeys:
    """Tells whose key a request shows. `keys` limits who guesses; a wrong key counts and is reported."""

    def __init__(self, view: AdminView, keys: guard.KeyChecker, observer: Observer) -> None:
        self._view, self._keys, self._observer = view, keys, observer

    def identify(self, request: web.Request, shown: str) -> str | None:
        """The approver who has this key, or None. Raises `BudgetSpent` for an address with too many wrong ones."""
        address, key = request.remote or "", shown.encode("utf-8", "surrogateescape")
        if self._keys.guessing(address):
            raise errors.BudgetSpent("Too many wrong keys: wait a minute.", retry_after=guard.FAILURE_SECONDS)
        found = self._view.access().approvers.identify(key, time.time())
        if found is None:
            self._keys.count_failure(address)
            self._observer.observe(ApproverRefused(address, request.path[:200], self._client_of(key)))
        return found

    def _client_of(self, key: bytes) -> str:
        """The client that has this key; empty for none."""
        digest = hashlib.sha256(key).hexdigest()
        known = self._view.client_keys()
        return next((each.client for each in known if hmac.compare_digest(digest, each.key.digest)), "")


class ApprovalHandlers:
    """The handlers. `clean` masks the proxy's own secrets in a text."""

    def __init__(self, view: AdminView, keys: ApproverKeys, clean: Callable[[str], str]) -> None:
        self._view, self._keys, self._clean = view, keys, clean

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self._list),
            web.get(f"{PATH}/{{id}}", self._show),
            web.post(f"{PATH}/{{id}}", self._decide),
        ]

    def is_opened(self, request: web.Request) -> bool:
        """Whether an approver's key opens the page that a request asks for: the queue alone. Raises `NoApprover` for
        another key, and `BudgetSpent` for an address with too many of these."""
        shown = request.headers.get(APPROVER_HEADER)
        if shown is None or not (request.path == PATH or request.path.startswith(f"{PATH}/")):
            return False
        found = self._keys.identify(request, shown)
        if found is None:
            raise NoApprover(
                "No approver has this key, or it has expired. Keys of clients and the admin key never approve; make "
                "one with `ads-proxy keys new --approver NAME`."
            )
        request[_APPROVER] = found
        return True

    def _decider(self, request: web.Request) -> str | None:
        """In whose name a request decides: None for one that may only look."""
        return decides_as(request.get(_APPROVER), self._view.access())

    async def _list(self, request: web.Request) -> web.Response:
        found = await self._view.approvals(ended=request.query.get("all", "") not in ("", "0"))
        return as_json({"approvals": list(map(self._entry, found)), "decides_as": self._decider(request)})

    async def _show(self, request: web.Request) -> web.Response:
        identifier = request.match_info["id"]
        for found in await self._view.approvals(ended=True):
            if found.id == identifier:
                return as_json({**self._entry(found), "decides_as": self._decider(request)})
        raise _unknown()

    async def _decide(self, request: web.Request) -> web.Response:
        by = self._decider(request)
        if by is None:
            raise ApproverKeyRequired(f"Show an approver's key as `{APPROVER_HEADER}: KEY`; the admin key only looks.")
        state, because = await _decision_of(request)
        try:
            decided = await self._view.decide(request.match_info["id"], state, by, because)
        except errors.UnknownApproval:
            raise _unknown() from None
        except ApprovalOver as over:
            ended = over.approval
            detail = f"The approval is {ended.state} already, so that nothing was decided."
            raise ApprovalEndedBefore(detail).saying(**self._entry(ended)) from None
        return as_json(self._entry(decided))

    def _entry(self, approval: Approval) -> dict[str, Any]:
        cleaned: dict[str, Any] = _each_text(entry(approval), self._clean)
        return cleaned


def decides_as(approver: str | None, rules: AccessRules) -> str | None:
    """In whose name someone decides who may look, and is this approver or none; None for one that may only look."""
    return approver or (ADMIN_APPROVER if rules.admin_approves else None)


def entry(approval: Approval) -> dict[str, Any]:
    """An approval as the admin listener shows it. Pure."""
    write = approval.write
    return {
        "id": approval.id,
        "client": write.client,
        "state": approval.state.value,
        "asked_at": stamp(approval.asked_at),
        "expires_at": stamp(approval.expires_at),
        "violations": [each.members for each in write.violations],
        "approver": approval.by or None,
        "because": approval.because or None,
        "decided_at": stamp(approval.decided_at),
        "used_at": stamp(approval.used_at),
        "operation": write.operation,
        "target": write.target,
        "account": write.account,
        "region": write.region,
        "scope": write.scope or None,
        "changes": [each.members for each in write.changes],
        "further": write.further,
    }


def _each_text(value: Any, clean: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {name: _each_text(each, clean) for name, each in value.items()}
    return [_each_text(each, clean) for each in value] if isinstance(value, list) else value


def _unknown() -> errors.UnknownApproval:
    return errors.UnknownApproval(
        "The approval is unknown: `ads-proxy approvals --all` lists them. Each is forgotten a week after its end."
    )


async def _decision_of(request: web.Request) -> tuple[ApprovalState, str]:
    """State and reason of a decision. Raises `MalformedRequest` for a body that is none."""
    malformed = errors.MalformedRequest(f"Send the decision as application/json: {_FORM}.")
    if request.content_type != "application/json":
        raise malformed
    try:
        async with asyncio.timeout(FORM_SECONDS):
            said = read_json(await request.read(), strictly=True)
    except TimeoutError:
        raise errors.RequestTimeout(f"The decision was not complete within {FORM_SECONDS:g} s.") from None
    except (web.RequestPayloadError, HttpProcessingError, ValueError, RecursionError):
        raise malformed from None
    if not isinstance(said, dict) or not said.keys() <= {"decision", "because"}:
        raise malformed
    decision, because = said.get("decision"), said.get("because", "")
    if not isinstance(decision, str) or decision not in _DECISIONS or not isinstance(because, str):
        raise malformed
    return _DECISIONS[decision], because
