"""What the proxy is compared with: programs that keep connections, set three fields, and write a line of log."""

from __future__ import annotations

from benchmarks.peers.envoy import ENVOY
from benchmarks.peers.go import GO
from benchmarks.peers.haproxy import HAPROXY
from benchmarks.peers.nginx import NGINX, NGINX_LARGER_BUFFERS, NGINX_UNBUFFERED
from benchmarks.peers.peer import Peer, PeerMissing
from benchmarks.peers.pythons import AIOHTTP, MITMPROXY

PEERS = (NGINX, NGINX_UNBUFFERED, NGINX_LARGER_BUFFERS, HAPROXY, ENVOY, GO, AIOHTTP, MITMPROXY)

NGINX_VARIANTS = (NGINX_UNBUFFERED, NGINX_LARGER_BUFFERS)

__all__ = ["ENVOY", "GO", "NGINX", "NGINX_VARIANTS", "PEERS", "Peer", "PeerMissing"]
