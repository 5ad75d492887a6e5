"""Sentences about a configuration that is valid and still worth a word at the start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from proxy.config.model.accounts import Account
from proxy.config.model.clients import KeyConfig
from proxy.config.model.sections import Config
from proxy.config.model.values import Address
from proxy.regions import AMAZON_REGIONS, HostUse

_MAX_NAMED = 10
"""Clients in a note."""
CLIENT_ID_PREFIX, CLIENT_SECRET_PREFIX = "amzn1.application-oa2-client.", "amzn1.oa2-cs."
"""How Amazon's own begin. Others are believed, but the two are easily mistaken for each other."""


def notes(config: Config) -> tuple[str, ...]:
    """What an operator should know; nothing here is an error."""
    return tuple(_notes(config))


def _notes(config: Config) -> Iterator[str]:
    yield from config.remarks
    if config.accounts_from and not config.account_files:
        yield "accounts_from finds no file yet. Add one; it takes effect within seconds."
    for name, account in config.accounts.items():
        for key, oddity in _oddities(account):
            yield f"accounts.{name}.{key} {oddity}."
    for address in (config.listen, config.intercept.listen):
        if address is None or address.is_loopback or config.clients:
            continue
        yield f"{address} can be reached from other machines, and needs no key. Add clients with keys."
    if not config.listen.is_loopback and config.clients and config.tls is None:
        yield f"{config.listen} is plain HTTP: keys of clients cross the network unencrypted. See tls."
    yield from _intercepted(config)
    webhook = config.notify.webhook.reveal() if config.notify.webhook is not None else ""
    yield from _plain_http("admin.url", config.admin.url, "keys of the console")
    yield from _plain_http("invites.url", config.invites.url, "links that ask for consent")
    yield from _plain_http("notify.webhook", webhook, "notices")
    yield from _plain_http("telemetry.otlp", config.telemetry.otlp, "paths and names of clients and accounts")
    if config.telemetry.trust_traceparent and config.telemetry.otlp is None:
        yield (
            "telemetry.trust_traceparent has no effect without telemetry.otlp: a client's traceparent passes unchanged."
        )
    yield from _without_access(config)
    for client in config.clients:
        if client.unscoped_paths and client.profiles is None and client.account_ids is None:
            yield f"The unscoped_paths of client {client.name} have no effect: it has neither profiles nor account_ids."
        if client.spend is not None and client.access in ("read", "report"):
            yield f"The spend of client {client.name} has no effect: with access: {client.access}, it sends no writes."
        if client.spend is not None and client.spend.beyond == "approve" and client.spend.mode == "observe":
            yield f"The beyond of client {client.name} has no effect: with mode: observe, its writes need no approval."
    yield from _approvals(config, datetime.now(UTC))
    yield from _ended_keys(config, datetime.now(UTC))
    for name, region in config.regions.items():
        for key in HostUse:
            yield from _plain_http(f"regions.{name}.{key}", getattr(region, key), "tokens")


def _without_access(config: Config) -> Iterator[str]:
    """Clients whose `access` will mean less."""
    names = [client.name for client in config.clients if "access" not in client.model_fields_set]
    if names:
        shown = ", ".join(names[:_MAX_NAMED]) + (f" and {len(names) - _MAX_NAMED} more" if names[_MAX_NAMED:] else "")
        yield (
            "Clients without access can administer users, accounts, billing, terms and paid studies until version 0.4, "
            f"and then only write: {shown}. Set access: write, or access: admin for those that administer."
        )


def _approvals(config: Config, now: datetime) -> Iterator[str]:
    """Approvers whose keys have expired."""
    for approver in config.approvals.approvers:
        if approver.keys and all(_has_ended(key, now) for key in approver.keys):
            make = f"`ads-proxy keys new --approver {approver.name}`"
            yield f"Every key of approver {approver.name} has expired. Make a key with {make}."


def _intercepted(config: Config) -> Iterator[str]:
    """Hosts in `pass` that the proxy answers for itself."""
    section = config.intercept
    amazon = {urlsplit(addresses[key]).hostname for addresses in AMAZON_REGIONS.values() for key in HostUse}
    for name in section.passed if section.enabled else ():
        if name in amazon:
            yield f"intercept.pass: {name} has no effect, as the proxy answers for this host itself. Leave it out."


def _plain_http(key: str, url: str | None, what: str) -> Iterator[str]:
    """What would cross the network for all to read; nothing for an address of this machine."""
    parts = urlsplit(url or "")
    if parts.scheme == "http" and not Address(parts.hostname or "", 0).is_loopback:
        yield f"{key} is plain HTTP: {what} cross the network unencrypted."


def _ended_keys(config: Config, now: datetime) -> Iterator[str]:
    """Clients without a key that is still taken."""
    for client in config.clients:
        is_keyed = client.jwt is None and client.certificate is None and client.all_keys
        if is_keyed and all(_has_ended(key, now) for key in client.all_keys):
            yield f"Every key of client {client.name} has expired. Make a key with `ads-proxy keys new {client.name}`."


def _has_ended(key: KeyConfig, now: datetime) -> bool:
    return key.expires is not None and key.expires <= now


def _oddities(account: Account) -> Iterator[tuple[str, str]]:
    """Credentials that do not look like what they should be. Only their ends are looked at, and nothing is shown."""
    if account.client_id.startswith(CLIENT_SECRET_PREFIX):
        yield "client_id", f"looks like a client secret; an id begins with '{CLIENT_ID_PREFIX}'"
    secrets = [secret.reveal() for secret in account.secrets if secret is not None]
    if any(secret.startswith(CLIENT_ID_PREFIX) for secret in secrets):
        yield "client_secret", f"looks like a client id; a secret begins with '{CLIENT_SECRET_PREFIX}'"
    tokens = [token.reveal() for token in account.refresh_tokens if token is not None]
    named = (("client_secret", secrets), ("refresh_token", tokens))
    for key, value in ((key, value) for key, values in named for value in values):
        if value[:1] in ("'", '"') and value[:1] == value[-1:]:
            yield key, "holds quotation marks, which count as part of it; remove them"
    for token in tokens:
        if token.startswith("Atza|"):
            yield "refresh_token", "looks like an access token; a refresh token begins with Atzr|"
        elif not token.strip("'\"").startswith("Atzr|"):
            yield (
                "refresh_token",
                "does not begin with Atzr| as Amazon's do; a shell needs quotes around it, because of the |",
            )
