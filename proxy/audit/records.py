"""Which events are worth a record of the audit stream, and what such a record says, in the field names of ECS.

What changes the outside or the inside is: writes to Amazon, sign-ins, consents, keys, reloads, who used the admin
listener (docs/reference/audit.md). A record holds names and numbers: no body, no query, no value of a configuration, no
secret.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from proxy import events
from proxy.audit.changed_objects import MAX_CHARACTERS
from proxy.events import (
    NEEDS_OPERATOR,
    AdminRefused,
    AdminSignedIn,
    ClientKeyChanged,
    ClientKeysInForce,
    CredentialState,
    CredentialStateChanged,
    Event,
    Outcome,
    RequestFinished,
    SignInOutcome,
    TokenRefreshed,
    may_change,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.events import ChangedObjects, RequestKind, SpendJudgement


# --- Which events are worth a record of the audit stream, and what such a record says, in the field ------

ECS_VERSION: Final = "8.17.0"
DATASET: Final = "ads_proxy.audit"
ADMIN: Final = "admin"
"""The user of the admin listener: it has one key, so users are not distinguished."""
MAX_TEXT: Final = 512
SUCCESS: Final = Outcome.SUCCESS.value
FAILURE: Final = Outcome.FAILURE.value
UNKNOWN: Final = Outcome.UNKNOWN.value
WRITE: Final = "amazon-write"
"""The action of the record of a request that was sent to Amazon and may have changed something there."""
_READING_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
HELD_BACK: Final = "write-held-back"
"""The action of the record of a write that was judged by spend limits and not sent."""
BEGUN: Final = "amazon-write-begun"
"""The action of the record that is written before a write leaves."""
NOT_SENT: Final = "amazon-write-not-sent"
"""The action of the record of a write that was begun, and did not leave."""
_MAX_VIOLATIONS: Final = 20
"""Violations of a write that its record holds."""


def record_of(event: Event) -> dict[str, Any] | None:
    """What the stream says of an event, without time and place; None where it says nothing."""
    make = _MAKERS.get(type(event))
    return make(event) if make is not None else None


def is_refused_read(record: Mapping[str, Any]) -> bool:
    """Whether a record is of a request whose method only reads (RFC 9110, 9.2.1), and that Amazon refused: whatever its
    operation may do, it changed nothing."""
    return is_refused(record) and part(record, "http", "request").get("method") in _READING_METHODS


def is_refused(record: Mapping[str, Any]) -> bool:
    """Whether a record is of a write that was answered 4xx."""
    event, status = part(record, "event"), part(record, "http", "response").get("status_code")
    failed = event.get("action") == WRITE and event.get("outcome") == FAILURE
    return failed and isinstance(status, int) and 400 <= status < 500


def name_of(record: Mapping[str, Any]) -> str:
    """What people call the operation of a write: Amazon's name, or the request itself."""
    known = part(record, "ads_proxy").get("operation", UNKNOWN)
    if known != UNKNOWN:
        return str(known)
    method, path = part(record, "http", "request").get("method", ""), part(record, "url").get("path", "")
    return f"{method} {path}".strip() or UNKNOWN


def part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object that is found by these names, one within the other; empty for anything else."""
    for name in names:
        found = record.get(name)
        record = found if isinstance(found, dict) else {}
    return record


def note(action: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What the stream says of itself."""
    failed = "cut" in said or "lost" in said
    return {
        **_event(action, "process", "info", FAILURE if failed else SUCCESS),
        **({"ads_proxy": dict(said)} if said else {}),
    }


def dated(record: Mapping[str, Any], now: float) -> dict[str, Any]:
    """A record with its time."""
    return {"@timestamp": stamp(now), "ecs": {"version": ECS_VERSION}, **record}


