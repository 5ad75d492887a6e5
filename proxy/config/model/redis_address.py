"""A `state.url` that leads to Redis or Valkey, read once. Pure; a `WrongValue` shows nothing of what is wrong.

The forms are redis-py's, and the customary one for Sentinel (docs/how-to/share-state.md, The address of the store).
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

from proxy.config.model.expected import Expected, WrongValue
from proxy.secret import Secret
from proxy.value_classes import dataclass

SCHEMES = ("redis", "rediss")
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
"""What may stand after `?`: files, by the names that redis-py has for them."""

_FORM = re.compile(
    r"(?P<scheme>rediss?)(\+(?P<way>[a-z]+))?://((?P<user>[^@/?#]*)@)?(?P<hosts>[^@/?#]+)(?P<path>/[^?#]*)?"
    r"(\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(:(?P<port>[0-9]{1,5}))?")
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")


class RedisTopology(StrEnum):
    """How the server is found."""

    SERVER = "server"
    SENTINEL = "sentinel"
    """Sentinels are asked for the primary, now and after a failover."""
    CLUSTER = "cluster"
    """Nodes of a cluster are asked for the others."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where the store is. `hosts` are sentinels or nodes of a cluster, depending on `topology`, and `service` is the
    name that Sentinels have for the primary.

    `options` are of `TLS_OPTIONS`. As text it is safe to show: without user and password.
    """

    topology: RedisTopology
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    db: int = 0
    service: str = ""
    username: str = ""
    password: Secret | None = None
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        scheme = ("rediss" if self.tls else "redis") + (
            "" if self.topology is RedisTopology.SERVER else f"+{self.topology}"
        )
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{hosts}{service}/{self.db}"


def is_redis_address(text: str) -> bool:
    """Whether a text means to be one."""
    return text.partition(":")[0].partition("+")[0].lower() in SCHEMES


def parse_redis_address(text: str) -> RedisAddress:
    """The address. Raises `WrongValue`."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise WrongValue(Expected.REDIS_ADDRESS)
    if match["way"] not in (None, RedisTopology.SENTINEL, RedisTopology.CLUSTER):
        raise WrongValue(Expected.REDIS_ADDRESS)
    topology = RedisTopology(match["way"] or RedisTopology.SERVER)
    username, _, password = map(unquote, (match["user"] or "").partition(":"))
    service, db = _parse_path((match["path"] or "").strip("/"), topology)
    hosts = tuple(_parse_host(host, topology) for host in match["hosts"].split(","))
    if len(hosts) > 1 and topology is RedisTopology.SERVER:
        raise WrongValue(Expected.REDIS_ADDRESS)
    return RedisAddress(
        topology=topology,
        tls=match["scheme"] == "rediss",
        hosts=hosts,
        db=db,
        service=service,
        username=username,
        password=Secret(password) if password else None,
        options=_parse_options(match["query"] or "", tls=match["scheme"] == "rediss"),
    )


def _parse_host(text: str, topology: RedisTopology) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or (26379 if topology is RedisTopology.SENTINEL else 6379)) if match else 0
    if match is None or not 0 < port <= 65535:
        raise WrongValue(Expected.REDIS_ADDRESS)
    return match["v6"] or match["name"], port


def _parse_path(path: str, topology: RedisTopology) -> tuple[str, int]:
    """The service, of sentinels alone, and the number of the database."""
    service, _, db = path.partition("/") if topology is RedisTopology.SENTINEL else ("", "", path)
    if bool(_SERVICE.fullmatch(service)) != (topology is RedisTopology.SENTINEL) or not re.fullmatch(r"[0-9]{0,5}", db):
        raise WrongValue(Expected.REDIS_ADDRESS)
    if topology is RedisTopology.CLUSTER and int(db or 0):
        raise WrongValue(Expected.REDIS_CLUSTER)
    return service, int(db or 0)


def _parse_options(query: str, *, tls: bool) -> tuple[tuple[str, str], ...]:
    found = tuple(parse_qsl(query, keep_blank_values=True))
    if any(name not in TLS_OPTIONS or not value for name, value in found) or (found and not tls):
        raise WrongValue(Expected.REDIS_OPTION)
    return found
