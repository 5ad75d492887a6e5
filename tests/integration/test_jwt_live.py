"""Clients that identify themselves by JWTs, in the running program and with real issuers' shapes of tokens."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml

from tests.integration.test_rights_live import Tool, endless_streams, head
from tests.support.issuers import KeyServer, Signer, jwks, key_server, service_account
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, until
from tests.support.programs import ROOT, require_program
from tests.support.ready_program import ready
from tests.support.running import Serving, SimulatedAmazon, replace_file, serving

pytestmark = pytest.mark.integration

KEY = "the key of a client beside it"
NIGHTLY, WEEKLY = "system:serviceaccount:ads:nightly", "system:serviceaccount:ads:weekly"


def cluster(signer: Signer, folder: Path, **changes: Any) -> dict[str, Any]:
    """Kubernetes as a provider, with a file of these keys."""
    (folder / "jwks.json").write_text(jwks(signer))
    given = {
        "issuer": "https://kubernetes.default.svc.cluster.local",
        "audience": "ads-proxy",
        "jwks": {"file": str(folder / "jwks.json")},
    }
    return {"cluster": {**given, **changes}}


def nightly(**changes: Any) -> dict[str, Any]:
    """A client whose workload is a ServiceAccount."""
    return {"name": "nightly", "jwt": {"provider": "cluster", "claims": {"sub": NIGHTLY}}, **changes}


def keyed(name: str = "other") -> dict[str, Any]:
    return {"name": name, "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask_all(running: Serving, headers: dict[str, str], times: int = 12) -> set[int]:
    """The statuses of requests on connections of their own."""
    return {fetch(f"{running.proxy_url}/v2/profiles", headers=headers)[0] for _ in range(times)}


def logged(running: Serving, event: str) -> list[dict[str, Any]]:
    """The lines of an event."""
    return [line for line in running.process.output.entries() if line.get("event") == event]


def written(folder: Path) -> dict[str, Any]:
    """The audit record of the first write."""

    def find() -> dict[str, Any] | None:
        records = map(json.loads, (folder / "audit.jsonl").read_text().splitlines())
        return next((each for each in records if each["event"]["action"] == "amazon-write"), None)

    found: dict[str, Any] = until(find)
    return found


def whose(running: Serving) -> set[tuple[str, str | None]]:
    """Clients and subjects in the log."""
    return {(line["client"], line.get("subject")) for line in logged(running, "request")}


def accepted_by_all(running: Serving, headers: dict[str, str]) -> bool:
    """Whether a credential is accepted on each of some connections."""
    return ask_all(running, headers) == {200}


def shown_subjects(running: Serving) -> set[str]:
    """Whose requests the console shows."""
    return {each["subject"] for each in json.loads(running.admin_get("/console/requests")[1])["requests"]}


def test_a_workload_is_its_client(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A token of a ServiceAccount is accepted in either header, and does not leave; log and audit tell its client and
    subject. A client's key works beside it. Without the client, the token is refused at once."""
    signer = Signer()
    configuration = amazon.configuration(
        clients=[nightly(), keyed()],
        identity_providers=cluster(signer, tmp_path),
        audit={"file": str(tmp_path / "audit.jsonl")},
    )
    token = signer.token(service_account(time.time()))
    with serving(tmp_path, configuration) as running:
        for headers in (bearer(token), {"X-Ads-Proxy-Key": token}, bearer(KEY)):
            assert ask_all(running, headers) == {200}
        until(lambda: whose(running) == {("nightly", NIGHTLY), ("other", None)})
        assert fetch(f"{running.proxy_url}/sp/campaigns", b"{}", bearer(token) | {"Content-Type": "text/plain"})[0]
        assert written(tmp_path)["user"] == {"name": "nightly", "id": NIGHTLY}
        until(lambda: shown_subjects(running) == {NIGHTLY, ""})
        forged = Signer(serial=1).token(service_account(time.time()))
        status, body = running.get("/v2/profiles", bearer(forged))
        assert (status, json.loads(body)["type"]) == (401, "urn:ads-proxy:error:token-refused")
        assert token not in json.dumps(amazon.look("requests", last=1000))
        misplaced = {**bearer(token), "X-Request-Id": token[:100], "User-Agent": f"x {token}"}
        fetch(f"{running.proxy_url}/v2/{token}?token={token}", headers=misplaced)
        until(lambda: any(line["path"].startswith("/v2/eyJ***") for line in logged(running, "request")))
        assert token.rpartition(".")[2] not in running.process.text + (tmp_path / "audit.jsonl").read_text()
        running.write({**configuration, "clients": [keyed()]})
        until(lambda: logged(running, "config_reloaded"))
        assert ask_all(running, bearer(token)) == {401}
        assert ask_all(running, bearer(KEY)) == {200}


