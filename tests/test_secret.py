"""A secret is not shown by accident."""

from __future__ import annotations

import copy
import pickle

import pytest

from proxy.secret import Secret


def test_a_secret_shows_only_stars() -> None:
    """However it is turned into text."""
    secret = Secret("canary")
    assert [str(secret), repr(secret), f"{secret:>3}", repr([secret])] == ["***", "***", "***", "[***]"]
    assert secret.reveal() == "canary"


def test_a_secret_is_not_pickled() -> None:
    """Neither dumped nor sent to another process."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("canary"))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Secret("canary"))


def test_secrets_compare_by_their_text() -> None:
    """Equal texts are equal, in sets too; other things are not secrets."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
