"""The console's pages about approvals, as the server makes them: they need no script.

Who may look and who may decide is for `approval_console`. Most texts here are those of a client that wants its write
approved. So each is masked, escaped and isolated; a character that could hide or reorder others is shown as its code,
and whatever is left out is said to be.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from proxy.admin.pages import prose
from proxy.events import ApprovalState
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from proxy.events import SpendViolation, ValueChange
    from proxy.spend.approvals import Approval

PATH: Final = "/approvals"
TITLE: Final = "What waits for approval?"
MAX_LIVE: Final = 50
"""Approvals on a page that wait for a decision, or for their write."""
MAX_ENDED: Final = 20
MAX_ROWS: Final = 10
"""Changes and violations of an approval in the queue; the page of the approval has all."""
MAX_TEXT: Final = 300
"""Characters of a text in the queue."""
MAX_WHOLE_TEXT: Final = 4000
MAX_REASON: Final = 500
NOT_KNOWN: Final = "not known"

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · ads-proxy</title>
<link rel="stylesheet" href="/console/static/console.css">
<link rel="icon" href="/console/static/icon.svg" type="image/svg+xml">
</head>
<body>
<a class="skip" href="#content">Skip to the approvals</a>
<header>
<p class="brand"><a href="/">ads-proxy</a></p>
{who}
</header>
<main id="content" tabindex="-1">
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_STATES: Final = {
    ApprovalState.PENDING: ("busy", "waits for a decision"),
    ApprovalState.APPROVED: ("good", "approved, not sent yet"),
    ApprovalState.DENIED: ("bad", "denied"),
    ApprovalState.EXPIRED: ("plain", "expired"),
    ApprovalState.USED: ("good", "approved and sent"),
    ApprovalState.VOID: ("plain", "void"),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at a page. `approver` is who is signed in, `decides_as` in whose name a button decides: both are empty
    for one that only looks. `has_approvers` tells whether some approver could sign in. `now` is wall-clock time."""

    now: float
    approver: str = ""
    decides_as: str = ""
    has_approvers: bool = True


