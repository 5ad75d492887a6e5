"""`python -m proxy` is `ads-proxy`."""

from __future__ import annotations

from proxy.commands.entry import main

main()
