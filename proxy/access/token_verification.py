"""Clients by their JWTs: whether a token is genuine and current, and its client.

The keys of a provider are what the program read last, and change in place. Work on tokens that turn out to be wrong is
bounded to a share of the processor, which the senders' addresses have in common. That work is remembered here, and
clients' genuine tokens.
"""

from __future__ import annotations

import hashlib
from socket import AF_INET6, inet_pton
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Final

from cachetools import LRUCache

from proxy.access.identity_providers import (
    check_audience,
    check_times,
    read_token,
    subject_of,
)
from proxy.bounded_cache import BoundedCache
from proxy.errors import TokenNotChecked, TokenRefused
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from proxy.access.identity_providers import IdentityProvider, TokenRule, UnverifiedToken
    from proxy.access.signing_keys import SigningKey

READ_AGAIN_AFTER: Final = 60.0
"""Seconds between two readings of a provider's keys for the sake of a key that is not among them."""
SHARE: Final = 0.1
"""The part of a processor's time that wrong tokens may take."""
_BURST: Final = 0.1
"""Seconds of work on wrong tokens that may be done at once."""
_OWN_SHARE: Final = 0.001
"""The part of it that an address may take at any time without being one of those that send many wrong tokens."""
_OWN_BURST: Final = 0.005
"""Seconds of such work that an address may cause at once."""
_FOR_OTHERS: Final = 0.04
"""Seconds of work that are left when addresses that send many wrong tokens get no more."""
_FOR_PROVEN: Final = 0.02
"""Seconds of work that are left when addresses get no more that never sent a genuine token."""
_MAX_ADDRESSES: Final = 1024
_MAPPED: Final = bytes(10) + b"\xff\xff"
"""Begins an IPv4 address that is written as an IPv6 address (RFC 4291, 2.5.5.2)."""
_MAX_GENUINE: Final = 1024
_MAX_GENUINE_BYTES: Final = 8 << 20
_TOKEN_BYTES: Final = 2000
"""About how much memory the claims of a token take, in addition to four times their bytes."""
_ASK_AGAIN: Final = 1.0
"""Seconds after which a client should send a token again that could not be checked."""


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """What is known of a provider's keys. `read_at` is when they were read, and `tried_at` when reading them was tried
    last, both as wall-clock time, 0 for never. `problem` says why that failed, empty if it did not."""

    keys: tuple[SigningKey, ...] = ()
    read_at: float = 0.0
    tried_at: float = 0.0
    problem: str = ""

    def find(self, key_id: str, algorithm: str) -> SigningKey | None:
        """The only key of this id that fits the algorithm; without an id, the only one that does."""
        found = [key for key in self.keys if key_id in ("", key.id) and key.fits(algorithm)]
        return found[0] if len(found) == 1 else None

    def may_be_read_again(self, now: float) -> bool:
        """Whether a token with an unknown key is a reason to read the keys again. A clock that was set back is none to
        wait."""
        return not 0 <= now - self.tried_at < READ_AGAIN_AFTER


def network_of(address: str) -> str | bytes:
    """What counts as one sender: an IPv4 address, or the /64 network of an IPv6 address, as one host has all of it."""
    if ":" not in address:
        return address
    packed = inet_pton(AF_INET6, address.partition("%")[0])
    return packed if packed.startswith(_MAPPED) else packed[:8]


