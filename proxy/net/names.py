"""The addresses of hosts: looked up in the background, kept fresh while in use, and kept until newer ones come.

A lookup hangs in the system's resolver for as long as that likes. So each has a thread of its own, one for each name at
a time; a waiting connection gives up after two seconds, and with a known address it does not wait for a silent
resolver. Addresses need no lookup. Knows nothing of ports, connections or what a name is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from proxy.clock import boot_time

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""An address as `socket.getaddrinfo` returns it: family, type, protocol, canonical name, socket address."""

PATIENCE = 2.0
"""Seconds that a lookup is waited for."""
LIVE = 30.0
"""Seconds after which addresses are not used without a new lookup."""
REFRESH = 20.0
"""Seconds after which the addresses of a name in use are looked up again, so that no connection waits for it."""
RETRY = 5.0
"""Seconds until a lookup that failed is made again, the last known addresses serving meanwhile."""
IN_USE = 900.0
"""Seconds after it was last asked for that a name is in use: longer than a pooled connection lives."""
MAX_LOOKUPS = 64
"""Lookups, and so threads, at one time. A configuration names fewer hosts."""
_MAX_NAMES = 256


class LookupProblem(StrEnum):
    """Why a name has no address."""

    UNKNOWN = "unknown"
    """The resolver says that there is none."""
    UNAVAILABLE = "unavailable"
    """The resolver says that it cannot tell now."""
    SILENT = "silent"
    """The resolver says nothing."""
    HERE = "here"
    """The resolver says that it is this machine, which it cannot be."""


LEADS_HERE = (
    "leads back to the proxy, by a hosts file or an alias that is for its clients alone; "
    "let the proxy resolve it to Amazon's addresses"
)


class NameLookupFailed(OSError):
    """A name has no address, and had none before."""

    def __init__(self, host: str, problem: LookupProblem) -> None:
        leads_here = problem is LookupProblem.HERE
        super().__init__(f"the name {host} {LEADS_HERE if leads_here else 'could not be resolved'}")
        self.host = host
        self.problem = problem


def ask_system(host: str) -> Sequence[AddressInfo]:
    """The system's resolver: blocks. Raises `OSError`, or `UnicodeError` for what cannot be a name."""
    return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class NameLeadsHere(OSError):
    """A name has addresses of this machine alone, and is that of another one."""


class AskAboutOthers:
    """The resolver `ask`, without addresses of this machine for the `elsewhere` hosts.

    Clients reach the proxy by such names where an entry in a hosts file leads them to it. If it led the proxy itself
    there, too, each request would come back to it without end.
    """

    def __init__(self, elsewhere: Container[str], ask: Callable[[str], Sequence[AddressInfo]] = ask_system) -> None:
        self._elsewhere = elsewhere
        self._ask = ask

    def __call__(self, host: str) -> Sequence[AddressInfo]:
        """Blocks. Raises what the resolver raises, and `NameLeadsHere`."""
        found = self._ask(host)
        if host not in self._elsewhere:
            return found
        others = [each for each in found if not is_of_this_machine(each)]
        if found and not others:
            raise NameLeadsHere(host)
        return others


def is_of_this_machine(address: AddressInfo) -> bool:
    """Whether one of this machine's interfaces has the address: only then can a socket be bound to it."""
    with contextlib.suppress(OSError), socket.socket(address[0], socket.SOCK_DGRAM) as probe:
        probe.bind((address[4][0], 0, *address[4][2:]))
        return True
    return False


