"""Variables that lead clients to the proxy: its addresses, stand-ins for Amazon's credentials, and what makes clients
with Amazon's own addresses call through the proxy and trust its authority.

docs/reference/client-variables.md says which client reads which variable. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STAND_IN = "ads-proxy"
"""The text for credentials that a client requires but nothing checks."""
JAVA_PASSWORD = "changeit"  # noqa: S105 - the usual word for stores of certificates, which are public
"""The password of the Java trust store. Java does not read a store without one."""
TRUST_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
)
"""Variables that name a file of trusted authorities."""
_THROUGH, _PAST = ("HTTPS_PROXY", "https_proxy"), ("NO_PROXY", "no_proxy")
"""Both spellings: curl, Python and Node prefer the lower case, Go the upper case."""
_REPLACED = "AD_API_"
"""How the names begin that are set only where the environment has them."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_JAVA = "JAVA_TOOL_OPTIONS"
WGET = "SYSTEM_WGETRC"
"""Not WGETRC: that one replaces the user's own settings, which may have passwords."""
_PHP = "PHP_INI_SCAN_DIR"
_JAVA_WORD = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
"""A word of JAVA_TOOL_OPTIONS as the JVM splits them: quotes keep spaces, and nothing escapes a quote."""
_OURS_IN_JAVA = (
    "-Dhttps.proxy",
    "-Dhttp.nonProxyHosts=",
    "-Djdk.http.auth.tunneling.disabledSchemes=",
    "-Djavax.net.ssl.trustStore",
)
"""How the words begin that the proxy's replace."""


@dataclass(frozen=True, slots=True)
class ClientPlacement:
    """Where the proxy is for a client, and as whom the client calls. Empty names: the configuration has no clients, or
    leaves the account open."""

    url: str
    account: str = ""
    client: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """Files with every authority that a client may trust, the proxy's included: as PEM, and as a Java trust store; and
    settings of programs that no variable leads to the bundle."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle.pem"

    @property
    def java_store(self) -> Path:
        return self.folder / "truststore.p12"

    @property
    def wgetrc(self) -> Path:
        """The system's settings of wget, with the bundle."""
        return self.folder / "wgetrc"

    @property
    def php_settings(self) -> Path:
        """Settings of PHP, in a folder of its own: PHP reads all of a folder."""
        return self.folder / "php.d" / "ads-proxy.ini"


# --- Addresses and credentials ---------------------------------------------------------------------------------


def base_urls(place: ClientPlacement, several_accounts: bool) -> dict[str, str]:
    """Addresses for clients that take a base URL."""
    base = f"{place.url}/@{place.account}" if place.account and several_accounts else place.url
    return {
        "AMAZON_ADS_API_URL": base,
        "AMAZON_ADS_MCP_URL": f"{base}/mcp",
        "AMAZON_ADS_TOKEN_URL": f"{place.url}/auth/o2/token",
    }


def credentials(environ: Mapping[str, str], place: ClientPlacement, prefixes: Iterable[str]) -> dict[str, str]:
    """What clients with a login of their own send to the local token endpoint, by the names that they read.

    `AD_API_...` only replace values of `environ`. python-amazon-ad-api prefers them to credentials in code or a file,
    and then misses the profile that is named there.
    """
    login = {
        "CLIENT_ID": place.client or STAND_IN,
        "CLIENT_SECRET": place.key or STAND_IN,
        "REFRESH_TOKEN": place.account or STAND_IN,
    }
    named = {f"{prefix}{name}": value for prefix in prefixes for name, value in login.items()}
    replaced = {f"{_REPLACED}{name}": value for name, value in login.items() if f"{_REPLACED}{name}" in environ}
    return {"AMAZON_ADS_ACCESS_TOKEN": login["CLIENT_SECRET"], **named, **replaced}


# --- Amazon's own addresses --------------------------------------------------------------------------------------


def interception_variables(environ: Mapping[str, str], place: ClientPlacement, files: TrustFiles) -> dict[str, str]:
    """Variables for clients that call Amazon's own addresses: they call through the proxy, and trust its authority.

    Values of `environ` stay where they can: local names that bypass a proxy, options of Java.
    """
    past = bypassed(environ, place.url)
    java = map(_java_word, _java_properties(place.url, past, files).items())
    return {
        **dict.fromkeys(_THROUGH, proxy_url(place)),
        **dict.fromkeys(_PAST, ",".join(past)),
        **dict.fromkeys(TRUST_VARIABLES, str(files.bundle)),
        "NODE_USE_ENV_PROXY": "1",
        WGET: str(files.wgetrc),
        _PHP: _php_folders(environ, files),
        _JAVA: " ".join((*_kept_java_words(environ), *java)),
    }


def proxy_url(place: ClientPlacement) -> str:
    """The proxy's URL with client and key, percent-encoded (RFC 3986, 3.2.1)."""
    if not place.key:
        return place.url
    parts = urlsplit(place.url)
    return f"{parts.scheme}://{quote(place.client, safe='')}:{quote(place.key, safe='')}@{parts.netloc}"