class ApprovalPages:
    """Renders approvals. `clean` masks the proxy's own secrets in a text."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean

    def __repr__(self) -> str:
        return "<ApprovalPages>"

    def queue(
        self, approvals: Sequence[Approval], reader: Reader, decided: Approval | None = None, client: str = ""
    ) -> str:
        """The page of all approvals, or of those of one client; `decided` is the one about which a button was just
        pressed."""
        shown = [each for each in approvals if client in ("", each.write.client)]
        pending = [each for each in shown if each.state is ApprovalState.PENDING]
        approved = [each for each in shown if each.state is ApprovalState.APPROVED]
        ended = sorted(
            (each for each in shown if not each.is_live), key=lambda each: each.ended_at or 0.0, reverse=True
        )
        parts = [
            f'<p class="notice" role="status">{self.outcome(decided)}</p>' if decided is not None else "",
            "<p>Each of these writes is over a limit of its client. The proxy sends none by itself: an approved write "
            "passes once, when its client sends it again.</p>",
            _notes(reader),
            self._clients(approvals, client),
            f"<h2>Waiting for a decision ({len(pending)})</h2>",
            self._cards(pending, reader) or '<p class="quiet">No write waits for a decision.</p>',
            f"<h2>Approved, not sent yet ({len(approved)})</h2>" if approved else "",
            self._cards(approved, reader),
            "<h2>Decided lately</h2>",
            self._lately(ended, reader) if ended else '<p class="quiet">Nothing was decided in the last week.</p>',
        ]
        return self._page(TITLE, parts, reader)

    def single(self, approval: Approval, reader: Reader) -> str:
        """The page of one approval, with everything that is known of it."""
        parts = [
            _notes(reader),
            self._card(approval, reader, rows=None),
            f'<p><a href="{PATH}">{TITLE}</a></p>',
        ]
        return self._page(f"Approval {approval.id}", parts, reader)

    def ask_key(self, target: str, problem: str = "") -> str:
        """The page that asks for an approver's key, and leads to `target` then."""
        parts = [_trouble(problem), _key_form(target)]
        back = '<p class="quiet">The <a href="/">console</a> needs the admin key, and shows approvals too.</p>'
        return _PAGE.format(title="Sign in as an approver", who="", body="\n".join([*parts, back]))

    def ended_before(self, approval: Approval, reader: Reader) -> str:
        """The page after a decision that came too late."""
        parts = [
            f'<p class="trouble" role="alert">Your decision changed nothing. {self.outcome(approval)}</p>',
            f'<p><a class="button" href="{PATH}">{TITLE}</a> <a href="{_path(approval)}">This approval</a></p>',
        ]
        return self._page("This was decided before", parts, reader)

    def unknown(self, reader: Reader) -> str:
        """The page for an id that no approval has."""
        parts = [
            "<p>No approval has this id. Each is forgotten a week after its end, and with the client's entry in the "
            "configuration.</p>",
            f'<p><a href="{PATH}">{TITLE}</a></p>',
        ]
        return self._page("Unknown approval", parts, reader)

    def outcome(self, approval: Approval) -> str:
        """What became of an approval: HTML of whole sentences."""
        write, by = f"{self._code(approval.write.operation)} of {self._text(approval.write.client)}", self._by(approval)
        when = f" on {_time(approval.ended_at or approval.decided_at or approval.asked_at)}"
        why = f" Reason: {self._text(approval.because)}" if approval.because else ""
        said = {
            ApprovalState.PENDING: f"{write} waits for a decision.",
            ApprovalState.APPROVED: f"{by} approved {write}{when}. It passes once, if the client sends it again by "
            f"{_time(approval.expires_at)}.",
            ApprovalState.DENIED: f"{by} denied {write}{when}.",
            ApprovalState.EXPIRED: f"The approval of {write} expired{when}, and the write was not sent.",
            ApprovalState.USED: f"{by} approved {write}, and the client sent it{when}.",
            ApprovalState.VOID: f"The approval of {write} became void{when}, and the write was not sent.",
        }
        return said[approval.state] + why

    # --- parts of a page

    def _page(self, title: str, parts: Iterable[str], reader: Reader) -> str:
        who = ""
        if reader.approver:
            who = (
                f'<p class="quiet">Signed in as approver {self._text(reader.approver)}</p>\n'
                f'<form method="post" action="{PATH}/session/end"><button type="submit" class="plain">Sign out</button>'
                "</form>"
            )
        return _PAGE.format(title=escape(title), who=who, body="\n".join(part for part in parts if part))

    def _clients(self, approvals: Sequence[Approval], chosen: str) -> str:
        """Links to the approvals of each client: one that asks a hundred times hides no other."""
        waiting = Counter(each.write.client for each in approvals if each.state is ApprovalState.PENDING)
        if len(waiting) < 2 and not chosen:
            return ""
        names = [("", f"all clients ({waiting.total()})"), *((name, f"{name} ({waiting[name]})") for name in waiting)]
        links = [
            f"<strong>{self._text(words)}</strong>"
            if name == chosen
            else f'<a href="{PATH}{f"?client={quote(name)}" if name else ""}">{self._text(words)}</a>'
            for name, words in names
        ]
        return f"<p>Waiting: {' · '.join(links)}</p>"

    def _cards(self, approvals: Sequence[Approval], reader: Reader) -> str:
        if not approvals:
            return ""
        cards = "\n".join(f"<li>{self._card(each, reader, MAX_ROWS)}</li>" for each in approvals[:MAX_LIVE])
        return f'<ul class="approvals">\n{cards}\n</ul>{_left_out(len(approvals) - MAX_LIVE)}'

    def _card(self, approval: Approval, reader: Reader, rows: int | None) -> str:
        """One approval, with at most so many rows in each table; None for all. The buttons are where all rows are."""
        write, (tone, words) = approval.write, _STATES[approval.state]
        most = MAX_WHOLE_TEXT if rows is None else MAX_TEXT
        facts = [
            ("Client", self._text(write.client)),
            ("Account", self._text(", ".join(filter(None, (write.account, write.region))))),
            ("Ads account" if write.scope.startswith("amzn1.") else "Profile", self._code(write.scope or "none", most)),
            ("Target", self._code(write.target, most)),
            ("Asked", _moment(approval.asked_at, reader.now)),
            (_until(approval), _moment(approval.expires_at, reader.now)),
        ]
        facts += [("Decided by", self._by(approval))] if approval.by else []
        facts += [("Reason", self._text(approval.because))] if approval.because else []
        listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        return f"""<article class="card approval {tone}" id="approval-{escape(approval.id)}">
<div class="head"><h3>{self._code(write.operation)} of {self._text(write.client)}</h3><span class="state">{words}</span>
</div>
<dl>{listed}</dl>
{self._changes(approval, rows)}
{self._violations(approval, rows)}
{_unseen(write.further)}
{self._buttons(approval, reader) if rows is None or _fits(approval, rows) else _link_to_all(approval)}
</article>"""

    def _changes(self, approval: Approval, rows: int | None) -> str:
        changes, most = approval.write.changes, MAX_WHOLE_TEXT if rows is None else MAX_TEXT
        if not changes:
            return '<p class="notice">The proxy does not know which members of which objects this write sets.</p>'
        quiet = ' class="quiet"'
        lines = "".join(
            f"<tr{quiet if each.before == each.after else ''}>"
            f'<th scope="row">{self._code(each.object, most) if each.object else _unnamed(each)}</th>'
            f"<td>{self._code(each.member, most)}</td><td>{self._before(each.before, most)}</td>"
            f"<td>{self._code(each.after, most)}</td></tr>"
            for each in changes[:rows]
        )
        head = ("Object", "Member", "Set now", "Asked for")
        return _table(f"What {approval.id} changes", _caption("What it changes", len(changes), rows), head, lines)

    def _violations(self, approval: Approval, rows: int | None) -> str:
        violations, most = approval.write.violations, MAX_WHOLE_TEXT if rows is None else MAX_TEXT
        lines = "".join(
            f'<tr><th scope="row">{self._code(each.rule)}</th>'
            f"<td>{self._code(f'{each.value} {each.currency}'.strip(), most)}</td>"
            f"<td>{self._limit(each, most)}</td>"
            f"<td>{self._code(each.path, most) if each.path else 'the whole write'}</td></tr>"
            for each in violations[:rows]
        )
        head = ("Rule", "Asked for", "Limit", "Where")
        caption = _caption("Limits it is over", len(violations), rows)
        return _table(f"Limits that {approval.id} is over", caption, head, lines)

    def _buttons(self, approval: Approval, reader: Reader) -> str:
        if not approval.is_live or not reader.decides_as:
            return ""
        named = escape(visible(self._clean(f"{approval.write.operation} of {approval.write.client}")), quote=True)
        field = f"because-{escape(approval.id)}"
        approve, verb = "", "Take back and deny"
        if approval.state is ApprovalState.PENDING:
            verb = "Deny"
            approve = f"""<form method="post" action="{_path(approval)}/approve">
<button type="submit" aria-label="Approve {named}">Approve</button>
</form>"""
        return f"""<div class="decision">
{approve}
<form method="post" action="{_path(approval)}/deny">
<label for="{field}">Reason, which the client gets</label>
<input id="{field}" name="because" type="text" maxlength="{MAX_REASON}" autocomplete="off">
<button type="submit" class="plain" aria-label="{verb}: {named}">{verb}</button>
</form>
</div>"""

    def _lately(self, ended: Sequence[Approval], reader: Reader) -> str:
        lines = "".join(
            f'<tr id="approval-{escape(each.id)}"><td>{_moment(each.ended_at or each.asked_at, reader.now)}</td>'
            f"<td>{self._text(each.write.client)}</td>"
            f'<td><a href="{_path(each)}">{self._code(each.write.operation)}</a></td>'
            f'<td><span class="tag {_STATES[each.state][0]}">{_STATES[each.state][1]}</span></td>'
            f"<td>{self._by(each) if each.by else ''}</td><td>{self._text(each.because)}</td></tr>"
            for each in ended[:MAX_ENDED]
        )
        head = ("When", "Client", "Write", "What became of it", "By", "Reason")
        table = _table("Approvals that were decided lately", "", head, lines)
        return f"{table}{_left_out(len(ended) - MAX_ENDED)}"

    # --- texts

    def _by(self, approval: Approval) -> str:
        return self._text(approval.by or "An approver")

    def _text(self, text: str) -> str:
        """A text from anywhere as HTML."""
        return f"<bdi>{escape(self._cut(text))}</bdi>"

    def _code(self, text: str, most: int = MAX_TEXT) -> str:
        """A text of a client, or a name of Amazon's, as HTML."""
        return f"<code><bdi>{escape(self._cut(text, most))}</bdi></code>"

    def _before(self, value: str | None, most: int) -> str:
        if value is None:
            return f'<span class="quiet">{NOT_KNOWN}</span>'
        return self._code(value, most) if value else '<span class="quiet">not set</span>'

    def _limit(self, violation: SpendViolation, most: int) -> str:
        if violation.limit is None:
            return '<span class="quiet">none for it</span>'
        return self._code(f"{violation.limit} {violation.currency}".strip(), most)

    def _cut(self, text: str, most: int = MAX_TEXT) -> str:
        seen = visible(self._clean(text))
        left_out = len(seen) - most
        return seen if left_out <= 0 else f"{seen[:most]} … ({left_out} more characters)"


