"""Who calls. Pure but for the memory of verified credentials, of spent budgets and of used keys.

A client has keys, or JWTs of an identity provider, or both. Keys are kept and compared as SHA-256, in constant time;
JWTs are verified by `token_verification`. What a client may do is decided by `policy`.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections import Counter
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.access.client_certificates import NO_AUTHORITIES, CertificateKey, check_certificate
from proxy.access.client_keys import ClientKey, KeyUses, KnownKey
from proxy.access.identity_providers import looks_like_token
from proxy.access.placeholders import ACCESS, REFRESH, Holder, Placeholder, Placeholders
from proxy.access.policy import (
    Policy,
    Verdict,
    evaluate_body,
    evaluate_route,
    evaluate_run,
    find_named_account,
    fix_account,
)
from proxy.bounded_cache import BoundedCache
from proxy.errors import (
    BudgetSpent,
    CertificateRejected,
    ClientKeyEnded,
    ClientUnknown,
    PlaceholderRejected,
    Refused,
)
from proxy.routing.route import select
from proxy.routing.table import ClientScope
from proxy.token_bucket import TokenBucket
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proxy.access.client_certificates import PeerCertificate
    from proxy.access.token_verification import TokenVerifier, VerifiedToken
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.mcp_session import FixedAccount, McpSession
    from proxy.routing.route import Route
    from proxy.routing.table import RoutingTable
    from proxy.routing.target import RequestSummary
    from proxy.strict_json import JsonBody

AUTHORIZATION = b"authorization"
PROXY_KEY = b"x-ads-proxy-key"

_ABSENT = (b"",)
_MAX_REMEMBERED = 1024
"""Credentials that were verified: all are forgotten beyond that."""
_MAX_CACHE_BYTES = 2 << 20
"""The most bytes of the credentials that are remembered, in each of two memories."""
_MAX_KEY_BYTES = 1024
_MAX_TOKEN_BYTES = 10_240
"""Where tokens can come: the longest that is decoded, and a key."""
_IDENTITY_BYTES = 500
"""About how much memory an identity takes in addition to its credential."""
_GET_A_KEY = (
    "Send the key that `ads-proxy keys new NAME` printed, as X-Ads-Proxy-Key: KEY or Authorization: Bearer KEY."
)
_GET_A_NEWER = "Ask the operator of the proxy for the client's newer key, and send that."
_ASK_AGAIN = "Get a new one from /auth/o2/token."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""The form of a client's, an account's or a route's name, and of the ids of Login with Amazon."""
_LOGIN_CLIENT = "amzn1.application-oa2-client."
"""The beginning of a client id of Login with Amazon, which is no secret."""
_LONG_WORD = re.compile(r"[A-Za-z0-9]{20}")
"""What names rarely have, and secrets do."""
_UNLIMITED = Verdict("", "There is no policy.")
_NO_KEY = ClientKey("0" * 64)
"""What a key is compared with where there is no client of the name: it takes as long."""


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who asks. `policy` is None where no clients are configured; `key` is the one that a client proved to have,
    itself or by a placeholder that was issued for it; of a client with a JWT it stands for the rule that the token
    fits, and `token_digest` for this rule and the key that signed the token. It is so until `valid_until` (wall-clock
    time). `subject` is the `sub` of the token, empty without one.

    `verdict` is what its policy says of every request, None where it has to be asked about each. Its hash is that of
    the object: it is made once for each credential, and looked up for each request.
    """

    name: str
    policy: Policy | None
    scope: ClientScope
    key: ClientKey | None = None
    valid_until: float = math.inf
    subject: str = ""
    token_digest: str = ""
    verdict: Verdict | None = field(init=False)

    def __post_init__(self) -> None:
        policy = self.policy
        verdict = _UNLIMITED if policy is None else None if policy.checks_requests else policy.leave
        object.__setattr__(self, "verdict", verdict)

    __hash__ = object.__hash__

    @property
    def has_key(self) -> bool:
        """Whether a client proved to be itself."""
        return self.key is not None


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """How many requests a client sent, of a budget of `capacity` of which one comes back each `interval` seconds."""

    name: str
    capacity: float
    interval: float
    count: int


_MINUTE = 60.0


class Budgets:
    """What is left of each client's budget; outlives a reload. `now` never runs backwards."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}
        self._spent: Counter[str] = Counter()
        """Requests since `take_spendings` was called last."""

    def spend(self, name: str, per_minute: int, now: float) -> float:
        """Take one request off a client's budget. Returns 0, or the seconds until there is one to take."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = TokenBucket.full(per_minute, _MINUTE / per_minute, now)
        elif bucket.capacity != per_minute:
            bucket = TokenBucket(per_minute, _MINUTE / per_minute, bucket.level, bucket.at)
        left = bucket.take(now)
        self._buckets[name] = left or bucket
        if left is None:
            return bucket.wait(now)
        self._spent[name] += 1
        return 0.0

    def take_spendings(self) -> tuple[BudgetUsage, ...]:
        """What was spent since this was asked last."""
        spent, self._spent = self._spent, Counter()
        buckets = self._buckets
        return tuple(
            BudgetUsage(name, buckets[name].capacity, buckets[name].interval, count) for name, count in spent.items()
        )

    def settle(self, name: str, left: float, now: float) -> None:
        """Set what is left of a budget that other replicas spend as well, less what was spent here since."""
        bucket = self._buckets[name]
        self._buckets[name] = TokenBucket(bucket.capacity, bucket.interval, left - self._spent[name], now)


class Clients:
    """All configured clients; a reload replaces the whole object."""

    def __init__(
        self,
        policies: Iterable[Policy],
        placeholders: Placeholders,
        budgets: Budgets,
        uses: KeyUses | None = None,
        keyless: tuple[str, str] = ("", ""),
    ) -> None:
        """`keyless` names the client to which requests belong that show no client's key, and the account that they get
        if they name none: none but in a demo."""
        self._policies = {policy.name: policy for policy in policies}
        self._keyless, self._keyless_account = self._policies.get(keyless[0]), keyless[1]
        self._keys = tuple((key, policy) for policy in self._policies.values() for key in policy.keys)
        self._owners = {key.digest: policy.name for key, policy in self._keys}
        self._certificates = {policy.san: policy for policy in self._policies.values() if policy.san}
        self.authorities = NO_AUTHORITIES
        """The digests of the certificates that verify those of clients: set before the first request."""
        self._tokens: TokenVerifier | None = None
        self._token_rules = tuple(
            (policy.name, policy.token_rule) for policy in self._policies.values() if policy.token_rule is not None
        )
        self._placeholders = placeholders
        self._budgets = budgets
        self._uses = uses or KeyUses()
        self._verified: BoundedCache[tuple[bytes, bytes], ClientIdentity] = _memory()
        self._of_tokens: BoundedCache[bytes, ClientIdentity] = _memory()
        self.nobody = ClientIdentity("" if self._policies else "anonymous", None, ClientScope())

    @property
    def exist(self) -> bool:
        """Whether any client is configured: requests need a key then, but in a demo."""
        return bool(self._policies) and self._keyless is None

    def accept_tokens(self, verifier: TokenVerifier) -> None:
        """Accept JWTs from now on, where identity providers are configured."""
        self._tokens = verifier

    def forget(self) -> None:
        """Verify each credential again from now on."""
        self._verified, self._of_tokens = _memory(), _memory()

    # --- who

    def identify(self, fields: RequestFields, now: float, address: str = "") -> ClientIdentity:
        """The client of a request; `now` is wall-clock time. Work on a wrong JWT counts against the `address` that it
        comes from. Raises `ClientUnknown`, `ClientKeyEnded`, `PlaceholderRejected`, and what `identify_token` raises.

        Without configured clients every request is trusted: only our own placeholders are read, for their bindings.
        """
        identity = self.recall(fields, now)
        if identity is None:
            authorization, key = fields.value(AUTHORIZATION), fields.value(PROXY_KEY)
            identity = self._verify(authorization, key, now, address)
            size = len(authorization) + len(key)
            if size <= (_MAX_KEY_BYTES if self._tokens is None else _MAX_TOKEN_BYTES):
                self._verified.keep((authorization, key), identity, size + _IDENTITY_BYTES)
        if identity.key is not None:
            self._uses.note(identity.key.digest, now)
        return identity

    def recall(self, fields: RequestFields, now: float) -> ClientIdentity | None:
        """The client, if its credential was verified before and is still valid; None if it has to be verified."""
        named = fields.named
        if not self._policies and AUTHORIZATION not in named:
            return self.nobody
        authorization, key = named.get(AUTHORIZATION, _ABSENT)[0], named.get(PROXY_KEY, _ABSENT)[0]
        if not self._policies and ACCESS not in authorization:
            return self.nobody
        identity = self._verified.get((authorization, key))
        return identity if identity is not None and now < identity.valid_until else None

    def note_use(self, identity: ClientIdentity, now: float) -> None:
        """A request with the client's key was admitted; `now` is wall-clock time."""
        if identity.key is not None:
            self._uses.note(identity.key.digest, now)

    def _verify(self, authorization: bytes, key: bytes, now: float, address: str) -> ClientIdentity:
        credential = _credential(authorization)
        if not self._policies and not credential.startswith(ACCESS):
            return self.nobody
        if isinstance(key, CertificateKey):
            known = self._holders(key.certificate)
            keyed = self._of_certificate(key, now) if known or not credential else None
        else:
            keyed = self._of_key(key, now, address) if self._policies and key else None
        if credential.startswith(ACCESS):
            return self._of_placeholder(credential, keyed, now)
        return keyed if keyed is not None else self._of_key(credential, now, address)

    def _of_key(self, key: bytes, now: float, address: str) -> ClientIdentity:
        """The client that has this key or JWT. Every digest is compared, so that time tells nothing."""
        digest = hashlib.sha256(key).hexdigest()
        found = None
        for each, policy in self._keys:
            if hmac.compare_digest(digest, each.digest):
                found = each, policy
        if found is None and self._tokens is not None and looks_like_token(key):
            return self.identify_token(key, now, address)
        if found is None and self._keyless is not None:
            return self._identity(self._keyless, "", None)
        if found is None or not key:
            raise ClientUnknown(f"{'No client has this key' if key else 'A key is needed here'}. {_GET_A_KEY}")
        _refuse_ended(*found, now)
        return self._identity(found[1], "", found[0])

    def _holders(self, certificate: PeerCertificate) -> tuple[Policy, ...]:
        """The clients that a certificate names: one, as a rule, and none for one with a fault."""
        if certificate.fault:
            return ()
        return tuple(self._certificates[name] for name in certificate.names if name in self._certificates)

    def _of_certificate(self, key: CertificateKey, now: float) -> ClientIdentity:
        """The client of a connection with this certificate. Raises `CertificateRejected`."""
        presented = key.certificate
        check_certificate(presented, self.authorities, now)
        found = self._holders(presented)
        if len(found) != 1:
            why = presented.fault or ("it has the names of several clients" if found else "it belongs to no client")
            raise CertificateRejected(
                f"The client certificate does not identify a client: {why}. Its names are: {presented.shown}. Ask the "
                "operator of the proxy to add one of them to a client, or send a key."
            )
        (policy,) = found
        assert policy.certificate is not None
        return self._identity(policy, "", replace(policy.certificate, ends_at=presented.ends_at))

    def identify_token(self, text: bytes, now: float, address: str) -> ClientIdentity:
        """The client of a JWT, which is remembered until it expires. Raises `TokenRefused` or `TokenNotChecked`."""
        known = self._of_tokens.get(text)
        if known is not None and now < known.valid_until:
            return known
        assert self._tokens is not None
        name, token = self._tokens.find_client(text, self._token_rules, now, address)
        identity = self._token_identity(self._policies[name], token)
        self._of_tokens.keep(text, identity, len(text) + _IDENTITY_BYTES)
        return identity

    def _token_identity(self, policy: Policy, token: VerifiedToken) -> ClientIdentity:
        rule = policy.token_rule
        assert rule is not None
        identity = self._identity(policy, "", ClientKey(rule.digest, token.valid_until))
        return replace(identity, subject=token.subject, token_digest=token.digest_with(rule))

    def _of_placeholder(self, text: bytes, keyed: ClientIdentity | None, now: float) -> ClientIdentity:
        found = self._placeholders.read(ACCESS, text, self._access_credentials)
        if found is None:
            raise PlaceholderRejected(
                f"The access token is not from this proxy, or its client or key was removed. {_ASK_AGAIN}"
            )
        policy = self._policies.get(found.client)
        key = self._access_credentials(found.client)[found.key_digest]
        if policy is not None and key is not None:
            _refuse_ended(key, policy, now)
        if found.expires <= now:
            raise PlaceholderRejected(f"The access token has expired. {_ASK_AGAIN}")
        if policy is not None and key is not None and key is policy.certificate and keyed is None:
            raise PlaceholderRejected(
                "The access token was issued for a client certificate; send it on a connection with this certificate."
            )
        if keyed is not None and keyed.name != found.client:
            raise PlaceholderRejected(
                "The access token and X-Ads-Proxy-Key belong to different clients; send one of them."
            )
        until = min(found.expires, math.inf if keyed is None else keyed.valid_until)
        identity = self._identity(policy, found.bound, key, until)
        of_token = key is not None and key.digest != found.key_digest
        return replace(identity, subject=found.subject, token_digest=found.key_digest) if of_token else identity

    def _digests_of(self, name: str) -> tuple[str, ...]:
        """The digests of a client's credentials; an empty one for no client, while no key is required."""
        if not self._policies:
            return () if name else ("",)
        policy = self._policies.get(name)
        return tuple(key.digest for key in policy.credentials) if policy is not None else ()

    def _access_credentials(self, name: str) -> Mapping[str, ClientKey | None]:
        """A client's credentials by the digests that access placeholders are signed with. For its JWTs there is one for
        each key of the provider that is in force, so that no placeholder outlasts it."""
        policy = self._policies.get(name)
        if policy is None:
            return dict.fromkeys(self._digests_of(name))
        rule, found = policy.token_rule, {key.digest: key for key in policy.credentials}
        if rule is not None:
            key = found.pop(rule.digest)
            found |= dict.fromkeys(self._tokens.digests_of(rule) if self._tokens is not None else (), key)
        return found

    def _key_of(self, placeholder: Placeholder) -> ClientKey | None:
        policy = self._policies.get(placeholder.client)
        keys = policy.credentials if policy is not None else ()
        return next((key for key in keys if key.digest == placeholder.key_digest), None)

    def _identity(
        self, policy: Policy | None, bound: str, key: ClientKey | None, until: float = math.inf
    ) -> ClientIdentity:
        """The client, until its key expires at the latest."""
        if policy is None:
            return ClientIdentity("anonymous", None, ClientScope(bound), valid_until=until)
        if key is not None:
            until = min(until, key.until)
        if policy is self._keyless:
            bound = bound or self._keyless_account
        profiles = frozenset(map(bytes.decode, policy.own.profiles)) if policy.limited_by else None
        return ClientIdentity(policy.name, policy, ClientScope(bound, policy.accounts, profiles), key, until)

    # --- what tunnels ask

    def identify_key(self, key: bytes, now: float, address: str = "") -> ClientIdentity:
        """The client that has this key; the anonymous one where none is configured. Raises `ClientUnknown`,
        `ClientKeyEnded`, and what `identify_token` raises."""
        if not self._policies:
            identity = self.nobody
        elif isinstance(key, CertificateKey):
            identity = self._of_certificate(key, now)
        else:
            identity = self._of_key(key, now, address)
        self.note_use(identity, now)
        return identity

    def owner_of(self, authorization: bytes, key: bytes, now: float, address: str = "") -> str | None:
        """The name of the client that an Authorization and an X-Ads-Proxy-Key belong to; None where neither is a
        credential of a client."""
        try:
            return self._verify(authorization, key, now, address).name
        except Refused:
            return None

    # --- what the token endpoint asks

    def authenticate(self, name: str, secret: str, now: float, address: str = "") -> ClientIdentity | None:
        """The client of this name with this key or JWT; None for another key or name. The anonymous client, if none is
        configured.

        Raises `ClientKeyEnded` for a key that was the client's, and what `identify_token` raises.
        """
        if not self._policies:
            return self._identity(None, "", None)
        digest = _digest(secret)
        policy, found = self._policies.get(name), None
        for key in (policy.keys if policy is not None else ()) or (_NO_KEY,):
            if hmac.compare_digest(digest, key.digest):
                found = key
        if found is None and self._tokens is not None and looks_like_token(text := secret.encode("ascii", "replace")):
            identity = self.identify_token(text, now, address)
            return identity if identity.name == name else None
        if found is None and self._keyless is not None:
            policy, found = self._keyless, self._keyless.keys[0]
        if policy is None or found is None:
            return None
        _refuse_ended(found, policy, now)
        self._uses.note(found.digest, now)
        return self._identity(policy, "", found)

    def explain_failure(self, name: str, secret: str) -> str:
        """Why there is no client of this name with this secret, for the log alone: whether the name or the secret is
        wrong. It holds no secret, and takes as long for a client's name as for any other."""
        of_name, of_secret = self._owner_of_key(name), self._owner_of_key(secret)
        if of_name:
            return f"client_id is a key of client {of_name}; send the client's name there, and the key as client_secret"
        if not name:
            what = "no client_id" if secret else "neither client_id nor client_secret"
        elif not secret:
            what = "no client_secret"
        else:
            what = ""
        whose = f", and client_secret is a key of client {of_secret}" if of_secret else ""
        if what:
            return f"the request has {what}{whose}"
        if name in self._policies:
            return f"client_secret is neither a key nor a JWT of client {name}{whose}"
        return f"client_id {show_name(name)} is no client's name{whose or ', and client_secret is no key of a client'}"

    def _owner_of_key(self, text: str) -> str:
        """The client that has this key, empty for none. It is found by its digest, so that a flood of wrong keys costs
        no more with many clients. A sender cannot choose a text by its digest, and learns nothing from the time."""
        return self._owners.get(_digest(text), "")

    def authenticate_assertion(self, assertion: str, now: float, address: str = "") -> ClientIdentity | None:
        """The client of a JWT; None for what is none, or where no identity provider signs them. The anonymous client,
        if no client is configured. Raises what `identify_token` raises."""
        if not self._policies:
            return self._identity(None, "", None)
        if self._tokens is None or not looks_like_token(text := assertion.encode("ascii", "replace")):
            return None
        return self.identify_token(text, now, address)

    def issue(self, identity: ClientIdentity, bound: str, now: float) -> tuple[str, str]:
        """An access and a refresh placeholder, which expire with what the client has shown."""
        key, policy, until = identity.key, identity.policy, identity.valid_until
        name, digest = (identity.name, key.digest) if key is not None else ("", "")
        if key is not None and policy is not None and key in policy.keys and until == key.until:
            until = math.inf  # the end of a key is looked at with each use, and not rounded to a second
        holder = Holder(name, identity.token_digest or digest, identity.subject)
        access = self._placeholders.issue_access(holder, bound, now, until)
        return access, self._placeholders.issue_refresh(name, digest, bound)

    def read_refresh(self, identity: ClientIdentity, text: str, now: float) -> str | None:
        """The binding of a refresh placeholder of this client; None for any other text."""
        found = self._placeholders.read(REFRESH, text.encode("utf-8", "surrogatepass"), self._digests_of)
        holder = identity.policy.name if identity.policy is not None else ""
        if found is None or found.client != holder:
            return None
        key = self._key_of(found)
        return None if key is not None and key.has_ended(now) else found.bound

    # --- what they may do

    def fix_account(
        self,
        identity: ClientIdentity,
        screened: Verdict,
        asked: RequestSummary,
        table: RoutingTable,
        session: McpSession | None = None,
    ) -> FixedAccount | None:
        """The only advertiser that a request to the MCP endpoint is for; None where it may be for any. Raises what
        forbids it."""
        if identity.policy is None or not screened.is_fixed:
            return None
        selection = select(asked.name, asked.fields, table, identity.scope)
        named = find_named_account(asked.fields, selection.profile if selection is not None else "")
        return fix_account(identity.policy, named, session)

    def charge(self, identity: ClientIdentity, now: float) -> None:
        """Take one request off the client's budget, or raise that nothing is left. `now` never runs backwards.

        Asked before a request is checked: refused requests count, and those beyond the budget cost next to nothing.
        """
        policy = identity.policy
        if policy is None or policy.requests_per_minute is None:
            return
        limit = policy.requests_per_minute
        wait = self._budgets.spend(policy.name, limit, now)
        if wait:
            raise BudgetSpent(
                f"Client {policy.name} may send {limit} requests a minute; wait as long as Retry-After says.",
                retry_after=wait,
            )

    def check_route(self, identity: ClientIdentity, screened: Verdict, chosen: Route) -> None:
        """Raise what forbids the route, if anything does."""
        policy = identity.policy
        if policy is None:
            return
        verdict = evaluate_route(policy, screened.with_body, chosen)
        if verdict.refusal is not None:
            raise verdict.refusal

    def claim(self, identity: ClientIdentity, in_flight: int) -> None:
        """Raise that the client has too many requests under way; `in_flight` counts those so far."""
        policy = identity.policy
        if policy is None or policy.max_in_flight is None:
            return
        if in_flight >= policy.max_in_flight:
            raise BudgetSpent(
                f"Client {policy.name} may have {policy.max_in_flight} requests in flight (max_in_flight); "
                "wait until one of them finishes.",
                retry_after=1,
            )

    def permit_body(self, identity: ClientIdentity, fields: RequestFields, body: JsonBody) -> None:
        """Raise what forbids an order for reports with this body, where the screening left that open."""
        verdict = evaluate_body(identity.policy, fields, body) if identity.policy is not None else _UNLIMITED
        if verdict.refusal is not None:
            raise verdict.refusal

    def readable_reports(self, identity: ClientIdentity, accounts: Mapping[str, str]) -> frozenset[str]:
        """The named reports that a client may read. `accounts` leads from each name to its account."""
        policy = identity.policy
        return frozenset(
            name for name, account in accounts.items() if policy is None or policy.reads_report(name, account)
        )

    def permit_run(self, identity: ClientIdentity) -> None:
        """Raise what forbids a client to ask for a run of a named report, if anything does."""
        verdict = evaluate_run(identity.policy) if identity.policy is not None else _UNLIMITED
        if verdict.refusal is not None:
            raise verdict.refusal

    def impersonate(self, name: str) -> ClientIdentity | None:
        """The identity of a client with its key, for `ads-proxy check --as`; None for an unknown client."""
        policy = self._policies.get(name)
        return self._identity(policy, "", next(iter(policy.credentials), None)) if policy is not None else None

    def with_keys(self, keys: Mapping[str, ClientKey]) -> Clients:
        """The clients of these names, each with this one key instead of its own: the same policies, and budgets that
        they share with these here. They may have any number of requests in flight."""
        policies = (
            replace(policy, keys=(keys[name],), max_in_flight=None)
            for name, policy in self._policies.items()
            if name in keys
        )
        return Clients(policies, self._placeholders, self._budgets)

    def known_keys(self) -> tuple[KnownKey, ...]:
        """Every client's keys and certificates, in the order of the configuration."""
        owned = ((policy.name, key) for policy in self._policies.values() for key in policy.credentials)
        return tuple(KnownKey(name, key, self._uses.last(key.digest)) for name, key in owned)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._policies))

    def __repr__(self) -> str:
        return f"Clients({', '.join(self.names())})"


def _memory() -> BoundedCache[Any, ClientIdentity]:
    """An empty memory of credentials."""
    return BoundedCache(_MAX_REMEMBERED, _MAX_CACHE_BYTES)


def _refuse_ended(key: ClientKey, policy: Policy, now: float) -> None:
    """Raise if a client's key has expired. The sender had the key, and may know whose it was."""
    if key.ends_at is not None and key.has_ended(now):
        expired = datetime.fromtimestamp(key.ends_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise ClientKeyEnded(f"This key of client {policy.name} expired at {expired} (key {key.id}). {_GET_A_NEWER}")


def _credential(authorization: bytes) -> bytes:
    """The credential of `Bearer X`, or all of it."""
    scheme, separator, rest = authorization.partition(b" ")
    return rest.strip() if separator and scheme.lower() == b"bearer" else authorization


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def show_name(text: str) -> str:
    """What a client sent as a name, for the log: as it is if it can be one, and no secret in the wrong place."""
    if _NAME.fullmatch(text) is not None and (text.startswith(_LOGIN_CLIENT) or _LONG_WORD.search(text) is None):
        return f"'{text}'"
    return f"(not shown, {len(text)} characters)"
