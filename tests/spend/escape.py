"""Writes that are over the limits of `LIMITED`, and all the ways to spell them that a server might read alike.

Nothing is asserted here. A way is made by chance from a seed, so that bodies of a thousand items cost one choice.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

BUDGET, BID, PERCENT = 100, 2, 50
"""The limits in USD, and of adjustments in percent."""
STATES: Final = ("paused",)
"""The states that may be set."""


class Over:
    """A value that is over a limit, or its harmless counterpart in another item of the same list."""

    __slots__ = ("harmless", "spellings")

    def __init__(self, spellings: tuple[str, ...], harmless: Any) -> None:
        self.spellings, self.harmless = spellings, harmless


def _wide(text: str) -> str:
    """The same letters, as wide as those of Chinese; some readers take them for the same."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


def _amount(value: int, harmless: int, *further: str) -> Over:
    """An amount, a bid or a percentage of several digits, as JSON that any reader might take for it."""
    digits = str(value)
    tenth = f"{digits[0]}.{digits[1:]}e{len(digits) - 1}"
    numbers: tuple[str, ...] = (
        digits,
        f"{digits}.0",
        f"{digits}.00000000000000000000001",
        tenth,
        tenth.replace("e", "E"),
    )
    numbers += (tenth.replace("e", "e+"), f"{digits}000000e-6", f"0.{digits}e{len(digits)}", f"{value}{value}")
    numbers += (f"{digits}e300", "1e400", f"{digits}e999999999", "9" * 60)
    texts: tuple[str, ...] = (
        *numbers,
        f" {digits} ",
        f"{digits}\\n",
        f"+{digits}",
        f"{digits}.",
        f"0{digits}",
        f"{digits},0",
    )
    texts += (f"${digits}", f"{digits} USD", f"\\u003{digits[0]}{digits[1:]}", f"{digits}_0", f"{digits}f", hex(value))
    texts += (_wide(digits), f"\\u00a0{digits}", "Infinity", "NaN", "1e999999")
    odd: tuple[str, ...] = (
        "NaN",
        "Infinity",
        "true",
        "null",
        f"[{digits}]",
        f'{{"value":{digits}}}',
        f'{{"$numberLong":"{digits}"}}',
    )
    odd += (f"[[{digits}]]", f'"{{\\"value\\":{digits}}}"', f"+{digits}", f"0{digits}", hex(value))
    return Over((*numbers, *(f'"{text}"' for text in texts), *odd, *further), harmless)


THOUSAND: Final = _amount(1000, 10, "-1000", '"-1000"')
DEAR_BID: Final = _amount(50, 1, "-50")
NINE_TIMES: Final = _amount(900, 10)
ENABLED: Final = Over(
    (
        *('"ENABLED"', '"enabled"', '"Enabled"', '"\\u0045NABLED"', '" ENABLED "', '"ENABLED\\u0000"', '"ACTIVE"'),
        *('["ENABLED"]', '{"value":"ENABLED"}', "1", "true", '"PROPOSED"', '"ARCHIVED"', '"PAUSED,ENABLED"', '""'),
        *(f'"{_wide("ENABLED")}"', '"PAUSED\\u0000ENABLED"', '["PAUSED","ENABLED"]'),
    ),
    "PAUSED",
)


