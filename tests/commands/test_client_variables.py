"""The variables that lead clients through the proxy: what each holds, and what stays of the environment."""

from __future__ import annotations

import re
import shlex
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest

from proxy.commands.client_variables import (
    ClientPlacement,
    TrustFiles,
    base_urls,
    credentials,
    interception_variables,
    losses,
    named_bundles,
)
from proxy.intercept.hosts import AMAZON_HOSTS
from tests.support.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = ClientPlacement("http://127.0.0.1:8080")
FILES = TrustFiles(Path("/run/t"))
JAVA = (
    "-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=8080 -Dhttp.nonProxyHosts=127.0.0.1|localhost|*.localhost|[::1] "
    "-Djdk.http.auth.tunneling.disabledSchemes= -Djavax.net.ssl.trustStore=/run/t/truststore.p12 "
    "-Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit"
)


def variables(environ: Mapping[str, str], place: ClientPlacement = HERE, files: TrustFiles = FILES) -> dict[str, str]:
    return interception_variables(environ, place, files)


def test_an_empty_environment_gets_every_variable() -> None:
    """One proxy, one file of authorities, both spellings."""
    assert variables({}) == {
        "HTTPS_PROXY": "http://127.0.0.1:8080",
        "https_proxy": "http://127.0.0.1:8080",
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
        "SSL_CERT_FILE": "/run/t/bundle.pem",
        "REQUESTS_CA_BUNDLE": "/run/t/bundle.pem",
        "CURL_CA_BUNDLE": "/run/t/bundle.pem",
        "NODE_EXTRA_CA_CERTS": "/run/t/bundle.pem",
        "AWS_CA_BUNDLE": "/run/t/bundle.pem",
        "DENO_CERT": "/run/t/bundle.pem",
        "NODE_USE_ENV_PROXY": "1",
        "SYSTEM_WGETRC": "/run/t/wgetrc",
        "PHP_INI_SCAN_DIR": ":/run/t/php.d",
        "JAVA_TOOL_OPTIONS": JAVA,
    }


def test_the_variables_of_a_shell_that_has_them_are_the_same() -> None:
    """Nothing grows from call to call, and nothing is lost."""
    place = ClientPlacement("https://ads.internal:8443", "", "looker", "a-key")
    once = variables({"NO_PROXY": ".corp", "JAVA_TOOL_OPTIONS": "-Xmx1g"}, place)
    assert variables(once, place) == once
    assert losses(once, once) == ()


@pytest.mark.parametrize(
    ("client", "key"),
    [("looker", "a-key_1"), ("team/eu", "p@ss:w/rd%"), ("näme", "k+y&=?#")],
)
def test_client_and_key_are_in_the_proxys_url(client: str, key: str) -> None:
    """Percent-encoded, so that every client reads them back."""
    given = urlsplit(variables({}, ClientPlacement("http://127.0.0.1:8080", "", client, key))["HTTPS_PROXY"])
    assert (unquote(given.username or ""), unquote(given.password or "")) == (client, key)
    assert (given.scheme, given.hostname, given.port) == ("http", "127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NO_PROXY": "internal, .corp"}, "internal,.corp,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "internal", "no_proxy": "other 10.0.0.0/8"}, "internal,other,10.0.0.0/8,127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost,internal"}, "localhost,internal,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": ".amazon.com,.amazonaws.com"}, ".amazonaws.com,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "Advertising-API.amazon.com:443,*.com,notamazon.com"}, "notamazon.com,127.0.0.1,localhost,::1"),
    ],
)
def test_hosts_that_bypass_the_proxy(environ: dict[str, str], expected: str) -> None:
    """Hosts of the environment still do, Amazon's never."""
    given = variables(environ)
    assert (given["NO_PROXY"], given["no_proxy"]) == (expected, expected)


def test_python_takes_the_proxy_for_every_host_of_amazons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever NO_PROXY said before; its base URL is reached directly."""
    environ = {"NO_PROXY": "*", "no_proxy": "amazon.com,amazon.co.uk", "https_proxy": "http://other:1"}
    given = variables(environ, ClientPlacement("http://ads.internal:8080"))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.getproxies_environment()["https"] == "http://ads.internal:8080"
    assert not [host for host in AMAZON_HOSTS if urllib.request.proxy_bypass(host)]
    assert urllib.request.proxy_bypass("ads.internal:8080")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ("-Xmx1g  -Da=b", ["-Xmx1g", "-Da=b"]),
        ("-Da='b c' \"-Dd=e f\"", ["-Da='b c'", '"-Dd=e f"']),
        ("-Dhttps.proxyHost=old -Dhttps.proxyPassword=secret -Xss1m '-Dhttp.nonProxyHosts=a|b'", ["-Xss1m"]),
        ("-Djavax.net.ssl.trustStore=/etc/corp.jks -Djavax.net.ssl.keyStore=/k", ["-Djavax.net.ssl.keyStore=/k"]),
    ],
)
def test_options_of_java_stay(environ: str, words: list[str]) -> None:
    """Except those that the proxy's replace."""
    assert variables({"JAVA_TOOL_OPTIONS": environ})["JAVA_TOOL_OPTIONS"] == " ".join((*words, JAVA))


def test_hosts_that_bypass_the_proxy_in_javas_form() -> None:
    """A domain covers its hosts; the port does not count; IPv6 has brackets."""
    given = variables({"NO_PROXY": ".corp,10.0.0.1,db:5432,fe80::1,*.lan"})["JAVA_TOOL_OPTIONS"]
    (hosts,) = (word for word in given.split() if word.startswith("-Dhttp.nonProxyHosts="))
    patterns = hosts.partition("=")[2].split("|")
    assert patterns == [
        *("corp", "*.corp", "10.0.0.1", "db", "*.db", "[fe80::1]", "lan", "*.lan"),
        *("127.0.0.1", "localhost", "*.localhost", "[::1]"),
    ]


