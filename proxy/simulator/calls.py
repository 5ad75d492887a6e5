"""One request to the Ads API that passed the checks, as its handlers see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from proxy.simulator.answers import Answer, Refusal, error_answer, json_answer
from proxy.simulator.checks import Head, answer_media_type
from proxy.simulator.s3 import presign
from proxy.simulator.write_rules import load_write_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.limits import Caller
    from proxy.simulator.operations import Operation
    from proxy.simulator.spending import Action
    from proxy.simulator.state import SimulatorState
    from proxy.simulator.write_rules import Misfit, WriteRule

JsonObject = dict[str, Any]
Listed = TypeVar("Listed")


class CallRefused(Exception):
    """A call whose body breaks a rule that others keep with their headers."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class BodyUnreadable(CallRefused):
    """A body that is no JSON, or not of the shape that the operation needs."""

    def __init__(self, reason: str) -> None:
        super().__init__(Refusal(400, "body", "INVALID_ARGUMENT", reason))


class ItemRefused(Exception):
    """One of several items is refused; `errors` say why, in the form of its API."""

    def __init__(self, *errors: JsonObject) -> None:
        super().__init__(*errors)
        self.errors = list(errors)


def _refuse_constant(name: str) -> object:
    """Raises ValueError for NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True, slots=True)
class Call:
    """`path` and `query` are as sent. `api_url` is this API host as the client addressed it; `s3_url` leads to S3.

    `note` remembers a refusal of the call in the ledger.
    """

    state: SimulatorState
    region: str
    method: str
    path: str
    query: str
    head: Head
    operation: Operation | None
    caller: Caller
    body: bytes
    api_url: str
    s3_url: str
    note: Callable[[Refusal], None]

    @property
    def scope(self) -> str:
        """The profile, empty where the call has none."""
        return self.caller.scope or ""

    @property
    def template(self) -> str:
        """The path of the operation as the specification writes it; of an unknown one, the path itself."""
        return self.operation.template if self.operation else self.path.rstrip("/")

    @property
    def write_rule(self) -> WriteRule | None:
        """What the specification says of the objects that the call writes, if the table has it."""
        return load_write_rules().get((self.method, self.template))

    def misfits(self, given: Any) -> list[Misfit]:
        """What is wrong with an object that the call writes."""
        rule, settings = self.write_rule, self.state.settings
        if rule is None:
            return []
        return rule.misfits(given, members=settings.strict_members, number_texts=settings.number_texts)

    def record(self, owner: str, action: Action, object_id: str, given: JsonObject) -> None:
        """Notes that the call wrote an object of a profile or account, so that `GET /_sim/spend` shows it."""
        did = f"{self.method} {self.template}", action, object_id
        self.state.spending.note((self.region, owner), self.state.today(), did, given)

    def parameters(self) -> dict[str, str]:
        """The query's parameters; of a repeated one, the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def json(self) -> Any:
        """The body, None if empty."""
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except ValueError as error:
            raise BodyUnreadable(f"the body is not valid JSON: {error}") from error

    def json_object(self) -> dict[str, Any]:
        """The body, which must be an object; empty if there is none."""
        value = self.json()
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BodyUnreadable("the body must be a JSON object")
        return value

    def json_list(self, name: str | None = None) -> list[dict[str, Any]]:
        """A list of objects: the body itself, or its member `name`."""
        value = self.json_object().get(name, []) if name else (self.json() or [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise BodyUnreadable(f"{name or 'the body'} must be a list of JSON objects")
        return value

    def answer(self, value: Any, status: int = 200) -> Answer:
        """A JSON answer in the media type that the client and the specification agree on."""
        return json_answer(value, status, answer_media_type(self.head, self.operation))

    def missing(self, what: str) -> Answer:
        """The thing does not exist."""
        return error_answer(404, "NOT_FOUND", f"{what} does not exist")

    def presigned(self, path: str, method: str = "GET", lifetime: float | None = None) -> str:
        """A URL at S3 that is good for some seconds, by default a short time."""
        seconds = self.state.settings.presigned_lifetime if lifetime is None else lifetime
        return presign(self.state, self.s3_url + path, method, seconds)


def carry_out_each(
    member: str, items: list[Any], act: Callable[[str, Any], JsonObject]
) -> tuple[list[JsonObject], list[JsonObject]]:
    """The successes and the errors of the items in a member of the body, each with its index.

    `act` gets the place of an item in the body and the item. It returns members of the success, or raises ItemRefused.
    """
    success, errors = [], []
    for index, item in enumerate(items):
        try:
            success.append({"index": index, **act(f"$.{member}[{index}]", item)})
        except ItemRefused as refused:
            errors.append({"index": index, "errors": refused.errors})
    return success, errors


def page_of(found: list[Listed], wanted: JsonObject, bounds: tuple[int, int]) -> tuple[list[Listed], JsonObject]:
    """One page by the body's `maxResults` and `nextToken`, and the member that leads to the next page, if there is one.

    `bounds` are the least and most of a page. BodyUnreadable where a number is out of bounds.
    """
    least, most = bounds
    size = wanted.get("maxResults", most)
    if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= most:
        raise BodyUnreadable(f"maxResults is a number from {least} to {most}")
    start = str(wanted.get("nextToken") or "page-0").removeprefix("page-")
    if not start.isdecimal() or int(start) > len(found):
        raise BodyUnreadable("nextToken is none that was given out")
    end = int(start) + size
    return found[int(start) : end], {"nextToken": f"page-{end}"} if end < len(found) else {}
