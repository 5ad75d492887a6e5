"""What somebody who runs the proxy does next about a request that failed: one sentence for each way to fail. Pure.

The proxy's own answers tell the tool's author what to do in their `detail`; this is for the person at the console.
"""

from __future__ import annotations

from typing import Final

from proxy.events import Fault

_SEE_ACCOUNT: Final = "Look at the account's card above: it says what is wrong with its token, and what to do."
_TOOLS: Final = "The tool's request is wrong, and its author has to mend it; the proxy needs nothing."
_CLIENTS_POLICY: Final = (
    "Nothing, where this client is not meant to do that. Otherwise widen its entry under `clients` and reload."
)
_NETWORK: Final = (
    "Look at this machine's network, its name resolution and the outbound proxy (`upstream.proxy`); other hosts of "
    "Amazon may work meanwhile."
)
_SLOW: Final = (
    "If it goes on, look at Amazon's own status page; where an operation is always slow, raise "
    "`upstream.response_timeout`."
)
_SUPPORT: Final = "The fault is Amazon's. If it goes on, give Amazon's support the request id that it answered with."

STEPS_OF_REFUSALS: Final = {
    "misdirected-host": "Add the host name that the tool uses to `allowed_hosts`, or mend the tool's base URL.",
    "cross-origin": "A web page tried to use the proxy. Find out whose, and where nobody knows: whose browser it was.",
    "client-unknown": "Give the tool a key that is configured: `ads-proxy keys new CLIENT` makes one.",
    "client-key-ended": "Make the client a new key with `ads-proxy keys new CLIENT`, and give it to the tool.",
    "placeholder-rejected": "The tool fetches a new token by itself. If it goes on, its client or account is gone.",
    "not-permitted": _CLIENTS_POLICY,
    "tool-not-permitted": _CLIENTS_POLICY,
    "budget-spent": "Ask why the client sends so much. Where that is right, raise its `requests_per_minute`.",
    "too-many-connections": "See which address holds them; then raise `limits.max_connections` or mend that tool.",
    "account-required": "Let the tool name an account, or give its client a single one under `accounts`.",
    "unknown-account": "Mend the account's name in the tool, or configure the account.",
    "unknown-route": "Mend the tool's base URL, or configure the account that it names.",
    "profile-not-known-yet": "Look at the account's card above: it says why its profiles could not be listed.",
    "upstream-unreachable": _NETWORK,
    "upstream-name-unresolved": _NETWORK,
    "upstream-connect-timeout": _NETWORK,
    "upstream-certificate-rejected": "Somebody stands between this machine and Amazon: if that is your own outbound "
    "proxy, set `upstream.ca_file`; otherwise find out who.",
    "upstream-closed": _SUPPORT,
    "upstream-malformed": _SUPPORT,
    "upstream-timeout": _SLOW,
    "throttled": "Let the tools ask less often; `ads-proxy status` says what Amazon limits, and for how long.",
    "no-usable-token": _SEE_ACCOUNT,
    "draining": "The proxy is being stopped. If nobody stops it, look for who does: the service manager's log says.",
    "internal-error": "This is a defect of the proxy: report it with the traceback in the log.",
}
_OF_FAULTS: Final[dict[str, str]] = {
    Fault.CLIENT_GONE: "The tool left before its answer was whole: compare its time-out with how long Amazon takes.",
    Fault.CLIENT_STALLED: "The tool stopped reading its answer: look at the machine that it runs on.",
    Fault.UPSTREAM_DIED: _SUPPORT,
    Fault.UPSTREAM_TIMEOUT: _SLOW,
}
_OF_STATUSES: Final = {
    0: "The tool left before it was answered: compare its time-out with how long Amazon takes.",
    401: "Press Renew now at the account. If it goes on, reconnect as somebody who may use this profile.",
    403: "The login of this account may not use this profile or operation: see who signed in, and what they may do.",
    404: "The tool asks for something that is not there: an id of another profile, or an operation that has ended.",
    429: "Amazon limits this account: let the tools ask less often; `ads-proxy status` says what waits, and how long.",
}


def next_step(status: int, refusal: str, fault: str) -> str:
    """A sentence. `refusal` is the slug of the proxy's own answer, `fault` says how one broke; both may be empty."""
    if refusal:
        return STEPS_OF_REFUSALS.get(refusal) or (_TOOLS if status < 500 else _SEE_ACCOUNT)
    if fault:
        return _OF_FAULTS.get(fault) or STEPS_OF_REFUSALS.get(fault) or _SUPPORT
    return _OF_STATUSES.get(status) or (_SUPPORT if status >= 500 else _TOOLS)
