"""The body of an order for reports of the unified API, where a limited client sends it: whose accounts it names. Pure.

`POST /adsApi/v1/create/reports` names them in `accessRequestedAccounts` (docs/amazon.md, Accounts). What two readers
could understand differently is refused rather than judged; what is judged are the bytes that are sent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from proxy.routing.account_names import names_account

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

ORDER_OF_REPORTS = "/adsApi/v1/create/reports"
_ACCOUNTS, _REPORTS, _ID = "accessRequestedAccounts", "reports", "advertiserAccountId"
_JSON = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json(?:[ \t]*;[ \t]*charset=(?:utf-8|\"utf-8\"))?")
_PUNCTUATION = re.compile(r"[^a-z0-9]")
_MARK = "\ufeff"


class _Unclear(ValueError):
    """Another reader may find something else in it."""


def find_flaw(own: frozenset[bytes], fields: RequestFields, body: bytes) -> str:
    """Why such an order may not pass, empty where every account that it names is one of `own`.

    Whether another account is there or not makes no difference to what is said.
    """
    flaw = _find_odd_form(fields)
    if flaw:
        return flaw
    try:
        order = _read(body)
    except (ValueError, RecursionError) as error:
        return f"the body is not plain JSON in UTF-8, or has a name twice ({type(error).__name__.strip('_')})"
    if not isinstance(order, dict) or not order.keys() <= {_ACCOUNTS, _REPORTS}:
        return f"the body is no object of {_ACCOUNTS} and {_REPORTS} alone"
    accounts = order.get(_ACCOUNTS)
    if not isinstance(accounts, list) or not accounts:
        return f"the body names no accounts: {_ACCOUNTS} is a list of them"
    if not all(_is_own(entry, own) for entry in accounts) or _names_accounts(order.get(_REPORTS)):
        return f"the body names another account than its own: {_ACCOUNTS} may hold an {_ID} of its own only"
    return ""


def _find_odd_form(fields: RequestFields) -> str:
    """What of the header fields that leave makes a doubt how the body is to be read."""
    lines = [line.lower().partition(b":") for line in fields.passing.split(b"\r\n")]
    sent = [(name.replace(b"_", b"-"), value.strip(b" \t")) for name, _, value in lines]
    kinds = [value for name, value in sent if name == b"content-type"]
    if len(kinds) != 1 or not _JSON.fullmatch(kinds[0]):
        return "the body must be sent as Content-Type: application/json, in UTF-8"
    if any(name == b"content-encoding" and value not in (b"", b"identity") for name, value in sent):
        return "the body must be sent without Content-Encoding"
    return ""


def _read(body: bytes) -> Any:
    """The value of a body, if every reader of JSON must find the same. Raises `ValueError` otherwise."""
    text = body.decode("utf-8")
    if text.startswith(_MARK):
        raise _Unclear
    return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are plain, and differ also for who takes no notice of case and punctuation."""
    names = {_PUNCTUATION.sub("", name.lower()) for name, _ in pairs}
    if len(names) < len(pairs) or not all(name.isascii() and "\\" not in name for name, _ in pairs):
        raise _Unclear
    return dict(pairs)


def _constant(_name: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259, 6)."""
    raise _Unclear


def _is_own(entry: object, own: frozenset[bytes]) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {_ID}:
        return False
    identifier = entry[_ID]
    return isinstance(identifier, str) and identifier.encode("utf-8", "surrogatepass") in own


def _names_accounts(value: object) -> bool:
    """Whether a name anywhere within names an account: none has a place there. However deep, it needs no stack."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if any(names_account(name.encode()) for name in found):
                return True
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
    return False