class WorkBudget:
    """The processor's time for wrong tokens: `SHARE` of all time, and `_BURST` seconds at once. It outlives a reload.
    `clock` gives seconds that never run backwards, `worked` those of the processor: while another process has it, no
    work is done.

    What is left of it is open to some senders longer than to others, so that a flood of wrong tokens does not reach
    them: the last `_FOR_OTHERS` seconds are for those whose own tokens were not wrong too often, and the last
    `_FOR_PROVEN` of them for those that sent a genuine token before. Genuine tokens take nothing of it.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter, worked: Callable[[], float] = thread_time) -> None:
        self.clock, self.worked = clock, worked
        self._left, self._at = _BURST, clock()
        self._caused: BoundedCache[str | bytes, tuple[float, float]] = BoundedCache(_MAX_ADDRESSES, _MAX_ADDRESSES)
        self._proven: LRUCache[str | bytes, bool] = LRUCache(_MAX_ADDRESSES)

    def __repr__(self) -> str:
        return f"<WorkBudget: {self._left * 1000:.1f} ms left, {len(self._proven)} addresses with genuine tokens>"

    def begin(self, sender: str | bytes) -> float:
        """The moment of `worked` at which work begins. Raises `TokenNotChecked` if there is no time for it."""
        now = self.clock()
        self._left = min(_BURST, self._left + SHARE * (now - self._at))
        self._at = now
        if self._left <= self._kept_from(sender, now):
            raise TokenNotChecked(
                "Too many wrong tokens came lately, so this one was not checked; send it again.", retry_after=_ASK_AGAIN
            )
        return self.worked()

    def _kept_from(self, sender: str | bytes, now: float) -> float:
        """The seconds that are left for other senders alone."""
        if self._debt(sender, now) > _OWN_BURST:
            return _FOR_OTHERS
        return 0.0 if sender in self._proven else _FOR_PROVEN

    def _debt(self, sender: str | bytes, now: float) -> float:
        """Seconds of work that a sender caused lately: at most as many as it pays off in two minutes."""
        seconds, at = self._caused.get(sender, (0.0, now))
        return max(0.0, seconds - _OWN_SHARE * (now - at))

    def charge(self, sender: str | bytes, began: float) -> None:
        """Work that began then was done for a wrong token, or for one that could not be checked."""
        took, now = self.worked() - began, self.clock()
        self._left -= took
        caused = min(_BURST, self._debt(sender, now) + took), now
        if sender in self._caused:
            self._caused[sender] = caused
        else:
            self._caused.keep(sender, caused, 1)

    def trust(self, sender: str | bytes) -> None:
        """A sender had a genuine token."""
        self._proven[sender] = True


def digest_of(rule: TokenRule, key: SigningKey) -> str:
    """A text in hexadecimal that stands for a client's rule and the key of the token that fits it: access placeholders
    are issued for both, and end with either."""
    return hashlib.sha256(f"{rule.digest}\n{key.said}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A genuine token of a provider, signed with `key`, which is current until `valid_until` (wall-clock time)."""

    provider: IdentityProvider
    key: SigningKey
    claims: Mapping[str, Any]
    valid_until: float

    @property
    def subject(self) -> str:
        """Who has it, for log, audit and console."""
        return subject_of(self.claims)

    def digest_with(self, rule: TokenRule) -> str:
        """What `digest_of` gives for a rule that the token fits."""
        return digest_of(rule, self.key)


def choose_client(token: VerifiedToken, rules: Iterable[tuple[str, TokenRule]]) -> str:
    """The client whose rule the token fits. Raises `TokenRefused` unless one does."""
    fitting = [
        client for client, rule in rules if rule.provider == token.provider and not rule.find_misfit(token.claims)
    ]
    if len(fitting) == 1:
        return fitting[0]
    whose = f"of {token.subject}" if token.subject else "without a subject (sub)"
    refused = TokenRefused(
        f"The token {whose} fits several clients: {', '.join(fitting)}. Ask the operator of the proxy to narrow their "
        "claims, so that it fits one."
        if fitting
        else f"No client has this token {whose}. Ask the operator of the proxy to add it to a client."
    )
    refused.unverified_subject = token.subject
    raise refused


class TokenWork:
    """The work on tokens: what is left for wrong ones, and what was found of right ones. It outlives a reload, so that
    clients that are known then need nothing of the budget."""

    def __init__(self, budget: WorkBudget | None = None) -> None:
        self.budget = budget or WorkBudget()
        self.genuine: BoundedCache[bytes, VerifiedToken] = BoundedCache(_MAX_GENUINE, _MAX_GENUINE_BYTES)

    def __repr__(self) -> str:
        return f"<TokenWork: {len(self.genuine)} genuine tokens, {self.budget!r}>"