def visible(text: str) -> str:
    """A text whose characters are all seen: others, such as those that change the direction of writing, as codes."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)


def _path(approval: Approval) -> str:
    return f"{PATH}/{escape(approval.id)}"


def _unnamed(change: ValueChange) -> str:
    """What an object without a name is: one that is made has nothing before."""
    return "an object that is not known" if change.before is None else "a new object"


def _until(approval: Approval) -> str:
    """What the end of an approval's state is called."""
    if approval.state is ApprovalState.PENDING:
        return "Decide by"
    return "Sent by" if approval.state is ApprovalState.APPROVED else "Until"


def _notes(reader: Reader) -> str:
    """How the reader can decide, where they cannot."""
    if reader.decides_as:
        return "" if reader.approver else f"<p>You decide as <strong>{escape(reader.decides_as)}</strong>.</p>"
    if not reader.has_approvers:
        advice = "No approver is configured: `ads-proxy keys new --approver NAME` makes a key."
        return f'<p class="notice">{prose(advice)}</p>'
    return f'<section class="card" aria-label="Sign in to decide">{_key_form(PATH)}</section>'


def _key_form(target: str) -> str:
    return f"""<form method="post" action="{PATH}/session">
<input type="hidden" name="next" value="{escape(target)}">
<label for="key">Your key as an approver, to approve and deny</label>
<input id="key" name="key" type="password" autocomplete="current-password" required>
<p class="actions"><button type="submit">Sign in</button></p>
</form>"""