def over_https(server: KeyServer, **changes: Any) -> dict[str, Any]:
    """Kubernetes as a provider, with the keys of an HTTPS server."""
    given = {
        "issuer": "https://kubernetes.default.svc.cluster.local",
        "audience": "ads-proxy",
        "jwks": {"url": server.url},
        "ca_file": str(server.authority.ca_file),
        "token": "the-token-of-the-pod",
    }
    return {"cluster": {**given, **changes}}


def answers(running: Serving, token: str) -> int:
    """The status of one request."""
    return running.get("/v2/profiles", bearer(token))[0]


def test_a_rotation_takes_effect(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A token with a new key is refused within a minute of a reading, and accepted after the next; a key that is gone
    is gone, also for tokens that were accepted; an outage changes nothing."""
    old, new, stranger = Signer(), Signer("ES256", "second"), Signer("ES256", "third")
    with key_server(tmp_path, old) as server:
        configuration = amazon.configuration(
            clients=[nightly()], identity_providers=over_https(server), log={"level": "debug"}
        )
        with serving(tmp_path, configuration) as running:
            assert not [note for note in running.started["notes"] if "identity_providers" in note]
            claims = service_account(time.time())
            first, second = old.token(claims), new.token(claims)
            assert ask_all(running, bearer(first)) == {200}
            assert running.metric("identity_provider_keys", provider="cluster") == 1
            assert answers(running, second) == 401  # the keys were read less than a minute ago
            server.show(new)
            restart_clock = {**configuration, "identity_providers": over_https(server, jwks_max_age=90_000)}
            running.write(restart_clock)  # reads the keys at once, as a minute is long for a test
            until(lambda: ask_all(running, bearer(second)) == {200})
            assert ask_all(running, bearer(first)) == {401}
            server.stop()
            assert ask_all(running, bearer(new.token({**claims, "jti": "another"}))) == {200}
            assert ask_all(running, bearer(stranger.token(claims))) == {401}
            assert set(server.asked) == {"Bearer the-token-of-the-pod"}
            server.start()


def test_a_start_without_the_provider_is_a_note(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Its tokens get 503 until the keys are read, keys of clients work; a reload reads them again at once."""
    signer = Signer()
    with key_server(tmp_path, signer) as server:
        server.stop()
        configuration = amazon.configuration(clients=[nightly(), keyed()], identity_providers=over_https(server))
        with serving(tmp_path, configuration) as running:
            [note] = [note for note in running.started["notes"] if "identity_providers" in note]
            assert note.startswith("identity_providers.cluster: its keys cannot be read: localhost:")
            token = signer.token(service_account(time.time()))
            status, body = running.get("/v2/profiles", bearer(token))
            assert (status, json.loads(body)["type"]) == (503, "urn:ads-proxy:error:token-not-checked")
            assert ask_all(running, bearer(KEY)) == {200}
            assert running.metric("identity_provider_keys", provider="cluster") == 0
            server.start()
            running.write({**configuration, "identity_providers": over_https(server, jwks_max_age=90_000)})
            until(lambda: ask_all(running, bearer(token)) == {200})
            assert running.metric("identity_provider_keys", provider="cluster") == 1
            running.write({**configuration, "clients": [keyed()], "identity_providers": {}})
            until(lambda: b"ads_proxy_identity_provider_keys{" not in running.admin_get("/metrics")[1])


def test_a_token_waits_for_keys_that_are_being_read(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The client gets no error while the keys of a provider are read from a new address."""
    signer = Signer()
    with key_server(tmp_path, signer) as server:
        configuration = amazon.configuration(clients=[nightly()], identity_providers=over_https(server))
        with serving(tmp_path, configuration) as running:
            server.held.clear()
            moved = {"url": f"{server.url}/moved"}
            running.write({**configuration, "identity_providers": over_https(server, jwks=moved)})
            until(lambda: logged(running, "config_reloaded"))
            token = signer.token(service_account(time.time())).encode()
            tool = Tool(running, head(b"GET /v2/profiles", token, b"Connection: close"))
            tool.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                tool.socket.recv(1)
            tool.socket.settimeout(PATIENCE)
            server.held.set()
            assert tool.read_to_the_end().startswith(b"HTTP/1.1 200 ")


def test_a_changed_file_of_keys_takes_effect(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The file takes effect as a changed secret does, and a file that comes only later as well."""
    old, new = Signer(), Signer("ES256", "second")
    configuration = amazon.configuration(clients=[nightly()], identity_providers=cluster(old, tmp_path))
    (tmp_path / "jwks.json").unlink()
    with serving(tmp_path, configuration) as running:
        claims = service_account(time.time())
        assert answers(running, old.token(claims)) == 503
        for signer in (old, new):
            replace_file(tmp_path / "jwks.json", jwks(signer))
            token = bearer(signer.token(claims))
            until(partial(accepted_by_all, running, token))
        assert ask_all(running, bearer(old.token(claims))) == {401}


def test_what_is_under_way_ends_with_its_token(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """An event stream of MCP ends when the token is not accepted any more, and a write whose body comes later is
    401 and does not leave. A token that lives goes on."""
    signer = Signer()
    with endless_streams() as port:
        regions = amazon.regions()
        regions["na"]["mcp_url"] = f"http://127.0.0.1:{port}/mcp"
        configuration = amazon.configuration(
            regions=regions, clients=[nightly()], identity_providers=cluster(signer, tmp_path)
        )
        with serving(tmp_path, configuration) as running:
            now = time.time()
            ends = signer.token(service_account(now, lives=-55)).encode()  # five seconds are left of the leeway
            lives = signer.token(service_account(now)).encode()
            listen = b"Accept: text/event-stream"
            streams = [Tool(running, head(b"GET /@acme/mcp", ends, listen)) for _ in range(4)]
            other = Tool(running, head(b"GET /@acme/mcp", lives, listen))
            late = Tool(running, head(b"PUT /sp/campaigns", ends, b"Content-Length: 4", b"Connection: close") + b"ab")
            for tool in (*streams, other):
                tool.read_until(b"data: 1\n\r\n")
            for tool in streams:
                assert tool.read_to_the_end().endswith(b"data: 1\n\r\n0\r\n\r\n")
            assert len(running.told("request", 4, fault="token-refused", client="nightly")) == 4
            late.socket.sendall(b"cd")
            assert late.read_to_the_end().startswith(b"HTTP/1.1 401 ")
            assert not [seen for seen in amazon.look("requests", last=1000) if seen["method"] == "PUT"]
            assert ask_all(running, {"X-Ads-Proxy-Key": ends.decode()}) == {401}
            other.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                other.socket.recv(1)
            other.socket.close()


def test_the_token_endpoint_takes_a_token_as_a_secret(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Its access token expires with the JWT; a JWT of nobody is `invalid_client`."""
    signer = Signer()
    configuration = amazon.configuration(clients=[nightly()], identity_providers=cluster(signer, tmp_path))

    def exchange(running: Serving, secret: str) -> tuple[int, dict[str, Any]]:
        form = {"grant_type": "refresh_token", "refresh_token": "acme", "client_id": "nightly", "client_secret": secret}
        status, body = fetch(f"{running.proxy_url}/auth/o2/token", urlencode(form).encode())
        return status, json.loads(body)

    with serving(tmp_path, configuration) as running:
        status, granted = exchange(running, signer.token(service_account(time.time(), lives=600)))
        assert (status, 600 <= granted["expires_in"] <= 660) == (200, True)
        assert answers(running, granted["access_token"]) == 200
        status, refused = exchange(running, signer.token(service_account(time.time(), sub="x")))
        assert (status, refused["error"]) == (401, "invalid_client")
        assert "No client has this token of x." in refused["error_description"]


def test_a_tunnel_takes_a_token(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """CONNECT with the name and the JWT of the client, or with the JWT alone; with another name, or none that is
    right, it is refused, and the sentence says what is wrong."""
    signer = Signer()
    configuration = amazon.configuration(
        clients=[nightly(), keyed()],
        identity_providers=cluster(signer, tmp_path),
        intercept={"enabled": True, "ca_dir": str(tmp_path / "ca")},
    )
    with serving(tmp_path, configuration) as running:
        token = signer.token(service_account(time.time()))
        stale = signer.token(service_account(time.time(), lives=-61))

        def connect(authorization: str) -> bytes:
            tool = Tool(
                running,
                b"CONNECT advertising-api.amazon.com:443 HTTP/1.1\r\nHost: advertising-api.amazon.com:443\r\n"
                b"Proxy-Authorization: " + authorization.encode() + b"\r\n\r\n",
            )
            tool.read_until(b"\r\n\r\n")
            tool.socket.close()
            return tool.received

        def basic(name: str, key: str) -> str:
            return f"Basic {b64encode(f'{name}:{key}'.encode()).decode()}"

        for right in (f"Bearer {token}", basic("nightly", token)):
            assert connect(right).startswith(b"HTTP/1.1 200 ")
        assert connect(basic("other", token)).startswith(b"HTTP/1.1 407 ")
        refused = connect(f"Bearer {stale}")
        assert refused.startswith(b"HTTP/1.1 407 ")
        until(
            lambda: any(
                "The token expired at" in line["detail"] for line in logged(running, "request") if "detail" in line
            )
        )


@contextmanager
def flood(running: Serving, address: str, token: str) -> Iterator[Counter[bytes]]:
    """The same wrong token again and again from an address, on a few connections, so that the program never waits for
    the next one; gives how many answers had which status."""
    address_of_proxy = urlsplit(running.proxy_url)
    request = head(b"GET /v2/profiles", token.encode())
    seen, ends = Counter[bytes](), threading.Event()

    def send() -> None:
        while not ends.is_set():
            target = address_of_proxy.hostname, address_of_proxy.port
            with socket.create_connection(target, PATIENCE, (address, 0)) as connection, suppress(OSError):
                connection.sendall(request * 50)
                connection.shutdown(socket.SHUT_WR)
                received = b"".join(iter(lambda: connection.recv(65536), b""))
                seen.update(re.findall(rb"HTTP/1\.1 (\d{3}) ", received))

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_flood_of_wrong_tokens_does_not_reach_other_addresses(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """While the tokens of one address get 503 for the most part, each new token from another one is checked. ES512
    takes longest, so that a slow flood is enough."""
    signer = Signer("ES512")
    provider = cluster(signer, tmp_path, algorithms=["ES512"])
    configuration = amazon.configuration(clients=[nightly()], identity_providers=provider)
    with serving(tmp_path, configuration) as running:
        wrong = signer.token(service_account(time.time(), sub="x"))
        with flood(running, "127.0.0.2", wrong) as seen:
            until(lambda: seen[b"503"] > 50, lambda: seen)
            for number in range(40):
                assert answers(running, signer.token(service_account(time.time(), jti=str(number)))) == 200
            before = seen[b"503"]
            until(lambda: seen[b"503"] > before)
        assert set(seen) == {b"401", b"503"}


def test_a_token_has_the_limits_of_its_client_in_every_way(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A write over the limit waits for the same approval: as JWT in either header, as another JWT of the client, with
    an access token that the token endpoint gave for one, and in a tunnel. No other client reads the approval."""
    signer, profile = Signer(), amazon.facts["profiles"]["na"][0]
    other = {"name": "weekly", "jwt": {"provider": "cluster", "claims": {"sub": WEEKLY}}}
    configuration = amazon.configuration(
        clients=[nightly(spend={"budget": {"USD": 200}, "beyond": "approve"}), other],
        approvals={"approvers": [{"name": "anna", "keys": [{"sha256": "0" * 64}]}]},
        admin={"key": "the-admin-key-of-a-length"},
        identity_providers=cluster(signer, tmp_path),
        intercept={"enabled": True, "ca_dir": str(tmp_path / "ca")},
        state={"url": f"file:{tmp_path / 'state'}"},
    )
    campaign = {"name": "Shoes", "state": "PAUSED", "targetingType": "MANUAL"}
    budget = {"budget": 500, "budgetType": "DAILY"}
    body = json.dumps({"campaigns": [{**campaign, "budget": budget}]})
    kind = {"Content-Type": "application/vnd.spCampaign.v3+json", "Amazon-Advertising-API-Scope": profile}
    with serving(tmp_path, configuration) as running:

        def token(**changes: Any) -> str:
            return signer.token(service_account(time.time(), **changes))

        def asked(headers: dict[str, str]) -> str:
            document = json.loads(fetch(f"{running.proxy_url}/sp/campaigns", body.encode(), {**kind, **headers})[1])
            return str(document.get("approval_id", ""))

        until(lambda: asked(bearer(token())))
        form = {
            "grant_type": "refresh_token",
            "refresh_token": "acme",
            "client_id": "nightly",
            "client_secret": token(),
        }
        granted = json.loads(fetch(f"{running.proxy_url}/auth/o2/token", urlencode(form).encode())[1])
        ways = (bearer(token()), {"X-Ads-Proxy-Key": token(jti="2")}, bearer(granted["access_token"]))
        [identifier] = {asked(headers) for headers in ways}
        through = f"http://nightly:{token(jti='3')}@{urlsplit(running.proxy_url).netloc}"
        lines = [each for name, value in kind.items() for each in ("-H", f"{name}: {value}")]
        url, trusted = "https://advertising-api.amazon.com/sp/campaigns", str(tmp_path / "ca" / "ca.pem")
        command = [require_program("curl"), "-sS", "-x", through, "--cacert", trusted, *lines, "-d", body, url]
        said = subprocess.run(command, check=True, capture_output=True, text=True)
        assert json.loads(said.stdout)["approval_id"] == identifier

        def state(headers: dict[str, str]) -> tuple[int, str | None]:
            status, text = fetch(f"{running.proxy_url}/-/approvals/{identifier}", headers=headers)
            return status, json.loads(text).get("state")

        assert state(bearer(token())) == state(bearer(granted["access_token"])) == (200, "pending")
        assert state(bearer(token(sub=WEEKLY))) == (404, None)
        assert "/sp/campaigns" not in json.dumps(amazon.look("requests", last=1000))


def test_check_tells_which_client_a_token_is(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """With the keys of the provider's real address; what does not fit is told with what would."""
    signer = Signer()
    with key_server(tmp_path, signer) as server:
        configuration = amazon.configuration(clients=[nightly()], identity_providers=over_https(server))
        (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(configuration))

        def check(token: str) -> tuple[int, str]:
            (tmp_path / "token").write_text(f"{token}\n")
            command = ready("check", "--as-jwt", str(tmp_path / "token"), "--config", str(tmp_path / "proxy.yaml"))
            ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            return ended.returncode, ended.stdout + ended.stderr

        code, said = check(signer.token(service_account(time.time())))
        assert (code, "Yes: It is client nightly." in said) == (0, True), said
        code, said = check(signer.token(service_account(time.time(), sub="system:serviceaccount:ads:other")))
        assert code == 1
        assert "the token has system:serviceaccount:ads:other, not system:serviceaccount:ads:nightly" in " ".join(
            said.split()
        )
        server.show(Signer("ES256", "second"))
        code, said = check(signer.token(service_account(time.time())))
        assert (code, "(kid)" in said) == (1, True), said
