"""What `check` says of identity providers: those whose keys cannot be read, and with `--as-jwt FILE` which client a JWT
is, or what does not fit. It tells the operator what would be right.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from proxy.access.identity_providers import check_audience, check_times, looks_like_token, read_token, shown, subject_of
from proxy.app.interception import resolver_of
from proxy.app.jwks_keeper import load_keys
from proxy.app.rules import identity_providers, make_policy
from proxy.commands.terminal import FAILED, OK, say
from proxy.errors import ConfigurationError, TokenRefused
from proxy.net.names import Names
from proxy.net.session import make_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proxy.access.identity_providers import IdentityProvider, TokenRule, UnverifiedToken
    from proxy.access.signing_keys import KeySet
    from proxy.config import Config

_MAX_FILE_BYTES = 65_536


def explain_token(config: Config, file: Path, now: float | None = None) -> int:
    """Print which client the JWT in a file is; 0 if it is one, else 1. The keys are read as the proxy reads them."""
    try:
        text = file.read_bytes()[:_MAX_FILE_BYTES].strip()
    except OSError as error:
        raise ConfigurationError((f"--as-jwt: the file {file} cannot be read ({error.strerror})",)) from None
    if not looks_like_token(text):
        raise ConfigurationError((f"--as-jwt: the file {file} does not hold a JWT: three parts with dots between",))
    providers = identity_providers(config)
    try:
        token = read_token(text)
    except TokenRefused as refused:
        say(f"No: {refused.detail}")
        return FAILED
    provider = next((each for each in providers.values() if each.issuer == token.issuer), None)
    if provider is None:
        known = ", ".join(f"{name} ({each.issuer})" for name, each in providers.items()) or "none"
        say(f"No (iss): the issuer is {shown(token.issuer)}. The identity providers are: {known}.")
        return FAILED
    return _explain(config, token, provider, time.time() if now is None else now)


def _explain(config: Config, token: UnverifiedToken, provider: IdentityProvider, now: float) -> int:
    say(f"It is of the identity provider {provider.name}, and of {subject_of(token.claims) or 'no subject (sub)'}.")
    problems = [*_find_problems(config, token, provider, now)]
    for problem in problems:
        say(f"No {problem}")
    policies = (make_policy(client, None, identity_providers(config)) for client in config.clients)
    rules = [(policy.name, policy.token_rule) for policy in policies if policy.token_rule is not None]
    fitting = []
    for name, rule in rules:
        if rule.provider != provider:
            continue
        if misfit := rule.find_misfit(token.claims):
            say(f"Client {name} is another one (claims.{misfit}): {_compare(rule, token, misfit)}.")
        else:
            fitting.append(name)
    if problems:
        return FAILED
    if len(fitting) == 1:
        say(f"Yes: It is client {fitting[0]}.")
        return OK
    say(
        f"No: It fits several clients: {', '.join(fitting)}; narrow their claims."
        if fitting
        else "No: It is no client."
    )
    return FAILED


def _compare(rule: TokenRule, token: UnverifiedToken, name: str) -> str:
    wanted = " or ".join(pattern.text for pattern in dict(rule.claims)[name])
    return f"the token has {shown(token.claims[name])}, not {wanted}" if name in token.claims else f"it wants {wanted}"


def _find_problems(config: Config, token: UnverifiedToken, provider: IdentityProvider, now: float) -> Iterator[str]:
    """What is wrong with a token of any client, each with the part that is wrong before it."""
    if token.algorithm not in provider.algorithms:
        yield f"(alg): {shown(token.algorithm)} is none of {', '.join(sorted(provider.algorithms))}."
    else:
        yield from _find_wrong_signature(asyncio.run(_read_keys(config, provider.name))[provider.name], token)
    try:
        check_times(token.claims, now, requires_nbf=provider.requires_nbf)
    except TokenRefused as refused:
        yield f"(time): {refused.detail}"
    try:
        check_audience(token.claims, provider.audience)
    except TokenRefused:
        yield f"(aud): the audience is {shown(token.claims.get('aud'))}, not {provider.audience}."


def _find_wrong_signature(found: KeySet | str, token: UnverifiedToken) -> Iterator[str]:
    from proxy.access.token_verification import ProviderKeys

    problem = found if isinstance(found, str) else found.problem
    if isinstance(found, str) or problem:
        yield f"(jwks): the keys {problem}."
        return
    key = ProviderKeys(found.keys).find(token.key_id, token.algorithm)
    if key is None:
        ids = ", ".join(shown(each.id) for each in found.keys)
        yield f"(kid): no single key {shown(token.key_id)} for {token.algorithm}; the provider has {ids}."
    elif not key.verifies(token.algorithm, token.signed, token.signature):
        yield "(signature): it is wrong. The token was changed, or is of another issuer."


def unread_providers(config: Config) -> Iterator[str]:
    """A sentence for each identity provider whose tokens cannot be checked now."""
    for name, found in asyncio.run(_read_keys(config, *config.identity_providers)).items():
        problem = found if isinstance(found, str) else found.problem
        if problem:
            yield f"identity_providers.{name}: its keys {problem}; its tokens are refused with 503 until they are read"


async def _read_keys(config: Config, *providers: str) -> dict[str, KeySet | str]:
    """The keys of these providers as the proxy would read them, or clauses about why they cannot be read."""
    names = Names(ask=resolver_of(config))
    session = make_session(names)
    try:
        sections = (config.identity_providers[name] for name in providers)
        found = await asyncio.gather(*(load_keys(session, each, config.upstream.proxy) for each in sections))
        return dict(zip(providers, found, strict=True))
    finally:
        await session.close()
        names.stop()
