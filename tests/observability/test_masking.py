"""Secrets stay out of the lines: those that are known, what looks like one, and what is none."""

from __future__ import annotations

import io
import random
import re
from functools import partial

import pytest

from proxy import events
from proxy.config import load, notes
from proxy.redaction import MIN_SECRET_IN_WORDS, Redaction
from proxy.secret import MASK, Secret
from proxy.tokens.invitation import Invitation, link
from tests.observability.test_logs import Start, lines
from tests.observability.test_metrics import finished
from tests.support.costs import cost_of


def test_known_secrets_are_masked_in_every_spelling(start: Start) -> None:
    """A registered secret is masked in details, paths and tracebacks, plain or percent-encoded."""
    stream = io.StringIO()
    logs = start(stream)
    logs.observe(finished(path="/k/canary-key/one"))
    logs.redact([Secret("canary-key"), Secret("p|pe/with+signs")])
    logs.observe(finished(path="/k/canary-key/one"))
    logs.observe(events.DefectMet("x", "ValueError: canary-key and p%7Cpe%2Fwith%2Bsigns"))
    logs.observe(events.ServerStarted("1", "a", "b", ("acme",), ("note canary-key",)))
    assert logs.flush()
    text = stream.getvalue().split("\n", 1)[1]
    assert "canary" not in text
    assert "with" not in text
    assert text.count("***") == 4


