"""The lease protocol under every interleaving: replicas, crashes, pauses, an emptied and an outdated server.

A state machine drives the scripts in a real Redis or Valkey and the plain functions of `lease_model` side by side, and
what replicas make of the answers. The clock is the machine's own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from proxy.tokens import redis_scripts as scripts
from proxy.tokens.leases import Urgency
from tests.support import lease_model as model
from tests.support.redis_server import RedisServer

LIFE, TOKEN_LIFE, TURN = 4000, 60_000, 250
ACCOUNTS = st.sampled_from(("acme", "other"))
REPLICAS = st.sampled_from((0, 1, 2))


@dataclass(frozen=True)
class Token:
    """What Amazon issued: to which replica, for which consent, and its number in order."""

    account: str
    consent: int
    number: int

    def __str__(self) -> str:
        return f"{self.account}/{self.consent}/{self.number}"

    @classmethod
    def read(cls, text: str) -> Token:
        account, consent, number = text.split("/")
        return cls(account, int(consent), int(number))


@dataclass
class Replica:
    """What one knows: consents, the newest fence and the token it serves, and the lease it works under."""

    name: str
    consents: dict[str, int] = field(default_factory=lambda: {"acme": 0, "other": 0})
    known: dict[str, int] = field(default_factory=lambda: {"acme": 0, "other": 0})
    serves: dict[str, Token] = field(default_factory=dict)
    leases: dict[str, int] = field(default_factory=dict)
    granted: dict[str, Token] = field(default_factory=dict)

    def sends(self, account: str) -> str:
        """What stands for all that it sends to Amazon: another consent is another refresh token."""
        return f"{account}/{self.consents[account]}"


class LeaseProtocol(RuleBasedStateMachine):
    """The protocol of leases as a state machine: replicas, the server, Amazon and time take steps in any order."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.server.client.flushall()
        self.now = 1_700_000_000_000
        self.states = {"acme": model.LeaseState(), "other": model.LeaseState()}
        self.older: dict[str, tuple[model.LeaseState, dict[Any, Any]]] = {}
        self.replicas = [Replica(f"replica-{number}") for number in range(3)]
        self.numbers = itertools.count(1)
        self.holders: dict[str, dict[int, str]] = {"acme": {}, "other": {}}
        self.pauses: dict[str, dict[str, Any]] = {}

    def run(self, script: str, account: str, *words: object) -> Any:
        """What the script gives, with texts and numbers as the model has them."""
        answer = self.server.client.eval(script, 2, f"lease:{account}", "news", self.now, *words)
        if isinstance(answer, list):
            return tuple(int(each) if each.isdigit() else each.decode() for each in answer)
        return int(answer)

    @rule(replica=REPLICAS, account=ACCOUNTS, urgency=st.sampled_from(Urgency))
    def acquire(self, replica: int, account: str, urgency: Urgency = Urgency.PLANNED) -> None:
        """A replica whose token is due asks for the lease; it asks once more where the token there is of no use."""
        asking = self.replicas[replica]
        known, sent = asking.known[account], asking.sends(account)
        while True:
            answer = self.ask(asking, account, known, urgency)
            if answer[0] != "token" or self.take(asking, account, *answer[1:3]):
                break
            known = answer[1]
        if answer[0] == "granted":
            self.pace_is_kept(asking.name, account, sent, urgency)
            asking.leases[account] = answer[1]
            asking.granted.pop(account, None)
            self.give(account, answer[1], asking.name)

    def ask(self, asking: Replica, account: str, known: int, urgency: Urgency) -> Any:
        who = model.LeaseAttempt(asking.name, asking.sends(account), urgency, TURN)
        self.states[account], expected = model.acquire(self.states[account], self.now, known, who, LIFE)
        words = known, asking.name, LIFE, who.sent, urgency, TURN
        answer = self.run(scripts.ACQUIRE, account, *words)
        assert answer == expected
        return answer

    def pace_is_kept(self, name: str, account: str, sent: str, urgency: Urgency) -> None:
        """No replica got a lease to send the same sooner than all were told, and the one that failed last let another
        go first."""
        past = self.pauses.get(account)
        if past is None or past["sent"] != sent or urgency is Urgency.AT_ONCE:
            return
        moment = past["sooner" if urgency is Urgency.AWAITED else "again"]
        assert self.now >= moment + (TURN if past["by"] == name else 0)

    def give(self, account: str, fence: int, holder: str) -> None:
        """No fence of a lease is given twice, or below one that was."""
        assert fence > max(self.holders[account], default=0)
        self.holders[account][fence] = holder

    def take(self, replica: Replica, account: str, fence: int, text: str) -> bool:
        """What a replica does with a token that it finds: it serves what is for its account and consent."""
        token = Token.read(text)
        if (token.account, token.consent) != (account, replica.consents[account]):
            return False
        if fence > replica.known[account]:
            replica.known[account], replica.serves[account] = fence, token
        return True

    @precondition(lambda self: any(replica.leases for replica in self.replicas))
    @rule(data=st.data())
    def mint(self, data: st.DataObject) -> None:
        """Amazon issues a token to a replica that has, or had, the lease; this replica serves it, whether or not others
        learn of it."""
        replica, account = self.working(data)
        token = replica.granted[account] = Token(account, replica.consents[account], next(self.numbers))
        replica.serves[account] = token

    @precondition(lambda self: any(replica.granted for replica in self.replicas))
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """The token is shared under the fence of the lease, if no other lease was issued since."""
        choices = [(replica, account) for replica in self.replicas for account in replica.granted]
        replica, account = data.draw(st.sampled_from(choices))
        token, fence = str(replica.granted.pop(account)), replica.leases.pop(account)
        words = token, TOKEN_LIFE, "account", account
        self.states[account], expected = model.publish(
            self.states[account], self.now, (replica.name, fence), token, TOKEN_LIFE
        )
        assert self.run(scripts.PUBLISH, account, replica.name, fence, *words) == expected
        assert self.run(scripts.PUBLISH, account, replica.name, fence, *words) == expected
        if expected:
            self.pauses.pop(account, None)
            assert self.holders[account][fence] == replica.name
            replica.known[account] = max(replica.known[account], fence)

    @precondition(lambda self: any(replica.leases for replica in self.replicas))
    @rule(data=st.data(), what=st.sampled_from(("release", "renew", "crash", "fail")))
    def end(self, data: st.DataObject, what: str) -> None:
        """A lease ends without a token: it was returned, runs for long, its replica is gone, or Amazon refused."""
        replica, account = self.working(data)
        fence = replica.leases[account]
        if what == "renew":
            self.states[account], expected = model.renew(self.states[account], self.now, replica.name, fence, LIFE)
            assert self.run(scripts.RENEW, account, replica.name, fence, LIFE) == expected
            return
        del replica.leases[account]
        replica.granted.pop(account, None)
        if what == "fail":
            self.fail(replica, account, fence, data.draw(st.sampled_from((0, 500, 30_000))))
        if what == "release":
            self.states[account], expected = model.release(self.states[account], replica.name, fence)
            assert self.run(scripts.RELEASE, account, replica.name, fence) == expected

    def fail(self, replica: Replica, account: str, fence: int, wait: int) -> None:
        """All replicas learn when the same may be sent again."""
        sent, sooner = replica.sends(account), min(wait, 5000)
        attempt = wait, sooner, "network 0 1"
        self.states[account], expected = model.fail(
            self.states[account], self.now, (replica.name, fence), sent, attempt
        )
        words = fence, sent, *attempt
        assert self.run(scripts.FAIL, account, replica.name, *words) == expected
        assert self.run(scripts.FAIL, account, replica.name, *words) == 0
        if expected:
            again = {"again": self.now + wait, "sooner": self.now + sooner}
            self.pauses[account] = {"sent": sent, "by": replica.name, **again}

    def working(self, data: st.DataObject) -> tuple[Replica, str]:
        """A replica and the account that it has a lease for, as far as it knows."""
        choices = [(replica, account) for replica in self.replicas for account in replica.leases]
        found: tuple[Replica, str] = data.draw(st.sampled_from(choices))
        return found

    @rule(replica=REPLICAS, account=ACCOUNTS)
    def sign_in(self, replica: int, account: str) -> None:
        """A person consents again at one replica."""
        signing = self.replicas[replica]
        signing.consents[account] = max(each.consents[account] for each in self.replicas) + 1
        token = Token(account, signing.consents[account], next(self.numbers))
        self.pauses.pop(account, None)
        self.states[account], fence = model.seize(self.states[account], self.now, str(token), TOKEN_LIFE)
        assert self.run(scripts.SEIZE, account, str(token), TOKEN_LIFE, "account", account) == fence
        assert self.run(scripts.SEIZE, account, str(token), TOKEN_LIFE, "account", account) == fence
        self.give(account, fence, signing.name)
        signing.known[account], signing.serves[account] = fence, token

    @rule(replica=REPLICAS, account=ACCOUNTS)
    def hear(self, replica: int, account: str) -> None:
        """A replica hears the news: the newest consent, then the newest token."""
        hearing = self.replicas[replica]
        hearing.consents[account] = max(each.consents[account] for each in self.replicas)
        known = hearing.known[account]
        expected = model.newest(self.states[account], self.now, known)
        answer = self.run(scripts.NEWEST, account, known)
        assert answer == expected
        if answer:
            self.take(hearing, account, *answer[:2])

    @rule(seconds=st.sampled_from((0.001, 0.5, 5.0, 100.0)))
    def wait(self, seconds: float) -> None:
        self.now += int(seconds * 1000)

    @rule(account=ACCOUNTS)
    def copy_to_the_standby(self, account: str) -> None:
        """What a replica of the server has, and may come back after a failover."""
        self.older[account] = self.states[account], self.server.client.hgetall(f"lease:{account}")

    @rule(account=ACCOUNTS, emptied=st.booleans())
    def fail_over(self, account: str, emptied: bool) -> None:
        """The server comes back a second later, with what the standby has or with nothing."""
        self.now += 1000
        self.pauses.pop(account, None)
        nothing: dict[Any, Any] = {}
        self.states[account], kept = (
            (model.LeaseState(), nothing) if emptied else self.older.get(account, (model.LeaseState(), nothing))
        )
        self.server.client.delete(f"lease:{account}")
        if kept:
            self.server.client.hset(f"lease:{account}", mapping=kept)

    @rule()
    def swap(self) -> None:
        """An attacker with access to the server puts one account's token in the other's place, which takes a moment."""
        self.now += 1000
        self.pauses.clear()
        one, other = self.states["acme"], self.states["other"]
        self.states = {"acme": other, "other": one}
        for old, new in (("lease:acme", "x"), ("lease:other", "lease:acme"), ("x", "lease:other")):
            if self.server.client.exists(old):
                self.server.client.rename(old, new)

    @invariant()
    def nobody_serves_anothers_token(self) -> None:
        """No replica serves a token of another account, or of a consent that it never knew."""
        for replica in self.replicas:
            for account, token in replica.serves.items():
                assert token.account == account
                assert token.consent <= replica.consents[account]