@dataclass(frozen=True, slots=True)
class Write:
    """A write of REST: `content` holds the body, with an `Over` at each place that is over. Where there is none, the
    whole operation is. `in_list` is the name of the list of items, empty where the body itself is the list."""

    method: bytes
    path: bytes
    media: bytes
    content: Any
    in_list: str | None = None

    def __repr__(self) -> str:
        return f"{self.method.decode()} {self.path.decode()} {self.media.decode()}"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool of the hosted MCP endpoint."""

    tool: str
    arguments: Any
    in_list: str | None = None

    def __repr__(self) -> str:
        return f"MCP {self.tool}"


def _vendor(name: str) -> bytes:
    return f"application/vnd.{name}+json".encode()


def _money(value: Over) -> list[dict[str, Any]]:
    amount = {"monetaryBudgetValue": {"monetaryBudget": {"currencyCode": "USD", "value": value}}}
    return [{"budgetType": "MONETARY", "recurrenceTimePeriod": "DAILY", "budgetValue": amount}]


_V1: Final = b"application/json"
_CAMPAIGN: Final = {"name": "c", "state": "PAUSED", "targetingType": "MANUAL", "startDate": "2027-01-01"}
WRITES: Final = (
    Write(
        b"POST",
        b"/sp/campaigns",
        _vendor("spCampaign.v3"),
        {"campaigns": [{**_CAMPAIGN, "budget": {"budget": THOUSAND, "budgetType": "DAILY"}}]},
        "campaigns",
    ),
    Write(
        b"PUT",
        b"/sp/campaigns",
        _vendor("spCampaign.v3"),
        {"campaigns": [{"campaignId": "1", "budget": {"budget": THOUSAND, "budgetType": "DAILY"}}]},
        "campaigns",
    ),
    Write(
        b"PUT",
        b"/sp/campaigns",
        _vendor("spCampaign.v3"),
        {"campaigns": [{"campaignId": "1", "state": ENABLED}]},
        "campaigns",
    ),
    Write(
        b"PUT",
        b"/sp/campaigns",
        _vendor("spCampaign.v3"),
        {
            "campaigns": [
                {
                    "campaignId": "1",
                    "dynamicBidding": {"placementBidding": [{"placement": "PLACEMENT_TOP", "percentage": NINE_TIMES}]},
                }
            ]
        },
        "campaigns",
    ),
    Write(
        b"POST",
        b"/sp/keywords",
        _vendor("spKeyword.v3"),
        {"keywords": [{"campaignId": "1", "keywordText": "k", "state": "PAUSED", "bid": DEAR_BID}]},
        "keywords",
    ),
    Write(
        b"PUT",
        b"/sp/targets",
        _vendor("spTargetingClause.v3"),
        {"targetingClauses": [{"targetId": "1", "bid": DEAR_BID}]},
        "targetingClauses",
    ),
    Write(
        b"PUT",
        b"/sb/v4/campaigns",
        _vendor("sbcampaignresource.v4"),
        {"campaigns": [{"campaignId": "1", "budget": THOUSAND}]},
        "campaigns",
    ),
    Write(b"PUT", b"/sb/keywords", _V1, [{"keywordId": 1, "adGroupId": 2, "bid": DEAR_BID}], ""),
    Write(b"PUT", b"/sd/campaigns", _V1, [{"campaignId": 1, "budget": THOUSAND}], ""),
    Write(b"PUT", b"/sd/campaigns", _V1, [{"campaignId": 1, "state": ENABLED}], ""),
    Write(b"PUT", b"/v2/profiles", _V1, [{"profileId": 11, "dailyBudget": 1000}], ""),
    Write(
        b"PUT",
        b"/portfolios",
        _vendor("spPortfolio.v3"),
        {"portfolios": [{"portfolioId": "1", "budget": {"amount": THOUSAND, "currencyCode": "USD"}}]},
        "portfolios",
    ),
    Write(
        b"POST",
        b"/adsApi/v1/create/campaigns",
        _V1,
        {"campaigns": [{"name": "c", "state": "PAUSED", "budgets": _money(THOUSAND)}]},
        "campaigns",
    ),
    Write(
        b"POST",
        b"/adsApi/v1/update/campaigns",
        _V1,
        {"campaigns": [{"campaignId": "1", "budgets": _money(THOUSAND)}]},
        "campaigns",
    ),
    Write(
        b"POST",
        b"/adsApi/v1/update/targets",
        _V1,
        {"targets": [{"targetId": "1", "bid": {"bid": DEAR_BID, "currencyCode": "USD"}}]},
        "targets",
    ),
    Write(
        b"POST",
        b"/adsApi/v1/update/adGroups",
        _V1,
        {"adGroups": [{"adGroupId": "1", "state": ENABLED}]},
        "adGroups",
    ),
    Write(b"POST", b"/sp/campaigns/delete", _vendor("spCampaign.v3"), {"campaignIdFilter": {"include": ["1"]}}),
    Write(b"POST", b"/adsApi/v1/delete/campaigns", _V1, {"campaignIds": ["1"]}),
    Write(b"POST", b"/recommendations/apply", _vendor("applyRecommendationsRequest.v1"), {"recommendationIds": ["1"]}),
    Write(b"POST", b"/new/thing", _V1, {"things": [{"id": 1}]}),
)
CALLS: Final = (
    ToolCall(
        "campaign_management-create_campaign",
        {"body": {"campaigns": [{"name": "c", "state": "PAUSED", "budgets": _money(THOUSAND)}]}},
        "campaigns",
    ),
    ToolCall(
        "campaign_management-update_campaign_budget",
        {"body": {"campaigns": [{"campaignId": "1", "budgets": _money(THOUSAND)}]}},
        "campaigns",
    ),
    ToolCall(
        "campaign_management-update_target_bid",
        {"body": {"targets": [{"targetId": "1", "bid": {"bid": DEAR_BID}}]}},
        "targets",
    ),
    ToolCall(
        "campaign_management-update_campaign_state",
        {"body": {"campaigns": [{"campaignId": "1", "state": ENABLED}]}},
        "campaigns",
    ),
    ToolCall("campaign_management-delete_campaign", {"body": {"campaignIds": ["1"]}}),
    ToolCall("new_tools-do_something", {"body": {"x": 1}}),
)


# --- Bodies -------------------------------------------------------------------------------------------------

_SPELLINGS: Final = 5


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a body is written: `chance` chooses among the spellings of each value, name and blank."""

    chance: random.Random
    plain: bool = False

    def write(self, value: Any) -> str:
        """JSON text of a value, with one of its spellings for each `Over`."""
        if isinstance(value, Over):
            return value.spellings[0] if self.plain else self.chance.choice(value.spellings)
        if isinstance(value, dict):
            pairs = list(value.items())
            if not self.plain:
                self.chance.shuffle(pairs)
            members = (f"{self._text(name)}{self._blank()}:{self.write(each)}" for name, each in pairs)
            return "{" + self._blank() + f"{self._blank()},".join(members) + "}"
        if isinstance(value, list):
            return "[" + f",{self._blank()}".join(self._items(value)) + self._blank() + "]"
        return self._text(value) if isinstance(value, str) else json.dumps(value)

    def _items(self, items: list[Any]) -> Iterator[str]:
        """Each item; one that is there again and again in one of a few spellings."""
        known: dict[int, list[str]] = {}
        for item in items:
            spellings = known.setdefault(id(item), [])
            if len(spellings) < _SPELLINGS:
                spellings.append(self.write(item))
                yield spellings[-1]
            else:
                yield self.chance.choice(spellings)

    def _blank(self) -> str:
        return "" if self.plain or self.chance.random() < 0.8 else self.chance.choice((" ", "\n", "\t", "\r\n "))

    def _text(self, text: str) -> str:
        if self.plain or self.chance.random() < 0.6:
            return json.dumps(text)
        return '"' + "".join(self._letter(letter) for letter in text) + '"'

    def _letter(self, letter: str) -> str:
        return f"\\u{ord(letter):04x}" if self.chance.random() < 0.4 else json.dumps(letter)[1:-1]


