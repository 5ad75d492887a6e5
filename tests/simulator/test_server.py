"""Starting and stopping: in process, as a program, with TLS."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.simulator import DEFAULT_PORTS, PortPlan, Simulator, SimulatorSettings
from proxy.simulator.__main__ import read_arguments
from proxy.simulator.server import tell_people
from tests.simulator.conftest import SimulatorClient
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]


async def test_stopped_simulator_starts_again_at_its_ports(client: SimulatorClient) -> None:
    """After a stop the ports refuse; after a start they and the tokens are the same."""
    before = client.simulator.api_urls
    await client.sign_in()
    await client.simulator.stop()
    with pytest.raises(OSError, match="onnect"):
        await client.connect()
    await client.simulator.start()
    assert client.simulator.api_urls == before
    assert (await client.ask("GET", "/v2/profiles")).status == 200


async def test_port_in_use_leaves_nothing_behind(simulator: Simulator, settings: SimulatorSettings) -> None:
    """When one port is taken, the start fails and the other ports are free again."""
    taken = int(simulator.control_url.rpartition(":")[2])
    second = Simulator(dataclasses.replace(settings, ports=PortPlan(control=taken)))
    with pytest.raises(OSError, match="in use"):
        await second.start()
    address = second.s3_url.rpartition(":")[2]
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection("127.0.0.1", int(address))


def write_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


async def test_api_speaks_tls_where_it_has_a_certificate(settings: SimulatorSettings, tmp_path: Path) -> None:
    """With certificate files the API's URLs are https, and a client that trusts the certificate is answered."""
    cert_file, key_file = write_certificate(tmp_path)
    secure = dataclasses.replace(settings, tls_cert=str(cert_file), tls_key=str(key_file))
    async with Simulator(secure) as simulator:
        assert simulator.api_urls["na"].startswith("https://")
        port = int(simulator.api_urls["na"].rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(cert_file))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        writer.write(f"GET /v2/profiles HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
        writer.close()
        await writer.wait_closed()


async def test_program_says_where_it_is_and_stops_on_sigterm() -> None:
    """`python -m proxy.simulator` prints one line of JSON, answers there, and ends with 0 on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy.simulator", "--base-port", "0", stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    about = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
    host, _, port = about["control_url"].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /control/counts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


def test_arguments_become_settings() -> None:
    """The command line's defaults are the five ports from 9001; what is given is taken."""
    assert read_arguments([]).ports == DEFAULT_PORTS == PortPlan(9001, 9002, 9003, 9004, 9005)
    given = read_arguments(["--base-port", "0", "--profiles-per-region", "5000", "--access-token-lifetime", "5"])
    assert (given.ports, given.profiles_per_region, given.access_token_lifetime) == (PortPlan(), 5000, 5)


async def test_people_are_told_addresses_and_credentials(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed names every port and the credentials."""
    tell_people(simulator)
    said = capsys.readouterr().out
    for text in (*simulator.api_urls.values(), simulator.s3_url, simulator.control_url, simulator.refresh_token):
        assert text in said
    block = yaml.safe_load(said.partition("For proxy.yaml:\n")[2])
    about = simulator.about()
    assert block["regions"]["eu"] == {
        key: about[f"{key}s"]["eu"] for key in ("api_url", "token_url", "auth_grant_url", "mcp_url")
    }
