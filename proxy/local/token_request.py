"""The local token endpoint: requests for placeholders of access tokens, answered here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxy.access import token_endpoint
from proxy.access.clients import PROXY_KEY
from proxy.events import RequestKind
from proxy.forwarding.decision import Capability
from proxy.local.request import LocalRequest
from proxy.routing.request_kind import method_name
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.sockets import LocalAsked


class TokenEndpoint(Capability):
    """Answers requests to the local token endpoint."""

    def __init__(self, accounting: Accounting) -> None:
        self._accounting = accounting

    def answer(self, asked: LocalAsked, rules: Rules) -> LocalTokenRequest | None:
        if asked.destination.kind is not TargetKind.TOKEN:
            return None
        return LocalTokenRequest(self._accounting, asked, rules)


class LocalTokenRequest(LocalRequest):
    """A request to the local token endpoint."""

    path = "/auth/o2/token"

    def __init__(self, accounting: Accounting, asked: LocalAsked, rules: Rules) -> None:
        super().__init__(accounting, asked.client, asked.request, rules)
        self._binding = asked.destination.name
        self._sender = asked.identity if PROXY_KEY in asked.request.fields.named and asked.identity.has_key else None
        self._client_name = ""

    @property
    def kind(self) -> RequestKind:
        return RequestKind(self._client_name, method=method_name(self.request.method))

    def answer(self) -> None:
        rules = self.rules
        of = self.request, self._binding, bytes(self.body), self._sender, self.client.address
        asked = token_endpoint.PlaceholderRequest(*of)
        answer = token_endpoint.answer(asked, rules.clients, rules.table, time.time())
        self._client_name, self.stats.refusal = answer.client, answer.refusal
        self.respond(answer.status, b"".join(b"%b: %b\r\n" % field for field in answer.headers), answer.body)
