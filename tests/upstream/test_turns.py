"""Who waits with much goes behind the others each time."""

from __future__ import annotations

from proxy.upstream.turns import Turns


def joined(*names: str) -> Turns[str]:
    """`a1` is the first waiter of client `a`."""
    turns: Turns[str] = Turns()
    for name in names:
        turns.join(name[0], name)
    return turns


def all_of(turns: Turns[str]) -> list[str]:
    """Everybody in the order of their turns."""
    found = []
    while (waiter := turns.next()) is not None:
        found.append(waiter)
    return found


def test_clients_have_their_turns_one_after_another() -> None:
    """Three of one client do not go before the first of another; within a client the first goes first."""
    assert all_of(joined("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_client_that_comes_later_goes_behind_those_who_wait() -> None:
    """Not before them, and not behind all that the first has."""
    turns = joined("a1", "a2", "a3", "b1")
    assert turns.next() == "a1"
    turns.join("c", "c1")
    assert all_of(turns) == ["b1", "a2", "c1", "a3"]


def test_who_is_put_back_is_next_again() -> None:
    """Also where it was its client's last."""
    turns = joined("a1", "b1", "b2")
    assert turns.next() == "a1"
    turns.put_back("a", "a1")
    assert all_of(turns) == ["a1", "b1", "b2"]


def test_who_leaves_takes_nobodys_turn() -> None:
    """Nor does somebody who does not wait."""
    turns = joined("a1", "b1", "a2")
    turns.leave("a", "a1")
    turns.leave("b", "b1")
    turns.leave("c", "c1")
    assert (list(turns), len(turns), repr(turns)) == (["a2"], 1, "<Turns of 1 clients, 1 waiting>")
    turns.leave("a", "nobody")
    assert all_of(turns) == ["a2"]
    assert len(turns) == 0


def test_who_may_not_go_on_is_passed_over() -> None:
    """The client's turn goes to its first of another family, and to the next client where it has none."""
    turns: Turns[str] = Turns()
    for name in ("a-hung1", "a-hung2", "a-swift1", "b-hung1", "c-swift1", "a-swift2"):
        turns.join(name[0], name, name[2:-1])
    assert turns.holds("hung") and not turns.holds("other")
    swift = [turns.next(lambda family: family != "hung") for _ in range(4)]
    assert swift == ["a-swift1", "c-swift1", "a-swift2", None]
    assert all_of(turns) == ["b-hung1", "a-hung1", "a-hung2"]
    assert not turns.holds("hung")


def test_within_a_client_families_keep_the_order_in_which_they_came() -> None:
    """Also behind one that was put back, and one that left."""
    turns: Turns[str] = Turns()
    for name in ("x1", "y1", "x2", "y2"):
        turns.join("a", name, name[0])
    assert list(turns) == ["x1", "y1", "x2", "y2"]
    turns.leave("a", "y1", "y")
    turns.leave("a", "x2", "y")
    assert turns.next() == "x1"
    turns.put_back("a", "x1", "x")
    assert all_of(turns) == ["x1", "x2", "y2"]