def harmless(value: Any) -> Any:
    """The same content within the limits."""
    if isinstance(value, Over):
        return value.harmless
    if isinstance(value, dict):
        return {name: harmless(each) for name, each in value.items()}
    return [harmless(each) for each in value] if isinstance(value, list) else value


def is_over_by_value(value: Any) -> bool:
    """Whether something of this content is over by its value; else the operation is."""
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(is_over_by_value, value)) if isinstance(value, list) else isinstance(value, Over)


def among_others(content: Any, in_list: str | None, before: int, after: int) -> Any:
    """The content with so many harmless items around that which is over."""
    if in_list is None:
        return content
    if in_list == "":
        others = [harmless(content[0])]
        return [*others * before, *content, *others * after]
    if in_list in content:
        return {**content, in_list: among_others(content[in_list], "", before, after)}
    return {name: among_others(each, in_list, before, after) for name, each in content.items()}


def _renamed(content: Any, change: Callable[[str], str]) -> Any:
    """The content with each member's name changed."""
    if isinstance(content, dict):
        return {change(name): _renamed(each, change) for name, each in content.items()}
    return [_renamed(each, change) for each in content] if isinstance(content, list) else content


def _without_lists(content: Any) -> Any:
    """The content with the first item of each list instead of the list: some readers take one for the other."""
    if isinstance(content, dict):
        return {name: _without_lists(each) for name, each in content.items()}
    return _without_lists(content[0]) if isinstance(content, list) and content else content


