"""What is said at the start about a valid configuration."""

from __future__ import annotations

import pytest

from proxy.config import load, notes

ONE = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "HOME": "/home/u"}
CLIENTS = '[{"name": "a", "key_sha256": "%s"}]' % ("ab" * 32)


@pytest.mark.parametrize(
    ("environ", "beginnings"),
    [
        ({}, []),
        ({"ADS_PROXY_STATE__URL": "memory:"}, ["state.url is memory:"]),
        (
            {"ADS_PROXY_LISTEN": "0.0.0.0:8080", "ADS_PROXY_ALLOW_UNAUTHENTICATED": "true"},
            ["0.0.0.0:8080 can be reached from other machines"],
        ),
        ({"ADS_PROXY_LISTEN": "0.0.0.0:8080", "ADS_PROXY_CLIENTS": CLIENTS}, ["0.0.0.0:8080 is plain HTTP"]),
        ({"ADS_PROXY_REGIONS__NA__API_URL": "http://127.0.0.1:9001"}, []),
        ({"ADS_PROXY_REGIONS__NA__API_URL": "http://simulator:9001"}, ["regions.na.api_url is plain HTTP"]),
    ],
)
def test_what_is_worth_a_word_is_told(environ: dict[str, str], beginnings: list[str]) -> None:
    """Nothing for an ordinary configuration, one sentence for each risk that somebody chose."""
    told = notes(load(None, {**ONE, **environ}))
    assert len(told) == len(beginnings)
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(told, beginnings, strict=True))
