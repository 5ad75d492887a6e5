"""What the objects of a write are like now, read from Amazon before a person is asked about it.

The reads are the client's own: by its policy, off its budget of requests, under its name in log and metrics. They take
the way of `internal_client`, where each client that may ask for approvals has a key that no program outside knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from proxy.app.internal_client import InternalClient, key_of
from proxy.audit.changed_objects import read_path
from proxy.mcp.sessions import account_in_force
from proxy.routing.ads_account import ADS_ACCOUNT, NAMES_ACCOUNT
from proxy.routing.mcp_session import FixedAccount
from proxy.spend.present_reads import group_objects, next_read
from proxy.spend.present_values import READ_SECONDS
from proxy.spend.written_values import changes_of, objects_to_read, written_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proxy.events import ValueChange
    from proxy.forwarding.decision import RequestContext, Rules
    from proxy.forwarding.dependencies import Dependencies
    from proxy.spend.limits import SpendLimits
    from proxy.spend.present_reads import ObjectGroup, PresentRead
    from proxy.spend.present_values import WrittenBody
    from proxy.upstream.pool import Pools

_COPIED: Final = NAMES_ACCOUNT - ADS_ACCOUNT
"""Fields of a write that its reads have, too: they name the account, next to those that the route has chosen."""


class PresentValueReader:
    """Implements `PresentValues`. It has no forwarder before some client may ask for approvals."""

    def __init__(self, dependencies: Dependencies, pools: Pools) -> None:
        self._internal = InternalClient(dependencies, pools)
        self._accounting = dependencies.accounting
        self._keys: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<PresentValueReader for {', '.join(sorted(self._keys)) or 'nobody'}>"

    def apply(self, rules: Rules, limits: Mapping[str, SpendLimits]) -> None:
        """Follow the rules for clients, and their limits on spending."""
        asking = {name for name, each in limits.items() if each.asks_approvers}
        if asking or self._keys:
            self._keys = {name: secrets.token_hex(32) for name in asking}
            self._internal.apply(
                rules, rules.clients.with_keys({name: key_of(key) for name, key in self._keys.items()})
            )

    async def changes(self, context: RequestContext, written: tuple[WrittenBody, ...]) -> tuple[ValueChange, ...]:
        try:
            operation = context.route.operation
            path = read_path(operation.template if operation is not None else "", context.destination.segments)
            bodies = await asyncio.to_thread(lambda: [(each, written_objects(each, path.ids)) for each in written])
            groups = [
                group for each, objects in bodies for group in group_objects(each.operation, objects_to_read(objects))
            ]
            present = await self._read(context, groups)
            named = [each for _, objects in bodies for each in objects]
            return await asyncio.to_thread(changes_of, named, present)
        except Exception as error:  # noqa: BLE001 - a person is asked all the same, and is told of no values
            self._accounting.defect("present values", error)
            return ()

    async def _read(self, context: RequestContext, groups: Sequence[ObjectGroup]) -> dict[str, Mapping[str, Any]]:
        """The objects that could be read in time, by their names."""
        found: dict[str, Mapping[str, Any]] = {}
        key, sent_for = self._keys.get(context.client), self._account_of(context)
        if key is None or sent_for is None:
            return found
        done: list[PresentRead] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_SECONDS):
                while (read := next_read(groups, found, done)) is not None:
                    done.append(read)
                    request = read.list.request(read.ids, sent_for.profile.decode("latin-1"))
                    target = f"/@{context.route.account}/{context.route.region}{request.target}"
                    further = _account_fields(context, sent_for)
                    answer = await self._internal.send(key, replace(request, target=target), further)
                    found |= read.list.read(answer)
        return found

    def _account_of(self, context: RequestContext) -> FixedAccount | None:
        """The profile and the ads account that the write is for; None where an MCP tool may work for any."""
        route = context.route
        if not route.api.takes_messages:
            return FixedAccount(route.profile, route.ads_account)
        return account_in_force(context.decision.asked.fields, route)


def _account_fields(context: RequestContext, sent_for: FixedAccount) -> dict[str, str]:
    """The fields that name an account, without the Scope."""
    account = {"Amazon-Ads-AccountId": sent_for.ads_account.decode("latin-1")} if sent_for.ads_account else {}
    if context.route.api.takes_messages:
        return account
    fields = context.request.fields.every
    copied = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields if name in _COPIED and value}
    return copied | account