@pytest.mark.long
def test_no_interleaving_breaks_the_protocol(server: RedisServer) -> None:
    """Scripts and model agree, fences only grow, and each replica serves its own accounts' tokens."""
    LeaseProtocol.server = server
    run_state_machine_as_test(
        LeaseProtocol,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_one_lease_makes_one_token_for_all(server: RedisServer) -> None:
    """The usual way: one asks, the others wait, and all have the same."""
    LeaseProtocol.server = server
    machine = LeaseProtocol()
    machine.acquire(0, "acme")
    assert machine.ask(machine.replicas[1], "acme", 0, Urgency.PLANNED) == ("held", LIFE)
    replica = machine.replicas[0]
    words = "acme/0/1", TOKEN_LIFE, "account", "a"
    assert machine.run(scripts.PUBLISH, "acme", replica.name, replica.leases["acme"], *words) == 1
    assert machine.run(scripts.ACQUIRE, "acme", 0, "replica-1", LIFE, "acme/0", "planned", TURN) == (
        "token",
        replica.leases["acme"],
        "acme/0/1",
        TOKEN_LIFE,
    )


def test_a_holder_that_was_away_too_long_is_fenced_off(server: RedisServer) -> None:
    """The holder's token is its own alone: another lease was issued meanwhile."""
    LeaseProtocol.server = server
    machine = LeaseProtocol()
    machine.acquire(0, "acme")
    machine.now += LIFE
    machine.acquire(1, "acme")
    first, second = machine.replicas[0].leases["acme"], machine.replicas[1].leases["acme"]
    assert second > first
    assert machine.run(scripts.PUBLISH, "acme", "replica-0", first, "acme/0/1", TOKEN_LIFE, "account", "a") == 0
    assert machine.run(scripts.RENEW, "acme", "replica-0", first, LIFE) == 0
    assert machine.run(scripts.RELEASE, "acme", "replica-0", first) == 0
    assert machine.run(scripts.PUBLISH, "acme", "replica-1", second, "acme/0/2", TOKEN_LIFE, "account", "a") == 1


def test_who_failed_last_leaves_the_next_attempt_to_another(server: RedisServer) -> None:
    """All wait for the same moment, and the one that failed a little longer; a replica that would send something else
    does not wait."""
    LeaseProtocol.server = server
    machine = LeaseProtocol()
    first, second, third = machine.replicas
    machine.acquire(0, "acme")
    machine.fail(first, "acme", first.leases["acme"], 1000)
    assert machine.ask(second, "acme", 0, Urgency.PLANNED) == ("failed", "network 0 1", 1000, 1000)
    third.consents["acme"] = 1
    assert machine.ask(third, "acme", 0, Urgency.PLANNED)[0] == "granted"
    machine.states["acme"], _ = model.release(machine.states["acme"], third.name, machine.states["acme"].fence)
    machine.run(scripts.RELEASE, "acme", third.name, machine.states["acme"].fence)
    machine.now += 1000
    assert machine.ask(first, "acme", 0, Urgency.PLANNED) == ("failed", "network 0 1", TURN, TURN)
    answer = machine.ask(second, "acme", 0, Urgency.PLANNED)
    assert (answer[0], answer[2]) == ("granted", "network 0 1")


def test_an_operator_waits_for_nothing(server: RedisServer) -> None:
    """An operator's request is tried at once; waiting requests shorten the pause."""
    LeaseProtocol.server = server
    machine = LeaseProtocol()
    machine.acquire(0, "acme")
    machine.fail(machine.replicas[0], "acme", machine.replicas[0].leases["acme"], 30_000)
    machine.now += 5000
    assert machine.ask(machine.replicas[1], "acme", 0, Urgency.PLANNED)[0] == "failed"
    machine.now -= 5000
    assert machine.ask(machine.replicas[1], "acme", 0, Urgency.AT_ONCE)[0] == "granted"