def _in_lists(content: Any) -> Any:
    """The content with a list of one object instead of each object."""
    if isinstance(content, dict):
        return [{name: _in_lists(each) for name, each in content.items()}]
    return [_in_lists(each) for each in content] if isinstance(content, list) else content


SHAPES: Final[dict[str, Callable[[Any], Any]]] = {
    "as it is": lambda content: content,
    "single objects for lists": _without_lists,
    "lists for single objects": _in_lists,
    "a list of bodies": lambda content: [content],
    "lists in lists": lambda content: (
        [[content]] if isinstance(content, list) else {k: [v] for k, v in content.items()}
    ),
    "upper case": lambda content: _renamed(content, str.upper),
    "lower case": lambda content: _renamed(content, str.lower),
    "capitalised": lambda content: _renamed(content, lambda name: name[:1].swapcase() + name[1:]),
    "a blank behind names": lambda content: _renamed(content, lambda name: f"{name} "),
    "a nil behind names": lambda content: _renamed(content, lambda name: f"{name}\0"),
    "snake case": lambda content: _renamed(
        content, lambda name: "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    ),
}
"""Other shapes of a content, as a lenient server might read them too."""


def _twice(text: str, chance: random.Random) -> str:
    """An object whose members are there twice, once harmless."""
    second = text[1:-1]
    empty = '"campaigns":[],"keywords":[],"targets":[],"targetingClauses":[],"portfolios":[],"adGroups":[],"body":{}'
    return f"{{{empty},{second}}}" if chance.random() < 0.5 else f"{{{second},{empty}}}"


ENCODINGS: Final[dict[str, Callable[[str, random.Random], bytes]]] = {
    "UTF-8": lambda text, _: text.encode(),
    "with a mark": lambda text, _: text.encode("utf-8-sig"),
    "UTF-16": lambda text, _: text.encode("utf-16"),
    "UTF-16 without mark": lambda text, _: text.encode("utf-16-le"),
    "UTF-32": lambda text, _: text.encode("utf-32"),
    "UTF-7": lambda text, _: text.encode("utf-7"),
    "a text": lambda text, _: json.dumps(text).encode(),
    "more behind it": lambda text, _: f"{text} {{}}".encode(),
    "more before it": lambda text, _: f"{{}}\n{text}".encode(),
    "a comment": lambda text, _: f"/* {{}} */{text}".encode(),
    "a comma at the end": lambda text, _: f"{text[:-1]},{text[-1]}".encode(),
    "protection": lambda text, _: f")]}}',\n{text}".encode(),
    "blanks": lambda text, _: f" \r\n\t{text}\n\n".encode(),
    "nils": lambda text, _: f"{text}\0".encode(),
    "members twice": lambda text, chance: _twice(text, chance).encode() if text[0] == "{" else text.encode(),
    "single quotes": lambda text, _: text.replace('"', "'").encode(),
    "a form": lambda text, _: b"body=" + text.encode(),
    "percent signs": lambda text, _: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "a broken letter": lambda text, _: text.encode().replace(b"{", b'{"\xff":1,', 1),
    "an overlong quote": lambda text, _: text.encode().replace(b'"', b"\xc0\xa2"),
}
"""How a text becomes bytes."""


# --- Heads --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body: header lines beside those that frame the body."""

    method: bytes
    target: bytes
    lines: tuple[bytes, ...]
    version: bytes = b"HTTP/1.1"

    def with_lines(self, *lines: bytes) -> Head:
        """The same with further lines."""
        return replace(self, lines=(*self.lines, *lines))


def _of_letter(path: bytes, chance: random.Random, change: Callable[[bytes], bytes]) -> bytes:
    at = chance.choice([at for at in range(1, len(path)) if path[at : at + 1].isalpha()])
    return path[:at] + change(path[at : at + 1]) + path[at + 1 :]


def _at_slash(path: bytes, chance: random.Random, instead: bytes) -> bytes:
    at = chance.choice([at for at in range(len(path)) if path[at : at + 1] == b"/"])
    return path[:at] + instead + path[at + 1 :]


TARGETS: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "plain": lambda path, _: path,
    "a slash at the end": lambda path, _: path + b"/",
    "two slashes": lambda path, chance: _at_slash(path, chance, b"//"),
    "an encoded slash": lambda path, chance: _at_slash(path, chance, b"/%2F"),
    "an encoded slash alone": lambda path, chance: b"/" + _at_slash(path[1:] + b"/", chance, b"%2f"),
    "a backslash": lambda path, chance: b"/" + _at_slash(path[1:] + b"/", chance, b"%5c"),
    "an encoded letter": lambda path, chance: _of_letter(path, chance, lambda letter: b"%%%02X" % letter[0]),
    "a letter encoded twice": lambda path, chance: _of_letter(path, chance, lambda letter: b"%%25%02X" % letter[0]),
    "another case": lambda path, chance: _of_letter(path, chance, bytes.swapcase),
    "upper case": lambda path, _: path.upper(),
    "a step back": lambda path, _: b"/x/.." + path,
    "an encoded step back": lambda path, _: b"/x/%2e%2e" + path,
    "in a read": lambda path, _: b"/partnerOpportunities/.." + path.replace(b"/", b"%2f") + b"%3f/applicationStatus",
    "in another read": lambda path, _: b"/stores/.." + path.replace(b"/", b"%2F") + b"%23/insights",
    "in an odd read": lambda path, _: b"/stores/..;" + path.replace(b"/", b"%5C") + b";/insights",
    "in a write without money": lambda path, _: b"/managerAccounts/.." + path.replace(b"/", b"%2f") + b"%3F/associate",
    "in a report": lambda path, _: b"/sd/.." + path.replace(b"/", b"%2f") + b"%00/report",
    "a step on the spot": lambda path, chance: _at_slash(path, chance, b"/./"),
    "parameters of a segment": lambda path, _: path + b";v=1",
    "a suffix": lambda path, _: path + b".json",
    "a blank": lambda path, _: path + b"%20",
    "a nil": lambda path, _: path + b"%00",
    "a question": lambda path, _: path + b"?",
    "a query": lambda path, _: path + b"?a=1&dryRun=true",
    "an override in the query": lambda path, _: path + b"?_method=GET",
    "another override": lambda path, _: path + b"?X-HTTP-Method-Override=GET",
    "the API's host": lambda path, _: b"http://advertising-api.amazon.com" + path,
    "a region": lambda path, _: b"/na" + path,
    "another region": lambda path, chance: chance.choice((b"/eu", b"/fe")) + path,
    "an account": lambda path, _: b"/@default" + path,
    "an account and a region": lambda path, _: b"/@default/eu" + path,
    "an encoded account": lambda path, _: b"/%40default/na" + path,
    "an own path": lambda path, _: b"/-" + path,
}
"""How a path can be spelled."""

