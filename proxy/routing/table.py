"""What routing knows of the configuration, as values: accounts, names, hosts, and where profiles are looked up."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from proxy.profiles.first_lists import FirstLists
from proxy.routing.operations import PUBLISHED
from proxy.unchanging import unchanging
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.profiles.first_lists import AwaitedId
    from proxy.profiles.index import ListingFailure
    from proxy.profiles.listing import Profile
    from proxy.regions import HostUse
    from proxy.routing.operations import Operations


class Directory(Protocol):
    """What is known of profiles and ads accounts, in memory."""

    @property
    def version(self) -> int:
        """Another number whenever a look-up may give something else than before."""
        ...

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """The (account, region) pairs that list a profile; empty for an unlisted profile. `account` is the one that the
        request chose, if any: only its lists may be outdated.
        """

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """The (account, region) pairs of an ads account or advertiser; empty for an unknown one."""

    def first(self, account: str, region: str) -> str | None:
        """The pinned first profile; empty where none is listed, None while nothing is known."""

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        """A profile as an account's lists of a region have it, None for an unlisted one."""

    def ads_account_profiles(self, identifier: str, account: str) -> tuple[tuple[str, str], ...]:
        """The (profile, region) pairs of an ads account that an account reaches, with an empty profile where a country
        has none that is listed; none of an unknown ads account."""

    def failure(self, account: str, region: str) -> ListingFailure | None:
        """Why the last listing failed, if it did."""

    @property
    def settled(self) -> bool:
        """Whether no account's first lists are awaited."""
        ...

    def first_lists(self, account: str) -> FirstLists:
        """What became of the first lists of an account."""
        ...

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        """Return when an id is listed, or when no first list can have it, after `first_lists.LONGEST_WAIT` at the
        latest."""


class EmptyDirectory:
    """A directory that knows nothing, and reads nothing."""

    version = 0
    settled = True

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        return ()

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        return ()

    def first(self, account: str, region: str) -> str | None:
        return None

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        return None

    def ads_account_profiles(self, identifier: str, account: str) -> tuple[tuple[str, str], ...]:
        return ()

    def failure(self, account: str, region: str) -> ListingFailure | None:
        return None

    def first_lists(self, account: str) -> FirstLists:
        return FirstLists.SETTLED

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        """Return at once: there are no first lists."""


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account as routing needs it; its defaults are ids, or empty. `default_profile` may be `first`, too. `login`
    stands for its application and its refresh token, as far as these are configured."""

    name: str
    region: str
    default_profile: str
    default_ads_account: str = ""
    login: str = ""


@unchanging
class Selection:
    """What `/@NAME` or a placeholder chooses; region and profile are empty where only an account is named."""

    account: AccountEntry
    region: str = ""
    profile: str = ""


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that routing knows of the configuration, swapped whole by a reload.

    `names` are routes and accounts: one namespace. `api_hosts` leads from host, or host:port, of an API address to the
    region, empty where regions share the address. `served_hosts` are the accepted host names in addition to IP
    literals, without ports. `intercepted_hosts` are Amazon's, where the proxy answers for them, and what each serves.
    `api_paths` leads from an API's name and a region to the path of its address there. `operations` say what a default
    is added to.
    """

    accounts: Mapping[str, AccountEntry]
    names: Mapping[str, Selection]
    api_hosts: Mapping[str, str]
    served_hosts: frozenset[str]
    api_paths: Mapping[tuple[str, str], bytes]
    directory: Directory
    operations: Operations = PUBLISHED
    intercepted_hosts: Mapping[str, HostUse] = field(default_factory=dict)

    def find_api_host(self, name: str, authority: str) -> str | None:
        """The region of an API host, None for any other host."""
        region = self.api_hosts.get(authority)
        return region if region is not None else self.api_hosts.get(name)


@dataclass(frozen=True, slots=True)
class ClientScope:
    """A client's credentials, for routing: a name that its placeholder binds, and what it may use.

    `accounts` and `profiles` are None where it may use all; a client that is limited to account ids has no profiles.
    """

    bound: str = ""
    accounts: frozenset[str] | None = None
    profiles: frozenset[str] | None = None

    def admits(self, account: str) -> bool:
        return self.accounts is None or account in self.accounts

    def may_use(self, found: Selection | None) -> bool:
        """Whether the client may use what a name chooses: not a route to another profile, and not an unknown name."""
        if found is None or not self.admits(found.account.name):
            return False
        return self.profiles is None or not found.profile or found.profile in self.profiles

    @property
    def rule(self) -> str:
        """The key of the configuration that limits the client to its own names; empty if it may use all."""
        if self.accounts is not None:
            return "accounts"
        return "" if self.profiles is None else "profiles" if self.profiles else "account_ids"


ANYBODY = ClientScope()
