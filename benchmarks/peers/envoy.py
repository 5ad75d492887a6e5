"""Envoy with one worker thread, from the Python package that ships its binary (benchmarks/requirements.lock)."""

from __future__ import annotations

import yaml

from benchmarks.peers.peer import FIELDS, Peer, PeerMissing, Place, version_of
from benchmarks.processes import CACHE, program

_CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FILE_LOG = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def _typed(name: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _manager(place: Place) -> dict[str, object]:
    headers = [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in FIELDS.items()
    ]
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "amazon", "timeout": "600s"}}],
        "request_headers_to_add": headers,
    }
    return _typed(
        _CONNECTION_MANAGER,
        stat_prefix="tools",
        codec_type="HTTP1",
        access_log=[{"name": "file", "typed_config": _typed(_FILE_LOG, path=str(place.log))}],
        route_config={"name": "amazon", "virtual_hosts": [host]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": _typed(_ROUTER)}],
    )


def _cluster(place: Place) -> dict[str, object]:
    endpoint = {"endpoint": {"address": _address(place.upstream_port)}}
    found: dict[str, object] = {
        "name": "amazon",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "amazon", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if place.tls:
        trusted = {"trusted_ca": {"filename": str(place.upstream.ca)}}
        context = _typed(_TLS, sni="localhost", common_tls_context={"validation_context": trusted})
        found["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return found


def _command(place: Place) -> list[str]:
    chain = {"filters": [{"name": "http", "typed_config": _manager(place)}]}
    listener = {"name": "tools", "address": _address(place.port), "filter_chains": [chain]}
    path = place.work / "envoy.yaml"
    path.write_text(yaml.safe_dump({"static_resources": {"listeners": [listener], "clusters": [_cluster(place)]}}))
    return [_binary(), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]


def _binary() -> str:
    shipped = next(CACHE.glob("lib/python*/site-packages/envoy/_bin/envoy"), None)
    found = str(shipped) if shipped else program("envoy")
    if found is None:
        raise PeerMissing("make bench installs it from benchmarks/requirements.lock")
    return found


ENVOY = Peer("Envoy", _command, lambda: version_of([_binary(), "--version"], r"/(\d+\.\d+\.\d+)/"))
