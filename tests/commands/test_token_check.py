"""`check --as-jwt`: which client a token is, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.commands.cli import app
from proxy.commands.token_check import explain_token
from proxy.config import load
from proxy.errors import ConfigurationError
from tests.support.issuers import Signer, jwks, service_account

NOW = 1_800_000_000.0
RS = Signer()
NIGHTLY = "system:serviceaccount:ads:nightly"
RULES = {
    "nightly": {"sub": NIGHTLY},
    "all": {"sub": "system:serviceaccount:other:*"},
    "first": {"sub": "system:serviceaccount:other:first", "role": ["x", "y"]},
}


@pytest.fixture(name="folder")
def folder_with_a_configuration(tmp_path: Path) -> Path:
    provider = {
        "issuer": service_account(NOW)["iss"],
        "audience": "ads-proxy",
        "jwks": {"file": "jwks.json"},
        "algorithms": ["RS256"],
    }
    clients = [{"name": name, "jwt": {"provider": "cluster", "claims": claims}} for name, claims in RULES.items()]
    document = {
        "accounts": {"acme": {"client_id": "a", "client_secret": "s"}},
        "identity_providers": {"cluster": provider, "other": {**provider, "issuer": "https://other"}},
        "clients": [
            *clients,
            {"name": "elsewhere", "jwt": {"provider": "other", "claims": {"sub": "x"}}},
            {"name": "keyed", "key_sha256": "ab" * 32},
        ],
    }
    (tmp_path / "proxy.yaml").write_text(json.dumps(document))
    (tmp_path / "jwks.json").write_text(jwks(RS))
    return tmp_path


def told(folder: Path, capsys: pytest.CaptureFixture[str], token: str) -> tuple[int, str]:
    (folder / "token").write_text(f"{token}\n")
    code = explain_token(load(folder / "proxy.yaml", {}), folder / "token", NOW)
    return code, " ".join(capsys.readouterr().out.split())


def test_a_token_is_told_its_client(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And why it is none of the others."""
    code, said = told(folder, capsys, RS.token(service_account(NOW)))
    assert code == 0
    assert f"It is of the identity provider cluster, and of {NIGHTLY}." in said
    assert (
        f"Client all is another one (claims.sub): the token has {NIGHTLY}, not system:serviceaccount:other:*." in said
    )
    assert said.endswith("Yes: It is client nightly.")
    assert "elsewhere" not in said
    code, said = told(folder, capsys, RS.token(service_account(NOW, sub="system:serviceaccount:other:first")))
    assert (code, said.endswith("Yes: It is client all.")) == (0, True)
    assert "Client first is another one (claims.role): it wants x or y." in said


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (RS.token(service_account(NOW, sub="x")), "No: It is no client."),
        (
            RS.token(service_account(NOW, sub="system:serviceaccount:other:first", role="x")),
            "No: It fits several clients: all, first; narrow their claims.",
        ),
        (RS.token(service_account(NOW, aud="x")), "No (aud): the audience is x, not ads-proxy."),
        (RS.token(service_account(NOW, aud=None)), "No (aud): the audience is null, not ads-proxy."),
        (RS.token(service_account(NOW, lives=-61)), "No (time): The token expired at Fri, 15 Jan 2027 07:58:59 GMT."),
        (RS.token(service_account(NOW, iss="https://x")), "No (iss): the issuer is https://x. The identity providers"),
        (RS.token(service_account(NOW), alg="RS512"), "No (alg): RS512 is none of RS256."),
        (RS.token(service_account(NOW), kid="x"), "No (kid): no single key x for RS256; the provider has first."),
        (Signer(serial=1).token(service_account(NOW)), "No (signature): it is wrong."),
        (RS.token(service_account(NOW), crit=["x"]), "No: The header of the token has the member crit"),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(
    folder: Path, capsys: pytest.CaptureFixture[str], token: str, words: str
) -> None:
    """The operator may know."""
    code, said = told(folder, capsys, token)
    assert code == 1
    assert words in said


def test_keys_that_cannot_be_read_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What else is wrong is told, too."""
    (folder / "jwks.json").unlink()
    code, said = told(folder, capsys, RS.token(service_account(NOW, aud="x")))
    assert code == 1
    assert f"No (jwks): the keys cannot be read: {folder}/jwks.json: No such file or directory." in said
    assert "No (aud)" in said


@pytest.mark.parametrize(("content", "words"), [("a-key", "does not hold a JWT"), (None, "cannot be read")])
def test_a_file_without_a_token_is_told(folder: Path, content: str | None, words: str) -> None:
    """Its content is not shown: it may be a key."""
    if content is not None:
        (folder / "token").write_text(content)
    with pytest.raises(ConfigurationError, match=words) as caught:
        explain_token(load(folder / "proxy.yaml", {}), folder / "token")
    assert "a-key" not in str(caught.value)


@pytest.mark.parametrize("other", [["--offline"], ["--as", "nightly"], ["--diff", "x"], ["GET", "/v2/profiles"]])
def test_other_options_are_refused(folder: Path, other: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """They would have no effect."""
    monkeypatch.delenv("ADS_PROXY_CONFIG", raising=False)
    arguments: list[Any] = ["check", "--as-jwt", "token", "--config", str(folder / "proxy.yaml"), *other]
    found = CliRunner().invoke(app, arguments)
    assert isinstance(found.exception, ConfigurationError) or found.exit_code == 2
    assert "--as-jwt FILE accepts no other option than --config" in str(found.exception) + found.output