TYPES: Final[tuple[tuple[bytes, ...] | None, ...]] = (
    *((None,) * 4),  # the right one
    *((), (b"application/json",), (b"application/json; charset=utf-8",), (b"application/json;charset=utf-16",)),
    *((b"text/plain",), (b"application/x-www-form-urlencoded",), (b"multipart/form-data; boundary=x",), (b"",)),
    *((b"application/vnd.spCampaign.v4+json",), (b"application/vnd.spKeyword.v3+json",), (b"application/xml",)),
    *((b"application/json", b"text/plain"), (b"application/json, text/plain",), (b"*/*",), (b"application/cbor",)),
    *((b"application/vnd.spcampaign.v3+json",), (b"APPLICATION/JSON",), (b"application/graphql",), (b"json",)),
    (b"application/vnd.spTargetingClause.v3+json",),
)
"""Values of Content-Type; None for that of the write."""

LINES: Final = (
    *(b"X-HTTP-Method-Override: GET", b"X-Http-Method: PUT", b"X-Method-Override: POST", b"X-Original-URL: /x"),
    *(b"X-Rewrite-URL: /v2/profiles", b"X_HTTP_Method_Override: GET", b"Accept: application/json", b"Prefer: x=y"),
    *(b"Content-Language: de", b"Content-Transfer-Encoding: base64", b"Content-MD5: x", b"Range: bytes=0-1"),
    *(b"Connection: Content-Type", b"Connection: close", b"Connection: X-Ads-Proxy-Key", b"TE: trailers"),
    *(b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c\r\nConnection: Upgrade"),
    *(b"Amazon-Advertising-API-Scope: 22", b"Amazon-Advertising-API-Scope: 404", b"Content-Range: bytes 0-1/2"),
    *(b"Amazon-Ads-AccountId: amzn1.ads-account.g.x", b"Content-Type : application/json", b"X-Ads-Region: eu"),
    *(b"Content_Type: text/plain", b"Content-Encoding: gzip", b"X-Amz-Target: Reads.Get"),
)
"""Header lines that might change what a request means."""
CODINGS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda body: body,
    b"identity": lambda body: body,
    b"gzip, identity": gzip.compress,
    b"aws-chunked": lambda body: b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
}
"""Values of Content-Encoding, and what they do to a body."""


