"""Amazon's place: one nginx that answers from memory, plain and over TLS, so that it is never the slowest part.

| path | answer |
| --- | --- |
| `/auth/o2/token` | an access token for an hour |
| `/v2/profiles` | the profiles of the application that asks: one, or 10,000, or none |
| `/size/64k`, `/size/20m` | that many bytes |
| `/chunked` | 1 KiB, chunked |
| `/missing/...` | 404 with a small body |
| anything else | 1 KiB of JSON |
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import LOAD_CORE, Process, free_port, required

PROFILE = "1234567890123456"
SMALL = '{"campaigns":[' + ",".join(f'{{"campaignId":{9000 + n},"name":"n-{n:04}"}}' for n in range(25))
SMALL += ',{"note":"' + "x" * (1024 - len(SMALL) - 14) + '"}]}'
_TOKEN = '{"access_token":"Atza|benchmark","token_type":"bearer","expires_in":3600}'
HUGE_SIZE = 20 << 20

_NGINX = """
{user} daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 8192; }}
http {{
  client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
  {body}
}}
"""
_ANSWERING = """
  access_log off; default_type application/json; root {work}/files;
  ssl_certificate {work}/cert.pem; ssl_certificate_key {work}/key.pem;
  server {{ listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{tls} ssl backlog=4096;
    add_header x-amz-rid $request_id always; add_header x-amz-request-id $request_id always;
    location = /auth/o2/token {{ return 200 '{token}'; }}
    location = /v2/profiles {{
      try_files /profiles/$http_amazon_advertising_api_clientid /profiles/none =404; }}
    {lists}
    location /size/ {{ }}
    location /chunked {{ ssi on; ssi_types application/json; error_page 405 =200 $uri; }}
    location /missing/ {{ return 404 '{{"code":"NOT_FOUND","details":"no such thing"}}'; }}
    location / {{ return 200 '{small}'; }} }}
  server {{ listen 127.0.0.1:{empty} backlog=4096; {lists} location / {{ return 200 '[]'; }} }}
"""
_LISTS = """
    location = /adsAccounts/list { return 200 '{"adsAccounts":[]}'; }
    location = /managerAccounts { return 200 '{"managerAccounts":[]}'; }
"""
"""What else an account reaches: a list that could not be read would be asked for again and again."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where it listens, and the certificate authority (its own certificate) to trust."""

    process: Process
    plain: int
    tls: int
    empty: int
    ca: Path

    def address(self, *, tls: bool) -> str:
        return f"https://localhost:{self.tls}" if tls else f"http://127.0.0.1:{self.plain}"


def start_upstream(work: Path) -> Upstream:
    """Start the upstream in a new folder below `work`; the caller stops its process."""
    here = work / "upstream"
    files = here / "files"
    (files / "size").mkdir(parents=True)
    (files / "size" / "64k").write_bytes(_lines(64 * 1024))
    (files / "size" / "20m").write_bytes(_lines(HUGE_SIZE))
    (files / "profiles").mkdir()
    for application, count in (("amzn1.application-oa2-client.one", 1), ("amzn1.application-oa2-client.many", 10_000)):
        (files / "profiles" / application).write_text(_profiles(count))
    (files / "profiles" / "none").write_text("[]")
    (files / "chunked").write_text(SMALL)
    _make_certificate(here)
    plain, tls, empty = free_port(), free_port(), free_port()
    body = _ANSWERING.format(work=here, plain=plain, tls=tls, empty=empty, token=_TOKEN, small=SMALL, lists=_LISTS)
    process = Process(nginx_command(here, body), here / "output.log", core=LOAD_CORE)
    try:
        process.wait_ready(plain)
    except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
        process.stop()
        raise
    return Upstream(process, plain, tls, empty, here / "cert.pem")


def nginx_command(folder: Path, body: str) -> list[str]:
    """The command for an nginx with this configuration, which keeps all its files in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker is nobody, who may not read a folder of ours
    path.write_text(_NGINX.format(user=user, work=folder, body=body))
    return [required("nginx", "nginx-light"), "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")]


def _profiles(count: int) -> str:
    info = {"marketplaceStringId": "ATVPDKIKX0DER", "id": "ENTITY1", "type": "seller", "name": "bench"}
    market = {"countryCode": "US", "currencyCode": "USD", "timezone": "America/Los_Angeles", "accountInfo": info}
    return json.dumps([{"profileId": int(PROFILE) + number, **market} for number in range(count)])


def _lines(size: int) -> bytes:
    line = b'{"date":"2025-01-01","impressions":1234,"clicks":56,"cost":7.89}\n'
    return (line * (size // len(line) + 1))[:size]


def _make_certificate(folder: Path) -> None:
    command = [required("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