@pytest.mark.parametrize("folder", ["/run/a b", "/run/it's", '/run/a "b"'])
def test_a_folder_with_spaces_or_quotes_stays_one_word_of_javas(folder: str) -> None:
    """The JVM splits at spaces outside quotes."""
    given = variables({}, files=TrustFiles(Path(folder)))["JAVA_TOOL_OPTIONS"]
    assert f"-Djavax.net.ssl.trustStore={folder}/truststore.p12" in shlex.split(given)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ":/run/t/php.d"),
        ("/etc/php/own", "/etc/php/own:/run/t/php.d"),
        ("/a::/b", "/a::/b:/run/t/php.d"),
        (":/run/t/php.d", ":/run/t/php.d"),
    ],
)
def test_php_reads_its_own_settings_too(before: str, after: str) -> None:
    """An empty entry is the folder that PHP was built with; later folders win."""
    assert variables({"PHP_INI_SCAN_DIR": before})["PHP_INI_SCAN_DIR"] == after


HTTPS_NOTE, NO_PROXY_NOTE, JAVA_NOTE = "HTTPS_PROXY named", "NO_PROXY has", "JAVA_TOOL_OPTIONS named"


@pytest.mark.parametrize(
    ("environ", "notes"),
    [
        ({}, []),
        ({"HTTPS_PROXY": "", "https_proxy": "http://c:old-key@127.0.0.1:8080", "NO_PROXY": "internal"}, []),
        ({"HTTPS_PROXY": "http://user:canary@proxy.corp:3128"}, [HTTPS_NOTE]),
        ({"https_proxy": "proxy.corp:3128"}, [HTTPS_NOTE]),
        ({"https_proxy": "127.0.0.1:8080"}, []),
        ({"NO_PROXY": "amazon.com,.corp", "no_proxy": "amazon.com"}, [NO_PROXY_NOTE]),
        ({"JAVA_TOOL_OPTIONS": "-Djavax.net.ssl.trustStore=/etc/corp.jks"}, [JAVA_NOTE]),
        ({"JAVA_TOOL_OPTIONS": "-Xmx1g -Djavax.net.ssl.trustStorePassword=canary"}, []),
        ({"JAVA_TOOL_OPTIONS": JAVA}, []),
    ],
)
def test_a_note_for_each_value_that_is_lost(environ: dict[str, str], notes: list[str]) -> None:
    """A company's proxy, an entry for Amazon's hosts, a trust store; never a password."""
    told = losses(environ, variables(environ))
    assert len(told) == len(notes)
    assert all(note.startswith(begin) for note, begin in zip(told, notes, strict=True))
    assert "canary" not in "".join(told)


def test_the_note_names_the_entries_for_amazons_hosts() -> None:
    """Each once, and no other; and what to do about other hosts that they covered."""
    (note,) = losses({"NO_PROXY": "amazon.com,.corp", "no_proxy": "amazon.com,*"}, variables({}))
    assert ": amazon.com, *. " in note
    assert "add these one by one" in note


def test_files_of_authorities_that_the_environment_names() -> None:
    """Each once, in a fixed order; other variables do not count."""
    environ = {"AWS_CA_BUNDLE": "/b", "SSL_CERT_FILE": "/a", "CURL_CA_BUNDLE": "/a", "DENO_CERT": "", "OTHER": "/c"}
    assert named_bundles(environ) == ("/a", "/b")


def test_the_page_lists_every_variable() -> None:
    """In its first column; prefixes stand for the credentials."""
    page = (ROOT / "docs" / "reference" / "client-variables.md").read_text(encoding="utf-8")
    listed = {name for row in re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert {*variables({}), *base_urls(HERE, several_accounts=False), *credentials({}, HERE, ())} <= listed


def test_base_urls_and_credentials() -> None:
    """The account is in the address where there are several; a client has its key, others a stand-in."""
    place = ClientPlacement("http://127.0.0.1:1", "eu", "looker", "a-key")
    assert base_urls(place, several_accounts=True) == {
        "AMAZON_ADS_API_URL": "http://127.0.0.1:1/@eu",
        "AMAZON_ADS_MCP_URL": "http://127.0.0.1:1/@eu/mcp",
        "AMAZON_ADS_TOKEN_URL": "http://127.0.0.1:1/auth/o2/token",
    }
    assert base_urls(place, several_accounts=False)["AMAZON_ADS_API_URL"] == "http://127.0.0.1:1"
    assert credentials({}, place, ("X_",)) == {
        "AMAZON_ADS_ACCESS_TOKEN": "a-key",
        "X_CLIENT_ID": "looker",
        "X_CLIENT_SECRET": "a-key",
        "X_REFRESH_TOKEN": "eu",
    }
    assert {*credentials({}, HERE, ("X_",)).values()} == {"ads-proxy"}


def test_names_that_go_before_other_credentials_replace_values_alone() -> None:
    """A client that has its credentials and a profile elsewhere would take these, and have no profile."""
    assert not [name for name in credentials({}, HERE, ()) if name.startswith("AD_API_")]
    given = credentials({"AD_API_CLIENT_ID": "amzn1.x", "AD_API_PROFILE_ID": "1"}, HERE, ())
    assert given == {"AMAZON_ADS_ACCESS_TOKEN": "ads-proxy", "AD_API_CLIENT_ID": "ads-proxy"}
