"""Whether what was observed is one of a case's outcomes: pure, and the only place that decides so."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.conformance.case import AnswerLooks, Broken, Case, Observation, Outcome, Pairs, Reach, Refused, Relayed
from tests.conformance.case import RequestLooks as Looks
from tests.support.http_reader import Answer, Conversation, Head, Request, read_conversation

PROBLEM_MEMBERS = ("type", "title", "status", "detail", "code", "details", "request_id")


def judge(case: Case, seen: Observation, ours: bool) -> list[str]:
    """No complaint means passed; otherwise what was wrong by each outcome that would have been right."""
    outcomes = case.promised if case.promised and (ours or case.strict) else case.allowed
    talk = read_conversation(seen.received, case.heads, seen.ended and not seen.reset)
    complaints = []
    for outcome in outcomes:
        found = [*universal(seen, outcome, talk), *by_outcome(outcome, seen, talk, ours)]
        if not found:
            return []
        complaints.append(f"{type(outcome).__name__}: " + "; ".join(found))
    return complaints


def universal(seen: Observation, outcome: Outcome, talk: Conversation) -> Iterator[str]:
    """What holds in every case: each side only ever gets well-formed messages."""
    for stream in seen.streams:
        if stream.fault:
            yield f"upstream got a malformed message: {stream.fault}"
        elif stream.leftover and not (isinstance(outcome, Refused | Broken) or outcome.part):
            yield f"upstream got a part of a message: {stream.leftover[:80]!r}"
    if talk.fault and not isinstance(outcome, Broken):
        yield f"client got a malformed answer: {talk.fault}"


def by_outcome(outcome: Outcome, seen: Observation, talk: Conversation, ours: bool) -> Iterator[str]:
    """Complaints by one outcome."""
    if isinstance(outcome, Refused):
        yield from judge_refusal(outcome, seen, talk, ours)
    elif isinstance(outcome, Relayed):
        yield from judge_relay(outcome, seen, talk, ours)
    else:
        yield from judge_break(outcome, seen, talk)


def case_requests(seen: Observation) -> list[Request]:
    """What the upstream saw but for the sentinel."""
    return [r for r in seen.requests if not r.target.endswith(b"/sentinel")]


def case_answers(talk: Conversation, seen: Observation) -> list[Answer]:
    """What the client got but for the sentinel's answer."""
    return [a for a in talk.answers if not (seen.sentinel_sent and a.body.content == b"sentinel")]


def judge_refusal(want: Refused, seen: Observation, talk: Conversation, ours: bool) -> Iterator[str]:
    """Complaints about a refusal."""
    answers, requests = case_answers(talk, seen), case_requests(seen)
    whole = want.after + (want.reach == Reach.WHOLE)
    if len(requests) > whole:
        yield f"upstream saw {len(requests)} whole requests, not {whole}: {[r.head.start for r in requests]!r}"
    if want.reach == Reach.NOTHING and any(stream.leftover for stream in seen.streams):
        yield f"upstream saw a part: {[s.leftover[:60] for s in seen.streams]!r}"
    refusals = answers[want.after :]
    if any(a.status != 200 for a in answers[: want.after]):
        yield f"the first {want.after} answers are {[a.status for a in answers]!r}"
    if want.silent and not refusals and seen.ended:
        return
    if len(refusals) != 1 or refusals[0].status not in want.statuses:
        yield f"got {describe(answers, seen)}, not one of {want.statuses}"
    elif not refusals[0].body.complete:
        yield "the refusal is not whole"
    else:
        yield from lacking(refusals[0].head, want.names)
        yield from judge_problem(refusals[0]) if ours else ()
    if want.closes and (not seen.ended or len(talk.answers) > len(answers)):
        yield "the connection stayed open"


def judge_problem(answer: Answer) -> Iterator[str]:
    """A refusal of ours is a problem document with Proxy-Status."""
    status = answer.head.values(b"proxy-status")
    if len(status) != 1 or not status[0].startswith(b"ads-proxy; error="):
        yield f"Proxy-Status is {status!r}"
    if answer.body.framing == "none":
        return
    if answer.head.values(b"content-type") != [b"application/problem+json"]:
        yield f"Content-Type is {answer.head.values(b'content-type')!r}"
        return
    try:
        problem = json.loads(answer.body.content)
    except ValueError:
        yield f"the problem is no JSON: {answer.body.content[:80]!r}"
        return
    missing = [member for member in PROBLEM_MEMBERS if member not in problem]
    if missing or problem.get("status") != answer.status:
        yield f"the problem lacks {missing} or has another status: {problem!r}"