class TokenVerifier:
    """Verifies tokens with the keys in force. `keys` are by the provider's name. `miss` is told the name of a provider
    whose keys should be read again, and gives the end of that reading."""

    def __init__(
        self,
        providers: Iterable[IdentityProvider],
        keys: Mapping[str, ProviderKeys],
        work: TokenWork,
        miss: Callable[[str], asyncio.Event],
    ) -> None:
        self._providers = {provider.issuer: provider for provider in providers}
        self._keys, self._work, self._miss = keys, work, miss
        self._digests: dict[TokenRule, tuple[tuple[SigningKey, ...], tuple[str, ...]]] = {}

    def __repr__(self) -> str:
        return f"<TokenVerifier: {', '.join(provider.name for provider in self._providers.values())}>"

    def find_client(
        self, text: bytes, rules: Iterable[tuple[str, TokenRule]], now: float, address: str
    ) -> tuple[str, VerifiedToken]:
        """The client of what looks like a token, and the token; `rules` are by client. `address` is where it comes
        from. Raises `TokenRefused`, or `TokenNotChecked` if that cannot be told now."""
        known = self._work.genuine.get(text)
        if known is not None and self._still_verifies(known, now):
            try:
                return choose_client(known, rules), known
            except TokenRefused:  # it was a client's: from now on it is work like that on any other wrong one
                del self._work.genuine[text]
        budget, sender = self._work.budget, network_of(address)
        began = budget.begin(sender)
        try:
            token = self.verify(text, now)
            client = choose_client(token, rules)
        except (TokenRefused, TokenNotChecked):
            budget.charge(sender, began)
            raise
        budget.trust(sender)
        self._work.genuine.keep(text, token, _TOKEN_BYTES + 4 * len(text))
        return client, token

    def digests_of(self, rule: TokenRule) -> tuple[str, ...]:
        """What `digest_of` gives for a rule with each key that is in force."""
        keys = self._keys.get(rule.provider.name, ProviderKeys()).keys
        known = self._digests.get(rule)
        if known is None or known[0] is not keys:
            known = self._digests[rule] = keys, tuple(digest_of(rule, key) for key in keys)
        return known[1]

    def _still_verifies(self, token: VerifiedToken, now: float) -> bool:
        """Whether a token that was verified would be verified now."""
        provider = token.provider
        return (
            now < token.valid_until
            and self._providers.get(provider.issuer) == provider
            and token.key in self._keys.get(provider.name, ProviderKeys()).keys
        )

    def verify(self, text: bytes, now: float) -> VerifiedToken:
        """Verify what looks like a token, of any client. Raises what `find_client` raises."""
        token = read_token(text)
        try:
            return self._verify(token, now)
        except (TokenRefused, TokenNotChecked) as refused:
            refused.unverified_subject = subject_of(token.claims)
            raise

    def _verify(self, token: UnverifiedToken, now: float) -> VerifiedToken:
        provider = self._providers.get(token.issuer)
        if provider is None:
            raise TokenRefused("The token is from an issuer (iss) that is not known here. Get one from another issuer.")
        if token.algorithm not in provider.algorithms:
            raise TokenRefused("The token is signed with an algorithm (alg) that is not accepted from its issuer.")
        valid_until = check_times(token.claims, now, requires_nbf=provider.requires_nbf)
        key = self._find_key(token, provider, now)
        if not key.verifies(token.algorithm, token.signed, token.signature):
            raise TokenRefused("The signature of the token is wrong. Get a new token from its issuer, and send that.")
        check_audience(token.claims, provider.audience)
        return VerifiedToken(provider, key, token.claims, valid_until)

    def _find_key(self, token: UnverifiedToken, provider: IdentityProvider, now: float) -> SigningKey:
        known = self._keys.get(provider.name, ProviderKeys())
        key = known.find(token.key_id, token.algorithm)
        if key is not None:
            return key
        if known.may_be_read_again(now):
            unchecked = TokenNotChecked(
                "The keys of the token's issuer are being read; send the token again.", retry_after=_ASK_AGAIN
            )
            unchecked.reading = self._miss(provider.name)
            raise unchecked
        if known.keys:
            raise TokenRefused(
                "The token is signed with a key (kid) that its issuer does not list, or not for this algorithm. Get a "
                "new token from its issuer, or try again in a minute."
            )
        raise TokenNotChecked(
            "The keys of the token's issuer could not be read; send the token again later.", retry_after=_ASK_AGAIN
        )
