"""Identity providers and clients with JWTs in a configuration: what they may say, and what is told of mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.config import Config, load
from proxy.errors import ConfigurationError
from tests.config.test_file import ACCOUNT, DIGEST

CLUSTER = {"issuer": "https://cluster", "audience": "ads-proxy", "jwks": {"url": "https://cluster/jwks"}}
NIGHTLY = {"name": "nightly", "jwt": {"provider": "cluster", "claims": {"sub": "system:serviceaccount:ads:nightly"}}}


def read(folder: Path, clients: list[Any], **providers: Any) -> Config:
    (folder / "proxy.yaml").write_text(
        ACCOUNT
        + f"identity_providers: {json.dumps({'cluster': CLUSTER, **providers})}\nclients: {json.dumps(clients)}\n"
    )
    return load(folder / "proxy.yaml", {"TOKEN": "of-the-pod"})


def told(folder: Path, clients: list[Any], **providers: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, clients, **providers)
    return caught.value.problems


def with_jwt(name: str = "a", **jwt: Any) -> dict[str, Any]:
    return {"name": name, "jwt": {"provider": "cluster", "claims": {"sub": "x"}, **jwt}}


def test_a_client_has_keys_or_tokens_or_both(tmp_path: Path) -> None:
    """The provider has its defaults."""
    both = {**with_jwt("both", claims={"sub": ["x", "y"], "role": "z*"}), "key_sha256": DIGEST}
    found = read(tmp_path, [NIGHTLY, both], cluster={**CLUSTER, "token": {"env": "TOKEN"}})
    provider, [first, second] = found.identity_providers["cluster"], found.clients
    assert (provider.name, provider.algorithms, provider.jwks_max_age) == ("cluster", ("RS256", "ES256"), 86_400)
    assert (provider.require_nbf, provider.jwks.url) == (True, "https://cluster/jwks")
    assert (first.jwt is not None, first.all_keys) == (True, ())
    assert second.jwt is not None
    assert second.jwt.claims == {"sub": ("x", "y"), "role": ("z*",)}
    assert "of-the-pod" in [secret.reveal() for secret in found.secrets()]


def test_files_may_come_later_and_are_watched(tmp_path: Path) -> None:
    """What is wrong with them is a note, as it is of an address."""
    given = {**CLUSTER, "jwks": {"file": "jwks.json"}}
    found = read(tmp_path, [NIGHTLY], cluster=given, other={**CLUSTER, "issuer": "https://o", "ca_file": "ca.pem"})
    assert found.identity_providers["cluster"].jwks.file == tmp_path / "jwks.json"
    assert {tmp_path / "jwks.json", tmp_path / "ca.pem"} <= set(found.sources)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": ""}, "identity_providers.cluster.issuer: is empty"),
        ({"audience": None}, "identity_providers.cluster.audience: is missing"),
        ({"jwks": {}}, "identity_providers.cluster.jwks: must be exactly one of {url: ...} and {file: ...}"),
        ({"jwks": {"url": "https://a/b", "file": "x"}}, "identity_providers.cluster.jwks: must be exactly one"),
        ({"jwks": {"url": "http://cluster/jwks"}}, "identity_providers.cluster.jwks.url: is not encrypted"),
        ({"jwks": {"url": "HTTP://cluster/jwks"}}, "identity_providers.cluster.jwks.url: is not encrypted"),
        ({"jwks": {"url": "http://127.0.0.2:80/jwks"}}, ""),
        ({"jwks": {"url": "http://[::1/jwks"}}, "identity_providers.cluster.jwks.url: is not an http:// or https://"),
        ({"jwks": {"url": "https://u:p@cluster/jwks"}}, "identity_providers.cluster.jwks.url: must not hold a user"),
        (
            {"jwks": "https://cluster/jwks"},
            "identity_providers.cluster.jwks: must hold keys, not a text; there are: url, file",
        ),
        ({"jwks": {"file": "x"}, "ca_file": "y"}, "identity_providers.cluster.ca_file: has no effect with jwks.file"),
        ({"jwks": {"file": "x"}, "token": "canary"}, "identity_providers.cluster.token: has no effect with jwks.file"),
        ({"algorithms": ["HS256"]}, "identity_providers.cluster.algorithms[0]: is not one of RS256"),
        ({"algorithms": ["none"]}, "identity_providers.cluster.algorithms[0]: is not one of RS256"),
        ({"algorithms": []}, "identity_providers.cluster.algorithms: is empty; name at least one"),
        ({"algorithms": "ES384, EdDSA"}, ""),
        ({"jwks_max_age": 1}, "identity_providers.cluster.jwks_max_age: is out of range; it must be at least 60"),
        ({"token": {"env": "NO_SUCH"}}, "identity_providers.cluster.token: the environment variable"),
    ],
)
def test_a_wrong_provider_is_told(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    """Nothing that could make a stranger a client is taken."""
    provider = {name: value for name, value in {**CLUSTER, **changes}.items() if value is not None}
    if problem:
        assert any(each.startswith(problem) for each in told(tmp_path, [NIGHTLY], cluster=provider))
    else:
        assert read(tmp_path, [NIGHTLY], cluster=provider).identity_providers


def test_a_provider_is_a_mapping(tmp_path: Path) -> None:
    """Anything else is told once, and not looked into."""
    [problem] = told(tmp_path, [NIGHTLY], other="https://other")
    assert problem.startswith("identity_providers.other: ")


def test_two_providers_have_two_issuers(tmp_path: Path) -> None:
    """A token would be of either."""
    [problem] = told(tmp_path, [NIGHTLY], other=CLUSTER)
    assert problem == (
        "identity_providers.other.issuer: is the issuer of identity_providers.cluster too; keep one of the two"
    )


@pytest.mark.parametrize(
    ("clients", "problem"),
    [
        (
            [{"name": "a"}],
            "clients[0].keys: is missing, and so is key_sha256; make a key with `ads-proxy keys new NAME`",
        ),
        ([{"name": "a", "jwt": None}], "clients[0].keys: is missing"),
        ([with_jwt(provider="clustre")], "clients[0].jwt.provider: unknown identity provider; did you mean 'cluster'?"),
        ([with_jwt(provider="x")], "clients[0].jwt.provider: unknown identity provider; there are: cluster"),
        ([with_jwt(claims={})], "clients[0].jwt.claims: must hold claims"),
        ([with_jwt(claims=["sub"])], "clients[0].jwt.claims: must hold claims and what each has to be"),
        ([with_jwt(claims={"sub": ""})], "clients[0].jwt.claims: is not a claim's value"),
        ([with_jwt(claims={"sub": []})], "clients[0].jwt.claims: is not a claim's value"),
        ([with_jwt(claims={"sub": {"x": 1}})], "clients[0].jwt.claims: is not a claim's value"),
        ([with_jwt(claims={"sub": True})], "clients[0].jwt.claims: is not a claim's value"),
        ([with_jwt(claims={"sub": "x**"})], "clients[0].jwt.claims: holds '**'"),
        ([with_jwt(claims={"sub": "*"})], "clients[0].jwt.claims: would fit every token of the provider"),
        ([with_jwt(claims={"sub": "*:*/*"})], "clients[0].jwt.claims: would fit every token of the provider"),
        ([with_jwt(claims={"sub": ["*", "x"]})], ""),
        ([with_jwt(claims={"sub": "x", "aud": "y"})], "clients[0].jwt.claims.aud: is what the provider's audience is"),
        ([with_jwt(claims={"iss": "y"})], "clients[0].jwt.claims.iss: is what the provider's issuer is for"),
        ([with_jwt(claims={"sub": "x", "exp": "1"})], "clients[0].jwt.claims.exp: is a time"),
        ([with_jwt(), with_jwt("b")], "clients[1].jwt: is the same as clients[0].jwt, so that no token could be"),
        (
            [with_jwt(claims={"sub": ["x", "y"]}), with_jwt("b", claims={"sub": ["y", "x"]})],
            "clients[1].jwt: is the same as clients[0].jwt",
        ),
        ([with_jwt(), with_jwt("b", claims={"sub": "x", "role": "y"})], ""),
    ],
)
def test_a_wrong_client_is_told(tmp_path: Path, clients: list[Any], problem: str) -> None:
    """A client whose rule says nothing would be every workload of the provider."""
    if problem:
        assert any(each.startswith(problem) for each in told(tmp_path, clients)), told(tmp_path, clients)
    else:
        assert read(tmp_path, clients).clients


def test_without_providers_a_client_is_told_where_they_belong(tmp_path: Path) -> None:
    """The section is not there at all."""
    (tmp_path / "proxy.yaml").write_text(ACCOUNT + f"clients: {json.dumps([NIGHTLY])}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path / "proxy.yaml", {})
    assert caught.value.problems == (
        "clients[0].jwt.provider: unknown identity provider; add it to identity_providers",
    )