def numeric_address(host: str, port: int) -> AddressInfo | None:
    """The address that `host` is, None where it is a name. Raises `OSError` for a zone that this machine lacks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))
    zone = address.scope_id or "0"
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    bare = host.partition("%")[0]
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (bare, port, 0, scope))


class _Name:
    """What is known of one name. Moments are of the given clock; `lookup` runs while it is not None."""

    __slots__ = ("addresses", "asked_at", "good_until", "host", "lookup", "timer", "used_at")

    def __init__(self, host: str) -> None:
        self.host = host
        self.addresses: tuple[AddressInfo, ...] = ()
        self.good_until = self.used_at = self.asked_at = 0.0
        self.lookup: asyncio.Future[LookupProblem | None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Names:
    """The addresses of every host in use. `ask` blocks, and is called in threads; `clock` runs through suspension."""

    def __init__(
        self, *, ask: Callable[[str], Sequence[AddressInfo]] = ask_system, clock: Callable[[], float] = boot_time
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._clock = clock
        self._names: LRUCache[str, _Name] = LRUCache(_MAX_NAMES)
        self._lookups: set[_Name] = set()
        self._stopped = False

    def __repr__(self) -> str:
        known = (
            f"{name.host} {len(name.addresses)}{', looked up now' if name.lookup else ''}"
            for name in self._names.values()
        )
        return f"<Names: {'; '.join(known) or 'none'}>"

    async def find(self, host: str, port: int) -> list[AddressInfo]:
        """Where to connect to, best first. Raises `NameLookupFailed`, within `PATIENCE`."""
        numeric = numeric_address(host, port)
        if numeric is not None:
            return [numeric]
        name = self._names.setdefault(host, _Name(host))
        name.used_at = self._clock()
        if name.used_at >= name.good_until:
            problem = await self._ask_anew(name)
            if problem is not None and not name.addresses:
                raise NameLookupFailed(host, problem)
        return [
            (family, kind, protocol, "", (address[0], port, *address[2:]))
            for family, kind, protocol, _, address in name.addresses
        ]

    def stop(self) -> None:
        """Look up nothing more. Lookups that hang are left to themselves."""
        self._stopped = True
        for name in self._names.values():
            if name.timer is not None:
                name.timer.cancel()

    async def _ask_anew(self, name: _Name) -> LookupProblem | None:
        """Wait for a lookup, but with a known address only until the lookup is seen to hang."""
        lookup = name.lookup or self._look_up(name)
        left = PATIENCE
        if name.addresses:
            left -= self._clock() - name.asked_at
        if left > 0:
            await asyncio.wait((lookup,), timeout=left)
        return lookup.result() if lookup.done() else LookupProblem.SILENT

    def _look_up(self, name: _Name) -> asyncio.Future[LookupProblem | None]:
        lookup: asyncio.Future[LookupProblem | None] = self._loop.create_future()
        name.asked_at = self._clock()
        if name.timer is not None:
            name.timer.cancel()
            name.timer = None
        if len(self._lookups) >= MAX_LOOKUPS:
            lookup.set_result(LookupProblem.UNAVAILABLE)
            return lookup
        # Not an executor's: those are waited for when the program ends, however long a lookup hangs.
        thread = threading.Thread(target=self._ask_in_thread, args=(name,), name=f"lookup {name.host}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            lookup.set_result(LookupProblem.UNAVAILABLE)
            return lookup
        name.lookup = lookup
        self._lookups.add(name)
        return lookup

    def _ask_in_thread(self, name: _Name) -> None:
        found: Sequence[AddressInfo] = ()
        problem: LookupProblem | None = LookupProblem.UNKNOWN
        try:
            found = self._ask(name.host)
            problem = None if found else LookupProblem.UNKNOWN
        except UnicodeError:
            pass
        except OSError as error:
            problem = _problem_of(error)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._answered, name, tuple(found), problem)

    def _answered(self, name: _Name, found: tuple[AddressInfo, ...], problem: LookupProblem | None) -> None:
        lookup, name.lookup = name.lookup, None
        self._lookups.discard(name)
        if problem is None:
            name.addresses = found
        if name.addresses:
            name.good_until = self._clock() + (LIVE if problem is None else RETRY)
            if not self._stopped:
                name.timer = self._loop.call_later(REFRESH if problem is None else RETRY, self._refresh, name)
        if lookup is not None and not lookup.done():
            lookup.set_result(problem)

    def _refresh(self, name: _Name) -> None:
        """Look the name up ahead of need, as long as it was used lately."""
        name.timer = None
        if name.lookup is None and self._clock() - name.used_at < IN_USE:
            self._look_up(name)


def _problem_of(error: OSError) -> LookupProblem:
    if isinstance(error, NameLeadsHere):
        return LookupProblem.HERE
    final = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
    return LookupProblem.UNKNOWN if error.errno in final else LookupProblem.UNAVAILABLE
