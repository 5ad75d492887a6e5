"""What must hold between keys: names that must exist, names that must not collide, listeners that must be protected.

Pure: the merged, unchecked values go in, problems come out. It works on values that are wrong elsewhere too, so that
everything is reported at once; what is of the wrong shape is skipped here, since the model complains of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from proxy.config.model.expected import WrongValue
from proxy.config.model.key_names import did_you_mean, shown_name, shown_names
from proxy.config.model.redis_address import is_redis_address
from proxy.config.model.values import Address, parse_address, parse_claim, parse_flag, parse_list, parse_origin
from proxy.regions import REGION_NAMES
from proxy.secret import Secret

Parsed = TypeVar("Parsed")
_LISTENERS = {"listen": "127.0.0.1:8080", "admin_listen": "127.0.0.1:8081"}
"""The listeners that every program has, and where they are by default."""
ANONYMOUS = "anonymous"
"""The client's name in metrics and logs if no clients are configured."""
ADMIN_APPROVER = "admin"
"""Who has decided about an approval by the admin key."""


def broken_rules(values: Mapping[str, Any]) -> tuple[str, ...]:
    """All problems between keys."""
    return (
        *broken_names(values),
        *_routes(values),
        *_clients(values),
        *_approvals(values),
        *_client_certificates(values),
        *_identity_providers(values),
        *_token_clients(values),
        *_listeners(values),
        *_reuse_port(values),
        *_console(values),
        *_intercept(values),
        *_invites(values),
        *_state(values),
        *_audit(values),
        *_reports(values),
        *_nothing_to_serve(values),
    )


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def broken_names(values: Mapping[str, Any]) -> Iterator[str]:
    """Accounts and routes whose names would be unclear."""
    accounts, routes = _mapping(values, "accounts"), _mapping(values, "routes")
    for section, names in (("accounts", accounts), ("routes", routes)):
        for name in names:
            if str(name).lower() in REGION_NAMES:
                yield f"{section}.{name}: is the name of a region, and /@{name} would be unclear; take another name"
    for name in routes:
        if name in accounts:
            shown = shown_name(str(name))
            yield f"routes.{shown}: is the name of an account too, and /@{shown} would be unclear; take another name"


def _unknown_account(name: Any, accounts: Mapping[str, Any]) -> str:
    if not isinstance(name, str) or name in accounts:
        return ""
    names = [name for name in map(str, accounts) if shown_name(name) == name]
    return f"unknown account{did_you_mean(name, names) or f'; the accounts are: {shown_names(accounts)}'}"


def _routes(values: Mapping[str, Any]) -> Iterator[str]:
    accounts = _mapping(values, "accounts")
    for name, route in _mapping(values, "routes").items():
        if isinstance(route, Mapping) and (problem := _unknown_account(route.get("account"), accounts)):
            yield f"routes.{shown_name(str(name))}.account: {problem}"


def _reports(values: Mapping[str, Any]) -> Iterator[str]:
    """Each named report has an account that exists, one source of its order, and one schedule."""
    accounts = _mapping(values, "accounts")
    for name, report in _mapping(_mapping(values, "reports"), "named").items():
        if not isinstance(report, Mapping):
            continue
        path = f"reports.named.{shown_name(str(name))}"
        if problem := _unknown_account(report.get("account"), accounts):
            yield f"{path}.account: {problem}"
        if report.get("at") is None and report.get("every") is None:
            yield f"{path}.at: is missing, and so is every; write at: '06:00' for each day, or every: 6h"
        if report.get("at") is not None and report.get("every") is not None:
            yield f"{path}.every: is set as well as at; keep one"
        order = _mapping(report, "order")
        if order and order.get("preset") is None and order.get("file") is None:
            yield f"{path}.order.preset: is missing, and so is file; name a report type, such as spCampaigns"
        if order.get("file") is not None:
            for key in ("preset", "time_unit", "columns"):
                if order.get(key) is not None:
                    yield f"{path}.order.{key}: is set as well as file; write it into the file"