def stamp(now: float) -> str:
    """A moment as records have it, in milliseconds."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    """A record whose texts are masked by `clean`, and no longer than they may be."""
    if isinstance(value, str):
        return clean(value)[:MAX_TEXT]
    if isinstance(value, dict):
        return {key: cleaned(item, clean) for key, item in value.items()}
    if isinstance(value, list):
        return [cleaned(item, clean) for item in value]
    return value


class RecordSink(Protocol):
    """Where records go: `AuditStream.put`. `write` marks the record of a request to Amazon."""

    def __call__(self, record: Mapping[str, Any], *, write: bool = False) -> None: ...


class AuditTrail:
    """The observer that hands records to the stream. `clean` masks what is known to be secret in a text."""

    def __init__(self, put: RecordSink, clean: Callable[[str], str], wall: Callable[[], float]) -> None:
        self._put, self._clean, self._wall = put, clean, wall
        self._in_need: dict[str, str] = {}
        """The state in which an account last needed a person; such an account does not work again yet."""

    def __repr__(self) -> str:
        return "<AuditTrail>"

    def observe(self, event: Event) -> None:
        if isinstance(event, CredentialStateChanged):
            event = self._since_need(event)
        record = record_of(event)
        if record is not None:
            self._put(dated(cleaned(record, self._clean), self._wall()), write=isinstance(event, RequestFinished))

    def _since_need(self, event: CredentialStateChanged) -> CredentialStateChanged:
        """An account can work again after states in between, in which other credentials are tried."""
        if event.new in NEEDS_OPERATOR:
            self._in_need[event.account] = event.new
        elif event.new == CredentialState.VALID:
            return replace(event, old=self._in_need.pop(event.account, event.old))
        return event


# --- records ------------------------------------------------------------------------------------------------


def _event(action: str, category: str, kind: str, outcome: str, why: str = "") -> dict[str, Any]:
    said = {
        "kind": "event",
        "dataset": DATASET,
        "action": action,
        "category": [category],
        "type": [kind],
        "outcome": outcome,
    }
    return {"event": {**said, "reason": why} if why else said}


def begun(kind: RequestKind) -> dict[str, Any]:
    """What the records of such writes share that are about to leave: they have neither a time nor a request id."""
    return {
        "ecs": {"version": ECS_VERSION},
        **_event(BEGUN, "api", "start", UNKNOWN),
        "user": {"name": kind.client, **({"id": kind.subject} if kind.subject else {})},
        "http": {"request": {"method": kind.method}},
        **_own(
            account=kind.account,
            region=kind.region,
            profile=kind.profile,
            ads_account=kind.ads_account,
            operation=kind.operation,
            operation_class=kind.operation_class,
        ),
    }


def not_sent(request_id: str) -> dict[str, Any]:
    """What became of a write that was on record, and could not be sent as the disk did not take the record at once."""
    why = "The audit stream could not be written in time."
    return {**_event(NOT_SENT, "api", "end", FAILURE, why), "http": {"request": {"id": request_id}}}


def _stamp(at: float | None) -> str | None:
    """A moment as ECS writes it."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _own(**values: object) -> dict[str, Any]:
    """What ECS has no name for, under ours; empty values are left out."""
    return {"ads_proxy": {name: value for name, value in values.items() if value not in ("", None, [])}}


def _write(event: RequestFinished) -> dict[str, Any] | None:
    """A request that left for Amazon and may have changed something there, or that spend limits were asked about."""
    if event.spend is None and not (may_change(event.operation_class) and event.attempts):
        return None
    why = event.refusal or event.fault
    if event.attempts:
        begin = _event(WRITE, "api", "change", event.outcome or _by_status(event), why)
    else:
        begin = _event(HELD_BACK, "api", "denied", FAILURE, why)
    record = {
        **begin,
        "user": {"name": event.client, **({"id": event.subject} if event.subject else {})},
        "http": {
            "request": {"id": event.request_id, "method": event.method},
            "response": {"status_code": event.status},
        },
        "url": {"path": event.path},
        **_own(
            account=event.account,
            region=event.region,
            profile=event.profile,
            ads_account=event.ads_account,
            operation=event.operation,
            operation_class=event.operation_class,
            mcp_tools=list(event.mcp_tools),
            spend=_judged(event.spend) if event.spend is not None else None,
            items=event.items.members if event.items is not None else None,
            **(_changes(event.changes) if event.changes is not None else {}),
            amazon_request_id=event.amazon_request_id,
            attempts=event.attempts,
        ),
    }
    if event.changes is not None:
        record["ads_proxy"].setdefault("objects", [])  # what is not there was not recorded
    return {**record, "user_agent": {"original": event.user_agent}} if event.user_agent else record


