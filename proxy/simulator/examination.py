"""All checks of a request to the Ads API, in Amazon's order. Pure: values in, a refusal or the caller out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.simulator.addressing import Addressed, check_account, check_scope
from proxy.simulator.caller import Caller
from proxy.simulator.checks import (
    Head,
    Refusal,
    check_client,
    check_media,
    check_token,
    find_leak,
    has_body,
)

if TYPE_CHECKING:
    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState


def examine(state: SimulatorState, region: str, path: str, head: Head, operation: Operation | None) -> Caller | Refusal:
    """The caller, if the request passes."""
    leak = find_leak(head)
    if leak is not None:
        return leak
    token = check_token(state, head)
    if isinstance(token, Refusal):
        return token
    ads_client = path.startswith("/adsApi/v1/") or bool(operation and operation.ads_client)
    wrong = check_client(head, token, ads_client)
    if wrong is None and state.settings.strict_media_types:
        wrong = check_media(head, operation, has_body(head))
    asked = Addressed.read(head, region, path, (token.user, operation))
    wrong = wrong or check_scope(state, asked) or check_account(state, asked)
    return wrong or Caller(token.user, token.client_id, asked.scope, asked.account)