def framed(head: Head, body: bytes, chance: random.Random) -> bytes:
    """The bytes of a request, with one of the ways to tell where its body ends."""
    lines: tuple[bytes, ...]
    match chance.randrange(8):
        case 0:
            lines, data = (b"Transfer-Encoding: chunked",), _chunked(body, chance) + b"0\r\n\r\n"
        case 1:
            lines, data = (b"Transfer-Encoding: chunked", b"Trailer: X-HTTP-Method-Override"), _chunked(body, chance)
            data += b"0\r\nX-HTTP-Method-Override: GET\r\nContent-Type: text/plain\r\n\r\n"
        case 2:
            lines, data = (b"Expect: 100-continue", b"Content-Length: %d" % len(body)), body
        case 3:
            head, lines, data = replace(head, version=b"HTTP/1.0"), (b"Content-Length: %d" % len(body),), body
        case _:
            lines, data = (b"Content-Length: %d" % len(body),), body
    section = b"".join(line + b"\r\n" for line in (*head.lines, *lines))
    return b"%b %b %b\r\n%b\r\n%b" % (head.method, head.target, head.version, section, data)


def _chunked(body: bytes, chance: random.Random) -> bytes:
    size = max(1, len(body) // chance.choice((1, 2, 7)))
    extension = chance.choice((b"", b"", b";x=1"))
    cut = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in cut)


# --- Messages of MCP ----------------------------------------------------------------------------------------

_MESSAGE: Final = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
_PING: Final = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
_READ: Final = {**_MESSAGE, "id": 8, "params": {"name": "campaign_management-query_campaign", "arguments": {}}}
_INVOKE: Final = "amazon_ads_mcp-invoke_tool"


def _call(tool: str, arguments: Any, **others: Any) -> dict[str, Any]:
    return {**_MESSAGE, "params": {"name": tool, "arguments": arguments, **others}}


def _as_text(value: Any) -> str:
    return Spelling(random.Random(0), plain=True).write(value)


def _invoked(name: str, given: str) -> Callable[[str, Any], Any]:
    return lambda tool, arguments: _call(_INVOKE, {name: tool, given: arguments})


