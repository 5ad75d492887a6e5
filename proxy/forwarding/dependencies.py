"""What all exchanges share: where tokens come from, what Amazon asked for, and who is told. Shapes only."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from proxy.forwarding.rights import Rights
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.injection import AccountLines
    from proxy.tokens.token_rejections import TokenUse
    from proxy.tokens.values import AccessToken
    from proxy.upstream.retry_budgets import RetryBudgets
    from proxy.upstream.throttles import Throttles


class AccessTokens(Protocol):
    """Where access tokens come from: see `proxy.tokens.manager.TokenManager`."""

    def current(self, account: str) -> AccessToken | None: ...

    async def get(self, account: str) -> AccessToken: ...

    @property
    def watchful(self) -> bool: ...

    def problem(self, account: str) -> str: ...

    def accepted(self, token: AccessToken, use: TokenUse) -> None: ...

    async def renewed(self, rejected: AccessToken, use: TokenUse) -> AccessToken | None: ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What all exchanges share."""

    tokens: AccessTokens
    throttles: Throttles
    retry_budgets: RetryBudgets
    account_lines: AccountLines
    accounting: Accounting
    rights: Rights = field(default_factory=Rights)
