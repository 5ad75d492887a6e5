"""The local token endpoint: requests for placeholders of access tokens, answered here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from proxy.access import token_endpoint
from proxy.access.clients import PROXY_KEY
from proxy.errors import TokenNotChecked
from proxy.events import RequestKind
from proxy.forwarding import waiting_request
from proxy.forwarding.decision import Capability
from proxy.forwarding.refusal import internal_error
from proxy.local.request import LocalRequest
from proxy.routing.request_kind import method_name
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.access.token_endpoint import PlaceholderResponse
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.sockets import LocalAsked


class TokenEndpoint(Capability):
    """Answers requests to the local token endpoint. `waiting` are those whose JWT has a key that is being read."""

    def __init__(self, accounting: Accounting) -> None:
        self._accounting = accounting
        self.waiting: set[LocalTokenRequest] = set()

    def answer(self, asked: LocalAsked, rules: Rules) -> LocalTokenRequest | None:
        if asked.destination.kind is not TargetKind.TOKEN:
            return None
        return LocalTokenRequest(self._accounting, asked, rules, self.waiting)


class LocalTokenRequest(LocalRequest):
    """A request to the local token endpoint. It waits for an identity provider's keys, as others with a JWT do, unless
    too many are `waiting`."""

    path = "/auth/o2/token"
    _task: asyncio.Task[None] | None = None

    def __init__(
        self, accounting: Accounting, asked: LocalAsked, rules: Rules, waiting: set[LocalTokenRequest]
    ) -> None:
        super().__init__(accounting, asked.client, asked.request, rules)
        self._binding, self._waiting = asked.destination.name, waiting
        self._sender = asked.identity if PROXY_KEY in asked.request.fields.named and asked.identity.has_key else None
        self._client_name = self._subject = ""

    @property
    def kind(self) -> RequestKind:
        return RequestKind(self._client_name, method=method_name(self.request.method), subject=self._subject)

    def answer(self) -> None:
        found = self._find_answer()
        refusal = found.refusal
        reading = refusal.reading if isinstance(refusal, TokenNotChecked) else None
        if reading is None or len(self._waiting) >= waiting_request.MAX_WAITING_FOR_KEYS:
            self._send(found)
            return
        self.stats.spend()  # the provider takes its own time
        self._waiting.add(self)
        self._task = self.client.loop.create_task(self._answer_after(reading))

    def finish(self, status: int, fault: str = "") -> None:
        self._waiting.discard(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        super().finish(status, fault)

    def _find_answer(self) -> PlaceholderResponse:
        rules = self.rules
        of = self.request, self._binding, bytes(self.body), self._sender, self.client.address
        asked = token_endpoint.PlaceholderRequest(*of)
        return token_endpoint.answer(asked, rules.clients, rules.table, time.time())

    async def _answer_after(self, reading: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading.wait(), waiting_request.KEYS_PATIENCE)
        self.stats.resume()
        try:
            self._send(self._find_answer())
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self.accounting.defect("token endpoint", error)
            self.refuse(internal_error(), keep=False)
        self.client.flush()

    def _send(self, answer: PlaceholderResponse) -> None:
        self._client_name, self._subject, self.stats.refusal = answer.client, answer.subject, answer.refusal
        self.respond(answer.status, b"".join(b"%b: %b\r\n" % field for field in answer.headers), answer.body)
