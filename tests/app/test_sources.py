"""The values that tokens, profiles and the state store are made from, read out of a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app.sources import console_url, profile_sources, spill_directory, token_sources
from proxy.config import load
from proxy.tokens.opening import SpillDirectory
from tests.app.test_wiring import ENVIRONMENT


def test_an_account_asks_for_tokens_in_its_home_region_and_lists_in_all() -> None:
    """One token source with the home region's endpoint; one profile source with three addresses, that pins."""
    config = load(None, ENVIRONMENT)
    (source,) = token_sources(config)
    assert (source.account, source.token_url) == ("default", "https://api.amazon.co.uk/auth/o2/token")
    (listed,) = profile_sources(config, None)
    assert listed.api_urls == {
        "na": "https://advertising-api.amazon.com",
        "eu": "https://advertising-api-eu.amazon.com",
        "fe": "https://advertising-api-fe.amazon.com",
    }
    assert listed.pins_first


@pytest.mark.parametrize(
    ("admin", "page"),
    [
        ("127.0.0.1:9999", "http://127.0.0.1:9999/login/default"),
        ("0.0.0.0:9999", "http://localhost:9999/login/default"),
        ("[::]:9999", "http://localhost:9999/login/default"),
        ("[::1]:9999", "http://[::1]:9999/login/default"),
        ("127.0.0.1:0", ""),
    ],
)
def test_where_to_sign_in_is_known_where_the_port_is(admin: str, page: str) -> None:
    """An address that a browser on this machine can open."""
    keyed = {"ADS_PROXY_ADMIN_LISTEN": admin, "ADS_PROXY_ADMIN__KEY": "a-key-of-sixteen-bytes"}
    (source,) = token_sources(load(None, {**ENVIRONMENT, **keyed}))
    assert source.sign_in_url == page


@pytest.mark.parametrize("listen", ["127.0.0.1:9999", "127.0.0.1:0"])
def test_the_console_is_where_the_configuration_says(listen: str) -> None:
    """Whatever the admin listener's own address is, also while the system still chooses its port."""
    variables = {"ADS_PROXY_ADMIN__URL": "https://ads.test", "ADS_PROXY_ADMIN__KEY": "a-key-of-sixteen-bytes"}
    config = load(None, {**ENVIRONMENT, **variables, "ADS_PROXY_ADMIN_LISTEN": listen})
    (source,) = token_sources(config)
    assert source.sign_in_url == "https://ads.test/login/default"
    assert console_url(config, config.admin_listen) == "https://ads.test"


@pytest.mark.parametrize(
    ("text", "spill"),
    [
        ("", SpillDirectory("/home/u/.local/state/ads-proxy-spill", required=False)),
        ("spill: copies", SpillDirectory("{}/copies", required=True)),
        ("spill: off", None),
        ("spill: 'off'", None),
    ],
)
def test_copies_of_refresh_tokens_have_a_directory(tmp_path: Path, text: str, spill: SpillDirectory | None) -> None:
    """By default the user's; one that is named starts where the file is, and has to be usable."""
    file = tmp_path / "proxy.yaml"
    account = "accounts: {acme: {client_id: amzn1.x, client_secret: canary-secret}}\n"
    file.write_text(account + f"state: {{key: canary-state-key-0123, url: 'redis://h/0', {text}}}")
    config = load(file, {})
    found = spill_directory(config, {"HOME": "/home/u"})
    wanted = replace(spill, directory=spill.directory.format(tmp_path)) if spill is not None else None
    assert found == wanted
