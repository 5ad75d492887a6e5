"""What it costs to recognise a client by a JWT.

`python -m benchmarks jwt`. The same request is sent with a key and with a JWT of one client, by turns, to one process,
which remembers both. What verifying costs is measured in this process, as it happens once for each token.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.checkout import AUTHORIZATION, KEY, Setting, Worker, configuration, this_checkout
from benchmarks.load import Load
from benchmarks.measure import measure as measure_load
from benchmarks.processes import WORKER_CORE, Process, free_port, stopped_at_end
from benchmarks.upstream import start_upstream
from proxy.access.identity_providers import ClaimPattern, IdentityProvider, TokenRule
from proxy.access.signing_keys import read_key
from proxy.access.token_verification import ProviderKeys, TokenVerifier, TokenWork, WorkBudget
from tests.support.issuers import Signer, jwks, service_account

REMEMBERED_GOAL = 0.03
"""The most that a request with a remembered JWT may cost more than one with a key, as a part of that."""
VERIFIED_GOAL = 0.3e-3
"""Seconds that verifying a JWT may take."""
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
_TOKENS, _CONNECTIONS = 500, 8


@dataclass(frozen=True, slots=True)
class TokenCosts:
    """Seconds of CPU per request with a key and with a remembered JWT, each in the fastest quarter of the rounds, which
    other programs disturbed least. `verified` and `refused` are seconds for a token by its algorithm: of a client, and
    forged."""

    key: float
    token: float
    verified: dict[str, float]
    refused: dict[str, float]


def measure(rounds: int, seconds: int) -> TokenCosts:
    """Measure this checkout."""
    verified, refused = (
        {algorithm: _verify(algorithm, forged=forged) for algorithm in ALGORITHMS} for forged in (False, True)
    )
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        source, port, signer = this_checkout(), free_port(), Signer()
        (work / "jwks.json").write_text(jwks(signer))
        claims = service_account(time.time())
        config = configuration(upstream, Setting(), port, free_port()) | _clients(claims, work / "jwks.json")
        (work / "proxy.yaml").write_text(yaml.safe_dump(config))
        command = [source.python, "-m", "proxy", "serve", "--config", str(work / "proxy.yaml")]
        process = Process(command, work / "output.log", core=WORKER_CORE, env=source.environment())
        stack.enter_context(stopped_at_end(process))
        process.wait_ready(port, headers=f"Authorization: {AUTHORIZATION}\r\n")
        workers = {
            "key": Worker(process, port, AUTHORIZATION),
            "token": Worker(process, port, f"Bearer {signer.token(claims)}"),
        }
        return _pairs(workers, work, rounds, seconds, (verified, refused))


def _clients(claims: dict[str, Any], keys: Path) -> dict[str, object]:
    provider = {"issuer": claims["iss"], "audience": "ads-proxy", "jwks": {"file": str(keys)}}
    rule = {"provider": "cluster", "claims": {"sub": claims["sub"]}}
    client = {"name": "bench", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "jwt": rule}
    return {"identity_providers": {"cluster": provider}, "clients": [client]}


def _pairs(
    workers: dict[str, Worker],
    work: Path,
    rounds: int,
    seconds: int,
    checks: tuple[dict[str, float], dict[str, float]],
) -> TokenCosts:
    spent: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(rounds + 1):
        for name in sorted(workers, reverse=bool(number % 2)):
            spent[name].append(measure_load(workers[name], Load(connections=_CONNECTIONS), seconds, work).cpu)
    key, token = (statistics.fmean(sorted(spent[name][1:])[: max(1, rounds // 4)]) for name in ("key", "token"))
    return TokenCosts(key, token, *checks)


def _verify(algorithm: str, *, forged: bool) -> float:
    """Seconds of CPU for one token of a client, or for one that is not signed by its issuer."""
    now = time.time()
    signer, claims = Signer(algorithm), service_account(now)
    provider = IdentityProvider("cluster", claims["iss"], "ads-proxy", frozenset((algorithm,)))
    rules = [("nightly", TokenRule(provider, (("sub", (ClaimPattern(claims["sub"]),)),)))]
    keys = {"cluster": ProviderKeys((read_key(signer.jwk),), now, now)}
    verifier = TokenVerifier((provider,), keys, TokenWork(WorkBudget(lambda: 0.0)), lambda _name: asyncio.Event())
    used = Signer(algorithm, serial=1) if forged else signer
    tokens = [used.token({**claims, "jti": str(number)}).encode() for number in range(_TOKENS)]
    began = time.process_time()
    for token in tokens:
        with contextlib.suppress(Exception):
            verifier.find_client(token, rules, now, "127.0.0.1")
    return (time.process_time() - began) / _TOKENS


def report(costs: TokenCosts) -> str:
    """Tables of what was measured."""
    lines = [
        "| request | CPU | goal |",
        "| --- | ---: | ---: |",
        f"| with a key | {costs.key * 1e6:,.1f} us | |",
        f"| with a remembered JWT | {costs.token * 1e6:,.1f} us | |",
        f"| the difference | {costs.token / costs.key - 1:+.1%} | {REMEMBERED_GOAL:.0%} |",
        "",
        "| a new JWT | verified | forged | goal |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {costs.verified[name] * 1e6:,.0f} us | {costs.refused[name] * 1e6:,.0f} us | "
            f"{VERIFIED_GOAL * 1e6:,.0f} us |"
            for name in ALGORITHMS
        ),
    ]
    return "\n".join(lines)
