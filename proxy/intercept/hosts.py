"""Amazon's hosts that the proxy answers for inside a tunnel, and what each is for. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.regions import AMAZON_REGIONS, HostUse

if TYPE_CHECKING:
    from collections.abc import Mapping


AMAZON_HOSTS: Mapping[str, tuple[HostUse, str]] = {
    urlsplit(addresses[use]).hostname or "": (use, region)
    for region, addresses in AMAZON_REGIONS.items()
    for use in HostUse
}
"""Host name in lower case -> (its use, its region). The name constraints of the authority permit exactly these."""
