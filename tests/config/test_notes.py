"""The notes at the start about a valid configuration."""

from __future__ import annotations

import pytest

from proxy.config import load, notes

ONE = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y", "HOME": "/home/u"}
CLIENTS = '[{"name": "a", "access": "write", "key_sha256": "%s"}]' % ("ab" * 32)
ENDED = CLIENTS.replace(f'"key_sha256": "{"ab" * 32}"', f'"keys": [{{"sha256": "{"ab" * 32}", "expires": "DAY"}}]')
UNLIMITED = CLIENTS.replace("}", ', "unscoped_paths": ["/mcp"]}')
SPENDING = CLIENTS.replace("}", ', "spend": {}}')
PROFILED = UNLIMITED.replace("}", ', "profiles": ["1"]}')
ACCOUNTED = UNLIMITED.replace("}", ', "account_ids": ["1"]}')

ADMIN_KEY = "an-admin-key-of-16-bytes"


@pytest.mark.parametrize(
    ("environ", "beginnings"),
    [
        ({}, []),
        ({"ADS_PROXY_STATE__URL": "memory:"}, []),
        (
            {"ADS_PROXY_LISTEN": "0.0.0.0:8080", "ADS_PROXY_ALLOW_UNAUTHENTICATED": "true"},
            ["0.0.0.0:8080 can be reached from other machines"],
        ),
        ({"ADS_PROXY_LISTEN": "0.0.0.0:8080", "ADS_PROXY_CLIENTS": CLIENTS}, ["0.0.0.0:8080 is plain HTTP"]),
        ({"ADS_PROXY_REGIONS__NA__API_URL": "http://127.0.0.1:9001"}, []),
        ({"AMAZON_ADS_CLIENT_ID": "amzn1.oa2-cs.v1.abc"}, ["accounts.default.client_id looks like a client secret"]),
        (
            {"AMAZON_ADS_CLIENT_SECRET": "amzn1.application-oa2-client.abc"},
            ["accounts.default.client_secret looks like a client id"],
        ),
        ({"AMAZON_ADS_CLIENT_SECRET": "'y'"}, ["accounts.default.client_secret holds quotation marks"]),
        ({"AMAZON_ADS_REFRESH_TOKEN": "Atzr|abc"}, []),
        ({"AMAZON_ADS_REFRESH_TOKEN": "'Atzr|abc'"}, ["accounts.default.refresh_token holds quotation marks"]),
        ({"AMAZON_ADS_REFRESH_TOKEN": "Atza|abc"}, ["accounts.default.refresh_token looks like an access token"]),
        ({"AMAZON_ADS_REFRESH_TOKEN": "Atzr"}, ["accounts.default.refresh_token does not begin with Atzr|"]),
        ({"ADS_PROXY_CLIENTS": UNLIMITED}, ["The unscoped_paths of client a have no effect"]),
        ({"ADS_PROXY_CLIENTS": PROFILED}, []),
        ({"ADS_PROXY_CLIENTS": SPENDING}, []),
        (
            {"ADS_PROXY_CLIENTS": SPENDING.replace('"write"', '"report"')},
            ["The spend of client a has no effect: with access: report, it sends no writes"],
        ),
        ({"ADS_PROXY_ADMIN__URL": "http://localhost:9000"}, []),
        ({"ADS_PROXY_ADMIN__URL": "https://ads.internal", "ADS_PROXY_ADMIN__KEY": ADMIN_KEY}, []),
        (
            {"ADS_PROXY_ADMIN__URL": "http://ads.internal", "ADS_PROXY_ADMIN__KEY": ADMIN_KEY},
            ["admin.url is plain HTTP: keys of the console cross"],
        ),
        ({"ADS_PROXY_NOTIFY__WEBHOOK": "http://127.0.0.1:9/x"}, []),
        ({"ADS_PROXY_NOTIFY__WEBHOOK": "http://hooks.internal/x"}, ["notify.webhook is plain HTTP"]),
        ({"ADS_PROXY_TELEMETRY__OTLP": "http://127.0.0.1:4318/v1/traces"}, []),
        ({"ADS_PROXY_TELEMETRY__OTLP": "http://otel.internal/v1/traces"}, ["telemetry.otlp is plain HTTP"]),
        ({"ADS_PROXY_TELEMETRY__TRUST_TRACEPARENT": "true"}, ["telemetry.trust_traceparent has no effect"]),
        ({"ADS_PROXY_CLIENTS": ENDED.replace("DAY", "2026-01-01")}, ["Every key of client a has expired"]),
        (
            {
                "ADS_PROXY_CLIENTS": ENDED.replace("DAY", "2026-01-01").replace(
                    '"name"', '"jwt": {"provider": "mesh", "claims": {"sub": "x"}}, "name"', 1
                ),
                "ADS_PROXY_IDENTITY_PROVIDERS": '{"mesh": {"issuer": "https://m", "audience": "a", '
                '"jwks": {"url": "https://m/keys"}}}',
            },
            [],
        ),
        ({"ADS_PROXY_CLIENTS": ENDED.replace("DAY", "9998-12-31")}, []),
        ({"ADS_PROXY_CLIENTS": ACCOUNTED}, []),
        ({"ADS_PROXY_CLIENTS": CLIENTS.replace('"write"', '"admin"')}, []),
        (
            {"ADS_PROXY_CLIENTS": CLIENTS.replace('"access": "write", ', "")},
            ["Clients without access can administer users, accounts, billing, terms and paid studies until"],
        ),
        ({"ADS_PROXY_INTERCEPT__ENABLED": "true", "ADS_PROXY_INTERCEPT__PASS": "*,*.amazon.com"}, []),
        (
            {"ADS_PROXY_INTERCEPT__ENABLED": "true", "ADS_PROXY_INTERCEPT__PASS": "a.example,API.amazon.com"},
            ["intercept.pass: api.amazon.com has no effect, as the proxy answers for this host itself."],
        ),
        (
            {
                "ADS_PROXY_INTERCEPT__ENABLED": "true",
                "ADS_PROXY_INTERCEPT__LISTEN": "0.0.0.0:8443",
                "ADS_PROXY_ALLOW_UNAUTHENTICATED": "true",
            },
            ["0.0.0.0:8443 can be reached from other machines, and needs no key"],
        ),
        ({"ADS_PROXY_REGIONS__NA__API_URL": "http://simulator:9001"}, ["regions.na.api_url is plain HTTP"]),
    ],
)
def test_what_is_worth_a_word_is_told(environ: dict[str, str], beginnings: list[str]) -> None:
    """An ordinary configuration has no note, and each chosen risk has one sentence."""
    told = notes(load(None, {**ONE, **environ}))
    assert len(told) == len(beginnings)
    assert all(sentence.startswith(beginning) for sentence, beginning in zip(told, beginnings, strict=True))
