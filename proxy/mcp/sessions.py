"""The sessions of the MCP endpoint that this process has seen answered: where each lives. Bounded; ids are digests.

What follows from it is decided by `routing.mcp_session`. A session that is not known here goes where the request says,
and is known from the answer on.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cachetools import LRUCache

from proxy.errors import MalformedRequest, NotPermitted
from proxy.routing.mcp_session import SESSION_ID, McpSession, elsewhere, stated_account

if TYPE_CHECKING:
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.message import Response
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.mcp_session import FixedAccount
    from proxy.routing.route import Route

MAX_SESSIONS = 4096
_PREFIX = SESSION_ID + b":"
_RESUMES = b"last-event-id"


class McpSessions:
    """The memory of sessions that this process has seen answered."""

    def __init__(self) -> None:
        self._known: LRUCache[bytes, McpSession] = LRUCache(MAX_SESSIONS)

    def __repr__(self) -> str:
        return f"<McpSessions: {len(self._known)}>"

    def find(self, fields: RequestFields, client: str) -> McpSession | None:
        """The session that a request belongs to; None where it has none, or one that is not known.

        Raises `SessionElsewhere` for one of another client.
        """
        sent = sent_session_id(fields)
        session = self._known.get(_digest(sent)) if sent else None
        if session is not None and session.client != client:
            raise elsewhere()
        return session

    def answered(self, context: RequestContext, response: Response) -> None:
        """The endpoint answered: it knows the session of this request, began one, or one is over."""
        request = context.request
        sent = sent_session_id(request.fields)
        if sent and (response.status == 404 or (request.method == b"DELETE" and response.status < 400)):
            self._known.pop(_digest(sent), None)
        elif response.status < 400:
            begun = _begun(response.fields.passing)
            for identifier in {sent, begun} - {b""}:
                session = McpSession(context.client, context.route.account, context.route.region)
                self._known[_digest(identifier)] = session


def account_in_force(fields: RequestFields, route: Route) -> FixedAccount | None:
    """The one advertiser that tools work for in a request with these `fields`: the one that its route has fixed, else
    the one that it states, if its session began for the same one. None where that is not certain."""
    if route.fixed is not None:
        return route.fixed
    stated = stated_account(fields, route.profile, route.ads_account)
    if stated is None or not sent_session_id(fields):
        return stated
    return stated if route.session is not None and route.session.fixed == stated else None


def _begun(passing: bytes) -> bytes:
    """The session that an answer names."""
    for line in passing.split(b"\r\n"):
        if line[: len(_PREFIX)].lower() == _PREFIX:
            return line[len(_PREFIX) :].strip(b" \t")
    return b""


def _digest(identifier: bytes) -> bytes:
    """However long an id is, the memory of it takes the same."""
    return hashlib.blake2b(identifier, digest_size=16).digest()


def sent_session_id(fields: RequestFields) -> bytes:
    """The session that a request says it belongs to, empty for none. Raises `NotPermitted` for one that resumes a
    stream without it: the id of an event could be one of anybody's session."""
    found = {value for name, value in fields.every if name == SESSION_ID}
    if len(found) > 1:
        raise MalformedRequest("Mcp-Session-Id was sent more than once, with different values.")
    session = found.pop() if found else b""
    if not session and any(name == _RESUMES for name, _ in fields.every):
        raise NotPermitted("A stream is resumed in its session only: send Last-Event-ID with its Mcp-Session-Id.")
    return session