def bypassed(environ: Mapping[str, str], url: str) -> tuple[str, ...]:
    """The entries of NO_PROXY: those of `environ` that do not cover a host of Amazon's, the proxy's host, loopback."""
    kept = (entry for entry in _entries(environ) if not _covers_amazon(entry))
    return tuple(dict.fromkeys((*kept, *_LOOPBACK, urlsplit(url).hostname or "")))


def _entries(environ: Mapping[str, str]) -> list[str]:
    """The entries of NO_PROXY in both spellings. Commas and spaces separate them."""
    return re.findall(r"[^,\s]+", ",".join(environ.get(name, "") for name in _PAST))


def _covers_amazon(entry: str) -> bool:
    """Whether a client with this entry calls a host of Amazon's API directly: `*`, the host, or a domain of it."""
    domain = re.sub(r":[0-9]+\Z", "", entry.lower()).lstrip("*.")
    return not domain or any(f".{host}".endswith(f".{domain}") for host in AMAZON_HOSTS)


def _php_folders(environ: Mapping[str, str], files: TrustFiles) -> str:
    """The folders of settings that PHP reads: those of before, and ours. An empty one is the folder that PHP was built
    with."""
    own = str(files.php_settings.parent)
    before = environ.get(_PHP, "").split(":")
    return ":".join((*(folder for folder in before if folder != own), own))


def _java_properties(url: str, past: Iterable[str], files: TrustFiles) -> dict[str, str]:
    """System properties of Java's networking. Java has none for the name and password of a proxy."""
    parts = urlsplit(url)
    return {
        "https.proxyHost": parts.hostname or "",
        "https.proxyPort": str(parts.port),
        "http.nonProxyHosts": "|".join(dict.fromkeys(pattern for entry in past for pattern in _java_patterns(entry))),
        "jdk.http.auth.tunneling.disabledSchemes": "",
        "javax.net.ssl.trustStore": str(files.java_store),
        "javax.net.ssl.trustStoreType": "PKCS12",
        "javax.net.ssl.trustStorePassword": JAVA_PASSWORD,
    }


def _java_patterns(entry: str) -> tuple[str, ...]:
    """An entry of NO_PROXY in Java's form: no port, `*.` for the hosts of a domain, brackets around IPv6."""
    if entry.count(":") > 1:
        return (f"[{entry}]",)
    domain = entry.partition(":")[0].lstrip("*.")
    return (domain,) if domain[-1:].isdigit() else (domain, f"*.{domain}")


def _java_word(item: tuple[str, str]) -> str:
    """A system property as a word of JAVA_TOOL_OPTIONS."""
    word = f"-D{item[0]}={item[1]}"
    if not re.search(r"""[\s"']""", word):
        return word
    mark = "'" if '"' in word else '"'
    return f"{mark}{word}{mark}"


def _kept_java_words(environ: Mapping[str, str]) -> list[str]:
    """The words of JAVA_TOOL_OPTIONS that set no property of ours."""
    return [word for word in _java_words(environ) if not re.sub("[\"']", "", word).startswith(_OURS_IN_JAVA)]


def _java_words(environ: Mapping[str, str]) -> list[str]:
    """The words of JAVA_TOOL_OPTIONS."""
    return _JAVA_WORD.findall(environ.get(_JAVA, ""))


# --- What the environment loses ------------------------------------------------------------------------------------


def losses(environ: Mapping[str, str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Notes on values of `environ` that `interception_variables` replaced. None shows what may be a password."""
    found = []
    if any(environ.get(name) and _server(environ[name]) != _server(variables[name]) for name in _THROUGH):
        found.append(
            "HTTPS_PROXY named another proxy; it leads to ads-proxy now, which refuses hosts other than Amazon's. Add "
            "those to NO_PROXY or to intercept.pass. If ads-proxy needs the other proxy itself, set upstream.proxy."
        )
    if covering := [entry for entry in _entries(environ) if _covers_amazon(entry)]:
        found.append(
            f"NO_PROXY has entries for Amazon's API, which are left out: {', '.join(dict.fromkeys(covering))}. If they "
            "cover hosts that the command reaches itself, add these one by one."
        )
    kept = _JAVA_WORD.findall(variables[_JAVA])
    if any("-Djavax.net.ssl.trustStore=" in word and word not in kept for word in _java_words(environ)):
        found.append(
            "JAVA_TOOL_OPTIONS named a trust store, which is replaced. Name its authorities as PEM in SSL_CERT_FILE."
        )
    return tuple(found)


def _server(proxy: str) -> str:
    """Host and port of a proxy's URL."""
    return urlsplit(proxy if "//" in proxy else f"//{proxy}").netloc.rpartition("@")[2]


def named_bundles(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The files of authorities that the environment names, such as those of a company's proxy."""
    return tuple(dict.fromkeys(environ[name] for name in TRUST_VARIABLES if environ.get(name)))