def _judged(judged: SpendJudgement) -> dict[str, object]:
    """What spend limits say of a write, with the values before and after an approved one, as far as there is room."""
    members = judged.members(_MAX_VIOLATIONS)
    changes = judged.approval.changes if judged.approval is not None else ()
    kept, characters = 0, 0
    for each in changes:
        characters += sum(map(len, filter(None, each)))
        if characters > MAX_CHARACTERS:
            break
        kept += 1
    if kept < len(changes):
        members |= {"changes": [each.members for each in changes[:kept]], "further_changes": len(changes) - kept}
    return members


def _changes(changes: ChangedObjects) -> dict[str, object]:
    """What a write named and set."""
    values = [
        {**({"object": each.object} if each.object else {}), "member": each.member, "value": each.value}
        for each in changes.values
    ]
    return {
        "objects": list(changes.objects),
        "further_objects": changes.further or None,
        "members": list(changes.members),
        "further_members": changes.further_members or None,
        "values": values,
        "further_values": changes.further_values or None,
        "unread": list(changes.unread),
    }


def _by_status(event: RequestFinished) -> str:
    """What became of a request whose response holds no results: a GET of an unknown operation."""
    if event.refusal or event.fault or not event.status:
        return UNKNOWN
    return SUCCESS if event.status < 400 else FAILURE


def _sign_in(event: events.SignInFinished) -> dict[str, Any] | None:
    """Only one that began here: any stranger can call the redirect address, as often as they like."""
    if not event.account:
        return None
    outcome = SUCCESS if event.outcome is SignInOutcome.CONNECTED else FAILURE
    return {
        **_event("sign-in", "authentication", "start", outcome, event.outcome.value),
        **_own(account=event.account, detail=event.detail),
    }


def _state(event: CredentialStateChanged) -> dict[str, Any] | None:
    """Only states that a person must fix, and that the account works again."""
    needs = event.new in NEEDS_OPERATOR
    if event.old == event.new or not (needs or (event.old in NEEDS_OPERATOR and event.new == CredentialState.VALID)):
        return None
    outcome = FAILURE if needs else SUCCESS
    return {**_event(f"account-{event.new}", "iam", "change", outcome), **_own(account=event.account)}


def _refreshed(event: TokenRefreshed) -> dict[str, Any] | None:
    """Only one that a person asked for."""
    if event.trigger is not events.RefreshCause.OPERATOR:
        return None
    return {**_by_admin("token-refreshed", "iam", "change"), **_own(account=event.account)}


def _by_admin(action: str, category: str, kind: str) -> dict[str, Any]:
    return {**_event(action, category, kind, SUCCESS), "user": {"name": ADMIN}}


def _reloaded(event: events.ConfigReloaded) -> dict[str, Any]:
    record = {
        **_event("configuration-reloaded", "configuration", "change", SUCCESS if event.success else FAILURE),
        **_own(changed=list(event.changed), needs_restart=list(event.needs_restart)),
    }
    return {**record, "error": {"message": "; ".join(event.problems)}} if event.problems else record


def _key(event: ClientKeyChanged) -> dict[str, Any]:
    kinds = {"added": "creation", "removed": "deletion", "ended": "deletion", "changed": "change"}
    return {
        **_event(f"client-key-{event.change}", "iam", kinds[event.change], SUCCESS),
        "user": {"name": event.client},
        **_own(key=event.key, note=event.note, ends_at=_stamp(event.ends_at)),
    }


def _consent_ending(event: events.ConsentEnding | events.ConsentEnded) -> dict[str, Any]:
    ended = isinstance(event, events.ConsentEnded)
    action, outcome = ("consent-ended", FAILURE) if ended else ("consent-ending", SUCCESS)
    days = None if isinstance(event, events.ConsentEnded) else event.days
    return {
        **_event(action, "iam", "info", outcome),
        **_own(account=event.account, ends_at=_stamp(event.ends_at), days=days),
    }


def _admin(event: AdminSignedIn | AdminRefused) -> dict[str, Any]:
    came_in = isinstance(event, AdminSignedIn)
    why = "" if came_in else "The key is not the admin key."
    record = {
        **_event("admin-login", "authentication", "start", SUCCESS if came_in else FAILURE, why),
        "user": {"name": ADMIN},
        "source": {"ip": event.address},
    }
    return record if isinstance(event, AdminSignedIn) else {**record, "url": {"path": event.path}}