@pytest.mark.parametrize(
    "text",
    [
        "Atza|SECRETSECRET",
        "Atzr%7CSECRETSECRET",
        "Atzr\\u007cSECRETSECRET",
        "Bearer SECRETSECRET",
        "Authorization: Bearer SECRETSECRET",
        "authorization: SECRETSECRET",
        "Basic U0VDUkVUSECRET=",
        "grant_type=refresh_token&refresh_token=SECRETSECRET&client_secret=SECRET",
        '{"access_token": "SECRETSECRET", "refresh_token":"SECRET"}',
        "{'client_secret': 'SECRETSECRET'}",
        'b\'{"client_secret":"SECRET"}\'',
        "GET /login/callback?code=SECRETSECRET&state=x",
        "X-Ads-Proxy-Key: SECRETSECRET",
        "client_secret=SECRET",
        "client_secret = 'SECRET'",
        '"client_secret": "SECRET"',
        '"client_secret" : 5SECRET',
        "client_secret:SECRET",
        "client_secret: 'SECRET'",
        'refresh_token: \\"SECRET\\"',
        "client_secret: amzn1.SECRET.v1.SECRET",
        "client_secret%3DSECRET",
        "cookie: session=SECRET",
        "adsproxy_SECRET-with-43-characters",
        "/adsproxy_SECRETSECRET/v2",
        "adsproxy%5FSECRETSECRET",
        "adsproxy%5fSECRETSECRET?",
        '"adsproxy\\u005fSECRETSECRET"',
        "/invite/WyJlMDQ4NzlmZmU4ZDk2YWVjIiwiZ2xvYm.VPJIf8otGMSECRETSECRET",
        "/@acme/invite/SECRETWyJlMDQ4NzlmZmU4.VPJIf8otGMquDabtMCCVO/begin",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    """Tokens, keys of clients, authorization headers and credential fields are masked by their shape alone."""
    assert "SECRET" not in Redaction().clean(text)
    cleaned = Redaction().clean(f"before {text} after")
    assert "SECRET" not in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


def test_our_own_sentences_about_tokens_stay_whole() -> None:
    """The notes about credentials name the beginnings of tokens; that is no token."""
    odd = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y"}
    for token in ("Atza|abc", "abc", "'Atzr|abc'"):
        told = notes(load(None, {**odd, "AMAZON_ADS_REFRESH_TOKEN": token}))
        assert told
        assert [Redaction().clean(note) for note in told] == list(told)
    assert Redaction().clean("set a refresh token (Atzr|...) as the account") == (
        "set a refresh token (Atzr|...) as the account"
    )
    assert Redaction().clean("Atzr|-_SECRET. Atzr|SECRET/+=") == "*** ***"


def test_the_link_of_a_real_invitation_is_masked() -> None:
    """An invitation's link connects an account, and may reach the wrong listener behind a load balancer."""
    made = Invitation("e04879ffe8d96aec", "globex", 1.8e9, 1.9e9, "us")
    path = link("", made, b"key")
    assert Redaction().clean(path) == "/invite/***"
    assert Redaction().clean(f"GET {path}/begin: unknown") == "GET /invite/***/begin: unknown"
    assert Redaction().clean("/invite/static/console.css") == "/invite/static/console.css"


def test_masking_leaves_ordinary_text_alone() -> None:
    """Sentences about tokens are not mangled."""
    text = "The refresh token of acme was revoked: sign in again (code 400, a Bearer token is fine)."
    assert Redaction().clean(text) == text


@pytest.mark.parametrize(
    "problem",
    [
        "the file /run/secrets/acme-secret-2 does not exist",
        "/run/secrets/acme-secret-2 is a directory; name a file",
        "~/secrets/acme-secret-20 is a directory; name a file",
        "the environment variable ACME_SECRET_2 is not set",
        "must be {file: PATH}, {env: NAME}, {command: [PROGRAM, ...]} or a text in quotes",
        "required",
        "looks like a client id; a secret begins with 'amzn1.oa2-cs.'",
    ],
)
@pytest.mark.parametrize("key", ["client_secret", "refresh_token"])
def test_a_sentence_after_a_key_is_no_value(key: str, problem: str) -> None:
    """What the configuration says about a secret stays readable."""
    text = f"accounts.acme.{key}: {problem}"
    assert Redaction().clean(text) == text


def test_where_a_key_belongs_can_be_said() -> None:
    """The proxy's own advice about headers is not taken for one."""
    text = "Send the key as X-Ads-Proxy-Key: KEY or Authorization: Bearer KEY."
    assert Redaction().clean(text) == text


def test_a_short_secret_is_masked_as_a_word_only() -> None:
    """Under eight characters within no other word, under four not at all; longer ones wherever they stand."""
    redaction = Redaction()
    redaction.know([Secret("secret"), Secret("abc"), Secret("longsecret")])
    assert redaction.clean("client_secret: the secret file") == "client_secret: the *** file"
    assert redaction.clean("secrets, my-secret, /secret/, abc") == "secrets, my-secret, /***/, abc"
    assert redaction.clean("xlongsecrety") == "x***y"


@pytest.mark.parametrize("cut", [48, 64, 79])
def test_a_secret_that_a_message_cuts_is_masked(cut: int) -> None:
    """Messages show the first characters of a wrong name, and the console those of a path: not those of a secret."""
    secret = "amzn1.oa2-cs.v1." + "0123456789abcdef" * 4
    redaction = Redaction()
    redaction.know([Secret(secret), Secret("https://user:canary-canary@proxy.corp:3128")])
    kept = secret[:cut]
    assert redaction.clean(f"Unknown route or account '{kept}. Did you") == "Unknown route or account '***. Did you"
    assert redaction.clean(f"/sp/{kept}") == "/sp/***"
    assert redaction.holds_known(kept)
    for text in ("a secret begins with amzn1.oa2-cs.v1.", f"{kept}-of-another", "https://user:canary is no secret"):
        assert redaction.clean(text) == text


@pytest.mark.parametrize("others", [("a" * 80,), ("m" * 80,), ("m" * 80, "n" * 90), ("1" * 70, "m" * 80)])
def test_a_secret_that_is_cut_is_masked_next_to_longer_ones(others: tuple[str, ...]) -> None:
    """Half of the shortest of several secrets that begin alike is secret."""
    shared = "0123456789abcdefghij"
    redaction = Redaction()
    redaction.know(Secret(shared + end) for end in (*others, "z" * 20))
    assert redaction.clean(f"'{shared}. Did you") == "'***. Did you"
    assert redaction.clean(f"/{shared[:19]}.") == f"/{shared[:19]}."
    assert redaction.clean(f"/{shared}-else") == f"/{shared}-else"


def test_a_secret_object_in_a_line_is_stars(start: Start) -> None:
    """A Secret that code passes to the log by mistake is logged as stars."""
    stream = io.StringIO()
    logs = start(stream)
    logs.write("info", "mistake", value=Secret("canary"), many={"x": [Secret("canary")]})
    (line,) = lines(stream, logs)
    assert (line["value"], line["many"]) == ("***", {"x": ["***"]})


def masked_by_one_pattern(text: str, spellings: list[str]) -> str:
    """What one pattern of all spellings masks: the first place, and the longest there."""
    longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    whole = "|".join(
        re.escape(each) if len(each) >= MIN_SECRET_IN_WORDS else rf"(?<![\w-]){re.escape(each)}(?![\w-])"
        for each in longest_first
    )
    return re.sub(whole, MASK, text)


@pytest.mark.parametrize("seed", range(40))
def test_many_secrets_are_masked_as_by_one_pattern(seed: int) -> None:
    """Secrets that begin alike, contain each other or overlap: the same as if each text were tried everywhere."""
    rng = random.Random(seed)
    spellings = ["".join(rng.choices("ab-", k=rng.randint(4, 10))) for _ in range(rng.randint(1, 200))]
    redaction = Redaction()
    half = len(spellings) // 2
    redaction.know(map(Secret, spellings[:half]))
    redaction.know(map(Secret, spellings))
    for _ in range(50):
        text = "".join(rng.choices("ab- /", k=60))
        assert redaction.clean(text) == masked_by_one_pattern(text, spellings)


def test_secrets_of_ten_thousand_accounts_are_masked() -> None:
    """Each secret is masked, wherever it is; they begin alike, as Amazon's do."""
    secrets = [f"amzn1.oa2-cs.v1.{number:032x}" for number in range(10_000)]
    redaction = Redaction()
    redaction.know(map(Secret, secrets))
    assert redaction.clean(f"a {secrets[0]}, b {secrets[9_999]}: c") == "a ***, b ***: c"
    assert redaction.clean("amzn1.oa2-cs.v1.canary") == "amzn1.oa2-cs.v1.canary"


def test_a_path_that_begins_like_secrets_costs_the_same_with_ten_thousand() -> None:
    """Anybody can send the first characters of Amazon's secrets again and again: the event loop reads each path."""
    path = "/" + "amzn1.oa2-cs.v1." * 100
    costs = []
    for accounts in (100, 10_000):
        redaction = Redaction()
        redaction.know(Secret(f"amzn1.oa2-cs.v1.{number:032x}") for number in range(accounts))
        redaction.clean(path)
        costs.append(cost_of(partial(redaction.clean, path)))
    few, many = costs
    assert many.instructions < 2 * few.instructions


def test_ids_that_begin_like_secrets_cost_no_more_than_other_texts() -> None:
    """Ids of applications and ads accounts are in many a line, and begin with `amzn1.`, as client secrets do."""
    redaction = Redaction()
    redaction.know([Secret("amzn1.oa2-cs.v1.canary-1"), Secret("amzn1.oa2-cs.v1.canary-2")])
    texts = ("amzn1.ads-account.g.1/" * 100, "other.ads-account.g.1/" * 100)
    alike, other = (cost_of(partial(redaction.clean, text)) for text in texts)
    assert alike.instructions < 2 * other.instructions
    assert redaction.clean("amzn1.oa2-cs.v1.canary-1 amzn1.oa2-cs.v1.canary") == "*** ***"