def _client_entries(values: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return _entries(values.get("clients"))


def _entries(listed: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """The sections of a list, with their positions."""
    entries = listed if isinstance(listed, list | tuple) else []
    return [(position, entry) for position, entry in enumerate(entries) if isinstance(entry, Mapping)]


def _clients(values: Mapping[str, Any]) -> Iterator[str]:
    names: dict[str, int] = {}
    for position, client in _client_entries(values):
        name = client.get("name")
        if name == ANONYMOUS:
            yield f"clients[{position}].name: '{ANONYMOUS}' is the name of clients without a key; take another"
        if isinstance(name, str) and names.setdefault(name, position) != position:
            yield f"clients[{position}].name: is the name of clients[{names[name]}] too; take another"
        accounts: tuple[Any, ...] = _parsed(parse_list, client.get("accounts"), ())
        for place, account in enumerate(accounts):
            if problem := _unknown_account(account, _mapping(values, "accounts")):
                yield f"clients[{position}].accounts[{place}]: {problem}"
    yield from _client_keys(values)


def _client_keys(values: Mapping[str, Any]) -> Iterator[str]:
    """Each client and approver has keys; those of clients are written in one of two ways, and no two are alike."""
    owners: dict[str, str] = {}
    for position, client in _client_entries(values):
        path = f"clients[{position}]"
        if client.get("keys") and client.get("key_sha256") is not None:
            yield f"{path}.key_sha256: is set as well as keys; move it into keys, as {{sha256: ...}}"
        if not client.get("keys") and all(client.get(key) is None for key in ("key_sha256", "certificate", "jwt")):
            yield (
                f"{path}.keys: is missing, and so is key_sha256; make a key with `ads-proxy keys new NAME`, or add "
                "jwt or certificate"
            )
        yield from _taken_digests(owners, path, client, "NAME")
    for position, approver in _approver_entries(values):
        path = f"approvals.approvers[{position}]"
        if not approver.get("keys"):
            yield f"{path}.keys: is missing; make a key with `ads-proxy keys new --approver NAME`"
        yield from _taken_digests(owners, path, approver, "--approver NAME")


def _taken_digests(owners: dict[str, str], path: str, entry: Mapping[str, Any], whom: str) -> Iterator[str]:
    """The keys of an entry that another has; `owners` has where each digest stands, and gets those of this entry."""
    for place, digest in _digests(path, entry):
        if owners.setdefault(digest.lower(), place) != place:
            owner = owners[digest.lower()].removesuffix(".key_sha256")
            yield f"{place}: is the key of {owner} too; make another with `ads-proxy keys new {whom}`"


def _client_certificates(values: Mapping[str, Any]) -> Iterator[str]:
    """Clients with certificates need authorities, and no two have the same name."""
    tls, owners = _mapping(values, "tls"), dict[str, str]()
    if tls.get("client_auth") and not tls.get("client_ca"):
        yield (
            "tls.client_auth: has no effect without tls.client_ca; name the file of the authorities that sign clients' "
            "certificates, or leave client_auth out"
        )
    for position, client in _client_entries(values):
        certificate, path = client.get("certificate"), f"clients[{position}].certificate"
        if certificate is None:
            continue
        if not tls.get("client_ca"):
            needed = "tls.client_ca" if tls else "TLS on the client listener: tls.cert, tls.key and tls.client_ca"
            yield f"{path}: needs {needed}, by which certificates are verified; set it, or give the client keys"
        san = certificate.get("san") if isinstance(certificate, Mapping) else None
        if isinstance(san, str) and owners.setdefault(san, path) != path:
            yield f"{path}.san: is the name of {owners[san]} too; take another"


_TAKEN_CLAIMS = {
    "iss": "is what the provider's issuer is for",
    "aud": "is what the provider's audience is for",
    **dict.fromkeys(("exp", "nbf", "iat"), "is a time, which is checked for every token"),
}


def _identity_providers(values: Mapping[str, Any]) -> Iterator[str]:
    """Each provider has one source of keys, which no stranger on the way can change, and an issuer of its own."""
    issuers: dict[str, str] = {}
    for name, provider in _mapping(values, "identity_providers").items():
        if not isinstance(provider, Mapping):
            continue
        path = f"identity_providers.{shown_name(str(name))}"
        issuer, jwks = provider.get("issuer"), provider.get("jwks")
        if isinstance(issuer, str) and issuers.setdefault(issuer, path) != path:
            yield f"{path}.issuer: is the issuer of {issuers[issuer]} too; keep one of the two"
        if "algorithms" in provider and provider["algorithms"] in ([], ""):
            yield f"{path}.algorithms: is empty; name at least one, or leave the key out for RS256 and ES256"
        if not isinstance(jwks, Mapping):
            continue
        url, file = jwks.get("url"), jwks.get("file")
        if (url is None) == (file is None):
            yield f"{path}.jwks: must be exactly one of {{url: ...}} and {{file: ...}}"
        if isinstance(url, str) and url.lower().startswith("http://") and not _is_on_this_machine(url):
            yield f"{path}.jwks.url: is not encrypted, and who can change the keys can be every client; use https://"
        for key in ("ca_file", "token"):
            if file is not None and url is None and provider.get(key) is not None:
                yield f"{path}.{key}: has no effect with jwks.file; leave it out"


def _is_on_this_machine(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return Address(host, 0).is_loopback


def _token_clients(values: Mapping[str, Any]) -> Iterator[str]:
    """The JWTs of a client come from a provider that exists, and are neither all of the provider's nor another
    client's."""
    providers, owners = _mapping(values, "identity_providers"), dict[str, str]()
    none: tuple[str, ...] = ()
    for position, client in _client_entries(values):
        rule = client.get("jwt")
        if not isinstance(rule, Mapping):
            continue
        path, provider = f"clients[{position}].jwt", rule.get("provider")
        if isinstance(provider, str) and provider not in providers:
            names = [name for name in map(str, providers) if shown_name(name) == name]
            suggestion = did_you_mean(provider, names) or (
                f"; there are: {shown_names(providers)}" if providers else "; add it to identity_providers"
            )
            yield f"{path}.provider: unknown identity provider{suggestion}"
        claims = {str(name): _parsed(parse_claim, value, none) for name, value in _mapping(rule, "claims").items()}
        for name in claims.keys() & _TAKEN_CLAIMS.keys():
            yield f"{path}.claims.{name}: {_TAKEN_CLAIMS[name]}; leave it out"
        if (
            claims
            and all(claims.values())
            and all(not text.strip("*:/") for texts in claims.values() for text in texts)
        ):
            yield f'{path}.claims: would fit every token of the provider; write a text, such as sub: "..."'
        said = repr((provider, sorted((name, sorted(texts)) for name, texts in claims.items())))
        if claims and owners.setdefault(said, path) != path:
            yield f"{path}: is the same as {owners[said]}, so that no token could be either's; change one"


def _digests(path: str, client: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where each digest of a client or an approver stands, and the digest."""
    found = [(f"{path}.key_sha256", client.get("key_sha256"))]
    keys = client.get("keys")
    for place, key in enumerate(keys if isinstance(keys, list | tuple) else ()):
        if isinstance(key, Mapping):
            found.append((f"{path}.keys[{place}].sha256", key.get("sha256")))
    yield from ((place, digest.strip()) for place, digest in found if isinstance(digest, str))


def _word(values: Mapping[str, Any], key: str) -> str:
    """A word as its check makes it."""
    return str(values.get(key)).lower()


def _approver_entries(values: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    return _entries(_mapping(values, "approvals").get("approvers"))


def _approvals(values: Mapping[str, Any]) -> Iterator[str]:
    """Approvers have names of their own, and there are some where writes have to be approved."""
    names: dict[str, int] = {}
    for position, approver in _approver_entries(values):
        name, path = approver.get("name"), f"approvals.approvers[{position}].name"
        if name == ADMIN_APPROVER:
            yield f"{path}: '{ADMIN_APPROVER}' is who decides by the admin key; take another"
        if isinstance(name, str) and names.setdefault(name, position) != position:
            yield f"{path}: is the name of approvals.approvers[{names[name]}] too; take another"
    approvals = _mapping(values, "approvals")
    if _parsed(parse_flag, approvals.get("admin") or False, False) and not _mapping(values, "admin").get("key"):
        yield (
            "approvals.admin: every program that reaches the admin listener could approve, as there is no admin.key; "
            "set admin.key (`openssl rand -hex 32`), or leave approvals.admin out"
        )
    if approvals.get("approvers") or _parsed(parse_flag, approvals.get("admin") or False, True):
        return
    for position, client in _client_entries(values):
        spend = _mapping(client, "spend")
        if _word(spend, "beyond") == "approve" and _word(spend, "mode") != "observe":
            yield (
                f"clients[{position}].spend.beyond: no approver is configured; add a person to approvals.approvers "
                "(`ads-proxy keys new --approver NAME`), or set approvals.admin: true for the admin key"
            )


def _parsed(parse: Callable[[Any], Parsed], value: Any, otherwise: Parsed) -> Parsed:
    """A value as its check makes it; what the model complains of is something else here."""
    try:
        return parse(value)
    except ValueError:
        return otherwise


def _address(values: Mapping[str, Any], key: str, default: str) -> Address | None:
    return _parsed(parse_address, default if values.get(key) is None else values[key], None)


def _listeners(values: Mapping[str, Any]) -> Iterator[str]:
    listen, admin = (_address(values, key, default) for key, default in _LISTENERS.items())
    if problem := _unprotected(listen, values):
        yield f"listen: {problem}"
    if admin and not admin.is_loopback and not _mapping(values, "admin").get("key"):
        yield (
            "admin_listen: can be reached from other machines; set admin.key (`openssl rand -hex 32`), "
            f"or listen on 127.0.0.1:{admin.port}. Metrics and health stay open without the key"
        )
    yield from _taken("admin_listen", admin, {"listen": listen})


def _reuse_port(values: Mapping[str, Any]) -> Iterator[str]:
    """Replicas on one port share a store, and a port that has a number."""
    if not _parsed(parse_flag, values.get("reuse_port") or False, False):
        return
    if not _is_shared(_mapping(values, "state").get("url")):
        yield (
            "reuse_port: needs a state.url that all replicas share, such as redis://HOST:6379/0; with a file or memory "
            "each replica would request tokens and count limits alone (docs/how-to/more-than-one-core.md)"
        )
    intercept = _mapping(values, "intercept").get("listen")
    named = _parsed(parse_address, intercept, None) if intercept is not None else None
    for key, address in (("listen", _address(values, "listen", _LISTENERS["listen"])), ("intercept.listen", named)):
        if address is not None and address.port == 0:
            yield f"{key}: has port 0, and each replica would get a port of its own; with reuse_port, name a port"


def _console(values: Mapping[str, Any]) -> Iterator[str]:
    """A console that is opened from other machines needs a key, wherever it listens."""
    admin = _mapping(values, "admin")
    url = _parsed(parse_origin, admin.get("url"), "")
    if url and not admin.get("key") and not _is_on_this_machine(url):
        yield (
            "admin.url: leads to the console from other machines; set admin.key (`openssl rand -hex 32`), "
            "or leave admin.url out"
        )


def _unprotected(listen: Address | None, values: Mapping[str, Any]) -> str:
    """What is wrong with a listener for clients that others can reach without a key; empty for any other."""
    needs_no_key = _parsed(parse_flag, values.get("allow_unauthenticated") or False, True)
    if listen is None or listen.is_loopback or values.get("clients") or needs_no_key:
        return ""
    return (
        "can be reached from other machines, which could use your accounts without a key; "
        f"listen on 127.0.0.1:{listen.port}, or add clients with keys (`ads-proxy keys new NAME`), "
        "or set allow_unauthenticated: true if the network keeps others out"
    )


def _taken(path: str, address: Address | None, others: Mapping[str, Address | None]) -> Iterator[str]:
    """The listeners that have the same address, by their keys."""
    for key, other in others.items():
        if address and address.port and address == other:
            yield f"{path}: is the address of {key} too; choose another port"


def _intercept(values: Mapping[str, Any]) -> Iterator[str]:
    """A listener of its own needs the authority, and the authority a directory."""
    section = _mapping(values, "intercept")
    try:
        enabled = parse_flag(section.get("enabled") or False)
    except WrongValue:
        return
    url = _mapping(values, "state").get("url")
    if enabled and not section.get("ca_dir") and not (isinstance(url, str) and url.startswith("file:")):
        yield (
            "intercept.ca_dir: is missing; name a directory that outlives restarts and is the same for every replica: "
            "clients trust the authority in it"
        )
    if not section.get("listen"):
        return
    address = _address(section, "listen", "")
    if not enabled:
        yield "intercept.listen: has no effect without intercept.enabled; set intercept.enabled to true"
    if problem := _unprotected(address, values):
        yield f"intercept.listen: {problem}"
    others = {key: _address(values, key, default) for key, default in _LISTENERS.items()}
    others["invites.listen"] = _address(_mapping(values, "invites"), "listen", "")
    yield from _taken("intercept.listen", address, others)


def _invites(values: Mapping[str, Any]) -> Iterator[str]:
    invites = _mapping(values, "invites")
    listen, url = invites.get("listen"), invites.get("url")
    if listen and not url:
        yield "invites.url: is missing; write how advertisers reach invites.listen, such as https://consent.example.com"
    address = _address(invites, "listen", "") if listen else None
    others = {key: _address(values, key, default) for key, default in _LISTENERS.items()}
    yield from _taken("invites.listen", address, others)


def _audit(values: Mapping[str, Any]) -> Iterator[str]:
    audit = _mapping(values, "audit")
    try:
        objects, stdout = (parse_flag(audit.get(name) or False) for name in ("objects", "stdout"))
    except WrongValue:
        return
    if audit.get("values") and not objects:
        yield "audit.values: has no effect without audit.objects; set audit.objects to true, or leave audit.values out"
    if objects and not audit.get("file") and not stdout:
        yield "audit.objects: has no effect without an audit stream; set audit.file or audit.stdout"


def _state(values: Mapping[str, Any]) -> Iterator[str]:
    state = _mapping(values, "state")
    if _is_shared(state.get("url")) and not state.get("key"):
        yield (
            "state.key: is missing; Redis keeps tokens for all replicas, encrypted with this key: "
            "make one with `openssl rand -hex 32`, the same for every replica"
        )


def _is_shared(url: Any) -> bool:
    """Whether a `state.url` is that of a server that replicas share."""
    return isinstance(url, Mapping | Secret) or (isinstance(url, str) and is_redis_address(url))


def _nothing_to_serve(values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("accounts"):
        return
    if values.get("accounts_from"):
        yield "accounts: missing, and accounts_from finds none; add a file with accounts, or correct the patterns"
    else:
        yield (
            "accounts: missing; set AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET and AMAZON_ADS_REFRESH_TOKEN, "
            "or name accounts in a YAML file (see config/proxy.yaml). Without credentials, try `ads-proxy demo`"
        )