def judge_relay(want: Relayed, seen: Observation, talk: Conversation, ours: bool) -> Iterator[str]:
    """Complaints about requests and answers that should have passed."""
    requests, answers = case_requests(seen), case_answers(talk, seen)
    if seen.timed_out:
        yield "timed out"
    if len(requests) != len(want.requests):
        yield f"upstream saw {len(requests)} requests, not {len(want.requests)}: {[r.head.start for r in requests]!r}"
    if len(answers) != len(want.answers) or talk.rest:
        yield f"client got {describe(answers, seen)}, rest {talk.rest[:60]!r}"
    for request, looks in zip(requests, want.requests, strict=False):
        yield from judge_request(request, looks)
    for answer, looks_of_answer in zip(answers, want.answers, strict=False):
        yield from judge_answer(answer, looks_of_answer)
        if ours and answer.head.values(b"proxy-status"):
            yield "a relayed answer carries Proxy-Status"
    if want.closes and (len(talk.answers) > len(answers) or not seen.ended):
        yield "the connection stayed open"


def judge_request(got: Request, want: Looks) -> Iterator[str]:
    """Complaints about one forwarded request."""
    yield from differ("method", got.method, want.method)
    yield from differ("target", got.target, want.target)
    yield from differ("version", got.version, want.version)
    yield from differ("body", got.body.content, want.body)
    yield from differ("framing", got.body.framing, want.framing)
    yield from judge_fields(got.head, want.has, want.lacks, want.raw)
    yield from (f"upstream got {b!r}" for b in want.not_raw if b.lower() in (got.head.raw + got.body.raw).lower())
    if want.trailers is not None and got.body.trailers not in ((), want.trailers):
        yield f"trailers are {got.body.trailers!r}"


def judge_answer(got: Answer, want: AnswerLooks) -> Iterator[str]:
    """Complaints about one relayed answer."""
    yield from differ("status", got.status, want.status)
    yield from differ("version", got.version, want.version)
    yield from differ("body", got.body.content, want.body)
    yield from differ("interim", got.interim, want.interim)
    if not got.body.complete:
        yield f"the answer is cut short after {len(got.body.content)} bytes"
    if want.framing and got.body.framing not in want.framing:
        yield f"framing is {got.body.framing}, not {want.framing}"
    yield from lacking(got.head, want.names)
    yield from judge_fields(got.head, want.has, want.lacks, want.raw)


def lacking(head: Head, names: tuple[bytes, ...]) -> Iterator[str]:
    """Complaints about fields that are not there once."""
    yield from (f"{name!r} is {head.values(name)!r}" for name in names if len(head.values(name)) != 1)


def judge_fields(head: Head, has: Pairs, lacks: tuple[bytes, ...], raw: tuple[bytes, ...]) -> Iterator[str]:
    """Complaints about a head's fields."""
    yield from (
        f"{name!r} is {head.values(name)!r}, lacks {value!r}" for name, value in has if value not in head.values(name)
    )
    yield from (f"{name!r} passed: {head.values(name)!r}" for name in lacks if head.values(name))
    yield from (f"head lacks {part!r}" for part in raw if part not in head.raw)


def judge_break(want: Broken, seen: Observation, talk: Conversation) -> Iterator[str]:
    """Complaints about an answer that should look broken."""
    answers = case_answers(talk, seen)
    if not seen.ended:
        yield "the connection stayed open"
    if any(a.body.complete for a in answers):
        yield f"the answer looks whole: {describe(answers, seen)}"
    if answers and answers[0].status != want.status:
        yield f"status is {answers[0].status}"
    if not seen.received:
        yield "the client got nothing"


def differ(what: str, got: object, want: object) -> Iterator[str]:
    """One complaint where a wanted value is not there."""
    if want is not None and got != want:
        yield f"{what} is {shorten(got)}, not {shorten(want)}"


def shorten(value: object) -> str:
    """A repr that fits on a line."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:80]}... ({len(text)} characters)"


def describe(answers: list[Answer], seen: Observation) -> str:
    """What a client got, in a few words."""
    end = "reset" if seen.reset else "closed" if seen.ended else "timed out" if seen.timed_out else "left open"
    return f"{[a.status for a in answers]!r} ({end})"