def _approver(event: events.ApproverRefused) -> dict[str, Any]:
    """A client that tries to approve its own writes is named."""
    return {
        **_event("approver-login", "authentication", "start", FAILURE, "The key is not one of an approver."),
        "user": {"name": event.client},
        "source": {"ip": event.address},
        "url": {"path": event.path},
    }


def _freeze(event: events.WritesFrozen | events.WritesUnfrozen) -> dict[str, Any] | None:
    """Only where it was done: the other replicas hear of it, and a program reads it again at each start."""
    if event.heard:
        return None
    action = "writes-frozen" if isinstance(event, events.WritesFrozen) else "writes-unfrozen"
    return {
        **_event(action, "configuration", "change", SUCCESS, event.because),
        "user": {"name": event.by},
        **_own(client=event.client),
    }


def _approval(
    event: events.ApprovalRequested | events.ApprovalDecided | events.ApprovalEnded,
    action: str,
    who: str,
    **said: object,
) -> dict[str, Any]:
    """What becomes of an approval; `who` did it, empty where time or a change did."""
    kind = "info" if isinstance(event, events.ApprovalRequested) else "change"  # so far a client has only asked
    record = {
        **_event(action, "configuration", kind, SUCCESS, str(said.pop("because", ""))),
        **_own(approval=event.id, client=event.client, operation=event.operation, **said),
    }
    return {**record, "user": {"name": who}} if who else record


_MAKERS: Final[dict[type[Event], Callable[[Any], dict[str, Any] | None]]] = {
    RequestFinished: _write,
    events.SignInFinished: _sign_in,
    CredentialStateChanged: _state,
    TokenRefreshed: _refreshed,
    events.ConfigReloaded: _reloaded,
    ClientKeyChanged: _key,
    events.ConsentEnding: _consent_ending,
    events.ConsentEnded: _consent_ending,
    AdminSignedIn: _admin,
    AdminRefused: _admin,
    events.ApproverRefused: _approver,
    events.WritesFrozen: _freeze,
    events.WritesUnfrozen: _freeze,
    events.ApprovalRequested: lambda e: _approval(
        e, "approval-requested", e.client, rules=list(e.rules), ends_at=_stamp(e.expires_at)
    ),
    events.ApprovalDecided: lambda e: _approval(
        e, "approval-decided", e.approver, state=e.state.value, because=e.because
    ),
    events.ApprovalEnded: lambda e: _approval(
        e,
        "approval-ended",
        e.client if e.state is events.ApprovalState.USED else "",
        state=e.state.value,
        because=e.because,
    ),
    events.InvitationMade: lambda e: {
        **_by_admin("invitation-made", "iam", "creation"),
        **_own(account=e.account, invitation=e.invitation, ends_at=_stamp(e.expires_at)),
    },
    events.InvitationUsed: lambda e: {
        **_event("invitation-used", "iam", "change", SUCCESS),
        **_own(account=e.account, invitation=e.invitation),
    },
    events.RefreshTokenReplaced: lambda e: {
        **_event("refresh-token-replaced", "iam", "change", SUCCESS),
        **_own(account=e.account, source=e.source),
    },
    events.RefreshTokenLost: lambda e: {
        **_event("refresh-token-lost", "iam", "deletion", FAILURE),
        **_own(account=e.account, detail=e.detail),
    },
    events.AccountRemoved: lambda e: {
        **_event("account-removed", "iam", "deletion", SUCCESS),
        **_own(account=e.account),
    },
    events.ServerStarted: lambda e: {
        **_event("server-started", "process", "start", SUCCESS),
        **_own(version=e.version, listen=e.listen, admin_listen=e.admin_listen, accounts=list(e.accounts)),
    },
    ClientKeysInForce: lambda e: {
        **_event("client-keys-in-force", "iam", "info", SUCCESS),
        **_own(keys=list(e.keys)),
    },
    events.ServerStopped: lambda e: {**_event("server-stopped", "process", "end", SUCCESS), **_own(cut=e.cut)},
}
