"""The body of an order for reports of the unified API, where a limited client sends it: whose accounts it names. Pure.

`POST /adsApi/v1/create/reports` names them in `accessRequestedAccounts` (docs/amazon.md, Accounts). What two readers
could understand differently is refused rather than judged; what is judged are the bytes that are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.access.json_body import find_odd_form, read_json
from proxy.routing.ads_account import any_names_account

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

ORDER_OF_REPORTS = "/adsApi/v1/create/reports"
_ACCOUNTS, _REPORTS, _ID = "accessRequestedAccounts", "reports", "advertiserAccountId"


def find_flaw(own: frozenset[bytes], fields: RequestFields, body: bytes) -> str:
    """Why such an order may not pass, empty where every account that it names is one of `own`.

    Whether another account is there or not makes no difference to what is said.
    """
    flaw = find_odd_form(fields)
    if flaw:
        return flaw
    try:
        order = read_json(body, strictly=True)
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


def _is_own(entry: object, own: frozenset[bytes]) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {_ID}:
        return False
    identifier = entry[_ID]
    return isinstance(identifier, str) and identifier.encode("utf-8", "surrogatepass") in own


def _names_accounts(value: object) -> bool:
    """Whether a name anywhere within names an account: none has a place there. However deep, it needs no stack."""
    names: set[str] = set()
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            names.update(found)
            found = found.values()
        elif not isinstance(found, list):
            continue
        waiting += [each for each in found if isinstance(each, dict | list)]
    return any_names_account(name.encode() for name in names)