MESSAGES: Final[dict[str, Callable[[str, Any], Any]]] = {
    "a call": _call,
    "a notification": lambda tool, arguments: {k: v for k, v in _call(tool, arguments).items() if k != "id"},
    "a list": lambda tool, arguments: [_call(tool, arguments)],
    "last of a list": lambda tool, arguments: [_PING, _READ, _call(tool, arguments)],
    "first of a list": lambda tool, arguments: [_call(tool, arguments), _READ, _PING],
    "below arguments": lambda tool, arguments: _call(tool, {"arguments": arguments}),
    "without body": lambda tool, arguments: _call(tool, arguments["body"]),
    "body twice": lambda tool, arguments: _call(tool, {"body": arguments}),
    "a skill beside it": lambda tool, arguments: _call(tool, {**arguments, "skill": "budgets"}),
    "an account beside it": lambda tool, arguments: _call(tool, {**arguments, "advertiserAccountId": "x"}),
    "an empty body beside it": lambda tool, arguments: _call(tool, {"body": {}, "Body": arguments["body"]}),
    "arguments in a text": lambda tool, arguments: _call(tool, _as_text(arguments)),
    "a body in a text": lambda tool, arguments: _call(tool, {"body": _as_text(arguments["body"])}),
    "a body in a list": lambda tool, arguments: _call(tool, {"body": [arguments["body"]]}),
    "arguments in a list": lambda tool, arguments: _call(tool, [arguments]),
    "params in a list": lambda tool, arguments: {**_MESSAGE, "params": [{"name": tool, "arguments": arguments}]},
    "another name for arguments": lambda tool, arguments: {**_MESSAGE, "params": {"name": tool, "args": arguments}},
    "two kinds of arguments": lambda tool, arguments: _call(tool, {}, input=arguments),
    "answers to a question": lambda tool, arguments: _call(
        tool, harmless(arguments), inputResponses={"q": {"action": "accept", "content": arguments["body"]}}
    ),
    "a name in another case": lambda tool, arguments: _call(tool.upper(), arguments),
    "a name of another server": lambda tool, arguments: _call(f"amazon/{tool}", arguments),
    "a name with blanks": lambda tool, arguments: _call(f" {tool} ", arguments),
    "another method": lambda tool, arguments: {**_call(tool, arguments), "method": "tools/Call"},
    "another prompt": lambda tool, arguments: {**_call(tool, arguments), "method": "tools/invoke"},
    "a task": lambda tool, arguments: _call(tool, arguments, task={"ttl": 1000}),
    "an answer, too": lambda tool, arguments: {**_call(tool, arguments), "result": {}},
    "called by a called one": lambda tool, arguments: _call(
        _INVOKE, {"name": _INVOKE, "arguments": {"name": tool, "arguments": arguments}}
    ),
    "a text for a called one": lambda tool, arguments: _call(_INVOKE, {"name": tool, "arguments": _as_text(arguments)}),
    "two names for a called one": lambda tool, arguments: _call(
        _INVOKE, {"name": "campaign_management-query_campaign", "tool_name": tool, "arguments": arguments}
    ),
    "arguments beside a called one": lambda tool, arguments: _call(_INVOKE, {"name": tool, **arguments}),
    "two kinds for a called one": lambda tool, arguments: _call(
        _INVOKE, {"name": tool, "arguments": harmless(arguments), "args": arguments}
    ),
    **{
        f"invoked, {name} and {given}": _invoked(name, given)
        for name in ("name", "tool_name", "toolName", "tool")
        for given in ("arguments", "args", "parameters", "params", "input")
    },
}
"""How a call can be put into a message."""
MCP_LINES: Final = (
    *(b"Mcp-Method: ping", b"Mcp-Name: campaign_management-query_campaign", b"Mcp-Param-Budget: 1000"),
    *(b"MCP-Protocol-Version: 2026-07-28", b"MCP-Protocol-Version: 2025-06-18", b"Mcp-Session-Id: x"),
)
