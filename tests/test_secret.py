"""A secret is not shown by accident."""

from __future__ import annotations

import copy
import pickle

import pytest

from proxy.redaction import Redaction
from proxy.secret import KEY_PREFIX, Secret, mask_keys


def test_a_secret_shows_only_stars() -> None:
    """However it is turned into text."""
    secret = Secret("canary")
    assert [str(secret), repr(secret), f"{secret:>3}", repr([secret])] == ["***", "***", "***", "[***]"]
    assert secret.reveal() == "canary"


def test_a_secret_is_not_pickled() -> None:
    """A secret is neither dumped nor sent to another process."""
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


@pytest.mark.parametrize(
    "text", ["", "no key", KEY_PREFIX, "adsproxy_...", "adsproxy_YOUR", "ads_proxy_requests_total"]
)
def test_what_is_no_key_stays(text: str) -> None:
    """A beginning alone tells nothing."""
    assert mask_keys(text) == text


def test_the_beginning_of_a_key_stays() -> None:
    """The beginning tells a reader what was there."""
    assert mask_keys(f"x={KEY_PREFIX}abc-DEF_123, y=ADSPROXY%5Fabcdefg") == "x=adsproxy_***, y=ADSPROXY%5F***"


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl-_"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (JWT, "eyJ***"),
        (f"/a/{JWT}/b", "/a/eyJ***/b"),
        (f"?token={JWT}&x=1", "?token=eyJ***&x=1"),
        (f"%3D{JWT.replace('.', '%2E')}", "%3DeyJ***"),
        (JWT.rpartition(".")[0], "eyJ***"),
        (JWT + ".", "eyJ***."),
        ("eyJ.eyJ.x", "eyJ.eyJ.x"),
        ("keyJobs.report_of_a.day", "keyJobs.report_of_a.day"),
    ],
)
def test_a_jwt_is_masked_by_its_shape(text: str, masked: str) -> None:
    """A JWT is remembered by digest nowhere: who reads it can be its client until it expires."""
    assert mask_keys(text) == masked
    assert Redaction().clean(text) == masked


def test_masking_takes_linear_time() -> None:
    """Whatever a client sends as a path."""
    for text in ("eyJ" * 20_000, "eyJaaaaaa." * 6_000, "%3DeyJ" * 10_000):
        assert mask_keys(text)
