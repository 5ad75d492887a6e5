"""What routing knows of the configuration, as values: accounts, names, hosts, and where profiles are looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.profiles.index import ListingFailure


class Directory(Protocol):
    """What is known of profiles, in memory."""

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        """The (account, region) pairs that list a profile; empty where nobody does."""

    def first(self, account: str, region: str) -> str | None:
        """The pinned first profile; empty where none is listed, None while nothing is known."""

    def failure(self, account: str, region: str) -> ListingFailure | None:
        """Why the last listing failed, if it did."""


class EmptyDirectory:
    """A directory that knows nothing yet."""

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        return ()

    def first(self, account: str, region: str) -> str | None:
        return None

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return None


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account as routing needs it. `default_profile` is an id, `first` or empty."""

    name: str
    region: str
    default_profile: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What `/@NAME` or a placeholder chooses; region and profile are empty where only an account is named."""

    account: AccountEntry
    region: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that routing knows of the configuration, swapped whole by a reload.

    `names` are routes and accounts: one namespace. `api_hosts` leads from host, or host:port, of an API address to the
    region, empty where regions share the address. `served_hosts` are the host names that are answered for beside IP
    literals, without ports. `mcp_paths` are the paths of the regions' hosted MCP endpoints.
    """

    accounts: Mapping[str, AccountEntry]
    names: Mapping[str, Selection]
    api_hosts: Mapping[str, str]
    served_hosts: frozenset[str]
    mcp_paths: Mapping[str, bytes]
    directory: Directory

    def find_api_host(self, name: str, authority: str) -> str | None:
        """The region of an API host, None for any other host."""
        region = self.api_hosts.get(authority)
        return region if region is not None else self.api_hosts.get(name)


@dataclass(frozen=True, slots=True)
class CallerScope:
    """What a caller's credentials say for routing: a name that its placeholder binds, and the accounts it may use."""

    bound: str = ""
    accounts: frozenset[str] | None = None

    def admits(self, account: str) -> bool:
        return self.accounts is None or account in self.accounts

    def may_use(self, found: Selection | None) -> bool:
        """Whether the caller may be told of what a name chooses. Who may use everything is told what is not there."""
        return self.accounts is None or (found is not None and found.account.name in self.accounts)


ANYBODY = CallerScope()