def _trouble(problem: str) -> str:
    return f'<p class="trouble" role="alert">{prose(problem)}</p>' if problem else ""


def _unseen(further: int) -> str:
    """What the proxy itself does not know of a write."""
    if not further:
        return ""
    return (
        f'<p class="trouble"><strong>Not all of this write is shown.</strong> It has {further} more changes, '
        "which the proxy does not keep. If you approve it, you approve these too.</p>"
    )


def _fits(approval: Approval, rows: int) -> bool:
    """Whether the queue shows all that is known of a write."""
    changes, violations = approval.write.changes, approval.write.violations
    texts = (approval.write.target, approval.write.scope, *(text for each in (*changes, *violations) for text in each))
    return max(len(changes), len(violations)) <= rows and all(len(visible(text or "")) <= MAX_TEXT for text in texts)


def _link_to_all(approval: Approval) -> str:
    write = approval.write
    return (
        f'<p><a class="button" href="{_path(approval)}">Look at all {len(write.changes)} changes and '
        f"{len(write.violations)} violations, then decide</a></p>"
    )


def _left_out(count: int) -> str:
    return (
        f'<p class="quiet">{count} more are not shown: <code>ads-proxy approvals --all</code> lists them.</p>'
        if count > 0
        else ""
    )


def _caption(text: str, total: int, rows: int | None) -> str:
    """What is above a table; where only its first rows are there, it says of how many."""
    cut = f" ({rows} of {total} are shown)" if rows is not None and total > rows else ""
    return f"<caption>{text}{cut}</caption>"


def _table(name: str, caption: str, head: Sequence[str], lines: str) -> str:
    """A table that scrolls, with HTML for its caption and its lines."""
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}"><table>
{caption}<thead><tr>{titles}</tr></thead>
<tbody>{lines}</tbody>
</table></div>"""


def _time(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def _moment(at: float, now: float) -> str:
    """A time, and how far away it is."""
    away = duration(abs(at - now))
    return f"{_time(at)} ({f'in {away}' if at > now else f'{away} ago'})"


def duration(seconds: float) -> str:
    """A duration in its largest whole unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
