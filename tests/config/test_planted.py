"""A secret at a wrong key is not said again, wherever it is planted, and whatever is planted is no crash."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.checks.problems import explain_refusal
from proxy.config.model import expected
from proxy.config.model.key_names import did_you_mean, quoted_key, shown_file, shown_name, shown_path, shown_variable
from proxy.config.model.sections import Config
from proxy.errors import ConfigurationError
from tests.support.planting import Planted, is_seen, places, planted


@functools.cache
def everywhere() -> list[Planted]:
    """Every place and shape; to make them all reads the model many times."""
    return planted()


def problems_of(folder: Path, place: Planted) -> str:
    """The problems of a configuration; empty for a valid one."""
    path = folder / "proxy.yaml"
    path.write_text(place.text or "", encoding="utf-8")
    try:
        load(None if place.text is None else path, place.environ)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.long
def test_no_problem_says_what_was_planted(tmp_path: Path) -> None:
    """More than seven hundred places and shapes: each is refused or is a value that fits, and none is repeated."""
    told = {place.where: problems_of(tmp_path, place) for place in everywhere()}
    assert len(places()) > 60
    assert len(everywhere()) > 700
    assert sum(map(bool, told.values())) > 500
    assert [place.where for place in everywhere() if is_seen(place.canary, told[place.where])] == []


def test_the_search_would_find_one() -> None:
    """In capitals, cut short, or with other punctuation."""
    (place, *_) = everywhere()
    for text in (place.canary, place.canary.upper().replace("-", "_"), f"x {place.canary[:20]}... is not"):
        assert is_seen(place.canary, text)
    assert not is_seen(place.canary, "listen: is not an address")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("acme", "acme"),
        ("Brand.One", "Brand.One"),
        ("brand-eu_2", "brand-eu_2"),
        ("shop24", "shop24"),
        ("123456", "123456"),
        ("a" * 33, "NAME"),
        ("Atzr|x", "NAME"),
        ("3f9a0c1b", "NAME"),
        ("amzn1.oa2-cs.v1.6a7b8c", "NAME"),
        ("hunter2x", "NAME"),
        ("1234567", "NAME"),
        ("a b", "NAME"),
        ("", "NAME"),
    ],
)
def test_a_name_is_shown_where_it_looks_like_one(name: str, shown: str) -> None:
    """Words with few digits are names; what a random source makes is not."""
    assert shown_name(name) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/run/secrets/acme-secret", "the file /run/secrets/acme-secret"),
        ("/etc/ads-proxy/proxy.yaml", "the file /etc/ads-proxy/proxy.yaml"),
        ("/home/ann/.config/../secrets/token2", "the file /home/ann/.config/../secrets/token2"),
        ("secrets/acme", "the file secrets/acme"),
        ("/home/ann/amzn1.oa2-cs.v1.6a7b8c9d", "the file that it names"),
        ("/home/ann/Atzr|IwEBIJ", "the file that it names"),
        ("/home/ann/3f9a0c1b2d", "the file that it names"),
    ],
)
def test_a_file_is_shown_where_its_path_looks_like_one(path: str, shown: str) -> None:
    """A secret that was written where a path belongs stays unsaid."""
    assert shown_file(Path(path)) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("listen",), "listen"),
        (("accounts", "acme", "region"), "accounts.acme.region"),
        (("accounts", "3f9a0c1b", "region"), "accounts.NAME.region"),
        (("clients", 0, "paths", 2), "clients[0].paths[2]"),
        (("acounts",), "acounts"),
        (("log", "levle"), "log.levle"),
        (("clients", 1, "key"), "clients[1].key"),
        (("log", "client_secret"), "log"),
        (("log", "level_3f9a0c1b"), "log"),
        (("listen", "x"), "listen"),
        (("secret",), ""),
    ],
)
def test_a_path_ends_before_what_cannot_be_shown(path: tuple[str | int, ...], shown: str) -> None:
    """Known and nearly known keys are shown, names as above."""
    assert shown_path(path) == shown


@pytest.mark.parametrize(
    ("key", "quoted"),
    [
        ("reuse_port", "'reuse_port'"),
        ("cap", "'cap'"),
        ("3f9a0c1b7d", "'3f9…'"),
        ("Atzr|IwEBIJ-x9", "'Atzr…'"),
        ("\x1b[31m" * 3, "'?[31…'"),
        ("two words", "'two…'"),
        ("x" * 33, "'xxxx…'"),
        ("$", "'…'"),
    ],
)
def test_an_unknown_key_is_quoted_as_far_as_it_is_no_secret(key: str, quoted: str) -> None:
    """A whole name, or at most four characters and a third of anything else, without what moves a cursor."""
    assert quoted_key(key) == quoted


def test_a_variable_is_shown_by_its_words() -> None:
    """What stands between double underscores is a name."""
    assert shown_variable("ADS_PROXY_ACCOUNTS__ACME__KEY_SHA256") == "ADS_PROXY_ACCOUNTS__ACME__KEY_SHA256"
    assert shown_variable("ADS_PROXY_ACCOUNTS__3F9A0C1B__REGION") == "ADS_PROXY_ACCOUNTS__NAME__REGION"


def test_a_suggestion_holds_known_words_alone() -> None:
    """What was written is compared, and not repeated."""
    assert did_you_mean("reportin", ("reporting", "other")) == "; did you mean 'reporting'?"
    assert did_you_mean("canary", ("reporting", "other")) == ""


def test_what_is_wrong_with_a_value_has_no_room_for_it() -> None:
    """A sentence of the list, a place and a shape: nothing else can be handed over, by pydantic neither."""
    error = expected.WrongValue(expected.Expected.LIST, found=expected.shape_of({"canary": 1}))
    assert str(error) == "must be a list, not a mapping"
    with pytest.raises(ValueError, match="Config") as caught:
        Config.model_validate({"listen": object(), "unknown": "canary"})
    told = explain_refusal(caught.value, {}, {})  # type: ignore[arg-type]  # any refusal will do
    assert [sentence for sentence in told if "canary" in sentence] == []
    assert len(told) == 2
