"""What an error of Amazon's says of the access token: whether it was refused, or something else is at fault. Pure.

The texts are those of docs/development/amazon.md, Unauthorized and MCP.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proxy.http1.body_copy import MAX_READ, readable
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.http1.message import Response

NO_SCOPE = b"scope header is missing"
FOREIGN_SCOPE = (b"no matching advertiser found for scope", b"not authorized to access scope")
"""Rights or consent are wanting: another token would change nothing (docs/development/amazon.md, Unauthorized)."""


def is_about_scope(text: bytes) -> bool:
    """Whether the body of a 401, in lower case, tells that it is not about the token."""
    return any(words in text for words in (NO_SCOPE, *FOREIGN_SCOPE))


@dataclass(frozen=True, slots=True, eq=False)
class TokenRefusals:
    """How an API says that it refuses a token: the `statuses` of such errors, of which all but 401 have one of `texts`
    in their body. An API that has texts may also say it in a JSON-RPC error, which has status 200.
    """

    statuses: frozenset[int] = frozenset((401,))
    texts: tuple[bytes, ...] = ()

    def needs_body(self, response: Response) -> bool:
        """Whether a response that is no 401 may say that the token was refused: its body has to be read then. A stream
        of events is never held back for it.
        """
        status, fields = response.status, response.fields
        if status != 200 or not self.texts:
            return status != 401 and status in self.statuses
        small = fields.content_length is None or fields.content_length <= MAX_READ
        return small and fields.content_type[:16].lower() == b"application/json"

    def refuses(self, status: int, body: bytes, content_encoding: bytes) -> bool:
        """Whether the beginning of such a response's body says that the token was refused, or may mean that.

        A 401 means it unless it is about the Scope. Any other response must name the token; the result of a call never
        does.
        """
        text = readable(body, content_encoding)
        if status == 401:
            return not is_about_scope(text)
        if status == 200:
            text = _rpc_error(text)
        return any(words in text for words in self.texts)


ADS_API_REFUSALS = TokenRefusals()
MCP_REFUSALS = TokenRefusals(
    frozenset((400, 401, 403, 500)), texts=(b"no authorization", b"client initialization failed")
)
"""How the MCP endpoint says that a token is missing, or is over (docs/development/amazon.md, MCP)."""


def _rpc_error(text: bytes) -> bytes:
    """What a JSON-RPC error says, empty where there is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return b""
    error = message.get("error") if isinstance(message, dict) else None
    return str(error.get("message")).encode() if isinstance(error, dict) else b""
