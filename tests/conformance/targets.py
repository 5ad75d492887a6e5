"""The proxies that can be judged: each is a program started on a free loopback port in front of the recording upstream.

Only starting, waiting until it answers, and stopping live here; what is right or wrong does not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from tests.support.processes import free_port
from tests.support.programs import ROOT, find_program

START_TIMEOUT = 60.0

NGINX = """daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/c;
  uwsgi_temp_path {dir}/d; scgi_temp_path {dir}/e;
  client_header_timeout 1s; client_max_body_size 0;
  upstream raw {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 8; }}
  server {{
    listen 127.0.0.1:{port};
    server_name localhost;
    location / {{
      proxy_pass http://raw;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off; proxy_request_buffering off;
      proxy_next_upstream off; proxy_read_timeout 2s;
    }}
  }}
}}
"""

HAPROXY = """global
  maxconn 200
defaults
  mode http
  retries 0
  timeout connect 3s
  timeout client 10s
  timeout server 2s
  timeout http-request 1s
frontend tools
  bind 127.0.0.1:{port}
  default_backend raw
backend raw
  server raw 127.0.0.1:{upstream}
"""

OURS = """listen: 127.0.0.1:{port}
admin_listen: 127.0.0.1:{admin}
regions:
  na: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{tokens}/auth/o2/token"}}
  eu: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{tokens}/auth/o2/token"}}
  fe: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{tokens}/auth/o2/token"}}
accounts:
  acme:
    client_id: amzn1.application-oa2-client.conformance
    client_secret: conformance-client-secret
    refresh_token: "Atzr|conformance"
    region: na
state: {{url: "memory:"}}
upstream: {{connect_timeout: 30, response_timeout: 30, idle_timeout: 30}}
limits: {{header_timeout: 3, max_header_bytes: 16384, replay_bytes: 0}}
log: {{level: warning, access: false}}
intercept: {{enabled: {intercepts}, ca_dir: "{dir}/ca"}}
"""
INTERCEPTING = "ours, intercepting"


class TargetUnavailable(Exception):
    """The program is not installed here, or did not start."""


@dataclass(slots=True)
class Target:
    """One running proxy."""

    name: str
    port: int
    process: asyncio.subprocess.Process
    directory: Path
    runner: web.AppRunner | None = None

    async def stop(self) -> None:
        """End the program and clear what it left."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            if not await ended_within(self.process, 5):
                self.process.kill()
                await self.process.wait()
        if self.runner:
            await self.runner.cleanup()
        shutil.rmtree(self.directory, ignore_errors=True)


def program(name: str) -> str:
    """The path of an installed program."""
    found = find_program(name)
    if not found:
        raise TargetUnavailable(f"{name} is not installed")
    return found


async def start_token_stub() -> tuple[web.AppRunner, int]:
    """A token endpoint that grants everything."""

    async def grant(_request: web.Request) -> web.Response:
        token = {"access_token": "Atza|x", "refresh_token": "Atzr|y", "token_type": "bearer", "expires_in": 3600}
        return web.json_response(token, headers={"Cache-Control": "no-store"})

    app = web.Application()
    app.router.add_post("/auth/o2/token", grant)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, int(runner.addresses[0][1])


async def launch(command: list[str], directory: Path) -> asyncio.subprocess.Process:
    """Start a program with an environment free of this product's own settings."""
    prefixes = ("AMAZON_ADS_", "ADS_PROXY_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}
    with (directory / "output.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=log, stderr=log, env=environment)


async def ended_within(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Whether the program ends within this time."""
    try:
        await asyncio.wait_for(process.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def until_open(target: Target, path: str, port: int) -> None:
    """Wait until the program answers 200 on a path."""
    url = f"http://127.0.0.1:{port}{path}"
    try:
        async with asyncio.timeout(START_TIMEOUT), ClientSession(timeout=ClientTimeout(total=2)) as session:
            while target.process.returncode is None:
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except (ClientError, OSError, TimeoutError):
                    pass
                await ended_within(target.process, 0.05)
    except TimeoutError:
        pass
    output = (target.directory / "output.log").read_text(errors="replace")[-2000:]
    await target.stop()
    raise TargetUnavailable(f"{target.name} did not start: {output}")


async def start_target(name: str, upstream: int) -> Target:
    """Start a proxy in front of the upstream's port."""
    directory, port = Path(tempfile.mkdtemp(prefix="conformance-")), free_port()
    if name in ("ours", INTERCEPTING):
        return await start_ours(directory, port, upstream, intercepts=name == INTERCEPTING)
    if name == "nginx":
        config = directory / "nginx.conf"
        config.write_text(NGINX.format(dir=directory, port=port, upstream=upstream))
        command = [program("nginx"), "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(config)]
    elif name == "haproxy":
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(port=port, upstream=upstream))
        command = [program("haproxy"), "-db", "-f", str(config)]
    else:
        command = [sys.executable, "-m", "tests.conformance.plain_proxy", str(port), str(upstream)]
    target = Target(name, port, await launch(command, directory), directory)
    await until_open(target, "/sentinel", port)
    return target


async def start_ours(directory: Path, port: int, upstream: int, *, intercepts: bool) -> Target:
    """Start this project's proxy with its token stub."""
    runner, tokens = await start_token_stub()
    admin, config = free_port(), directory / "proxy.yaml"
    settings = {"dir": directory, "intercepts": str(intercepts).lower()}
    config.write_text(OURS.format(port=port, admin=admin, upstream=upstream, tokens=tokens, **settings))
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(config)]
    target = Target("ours", port, await launch(command, directory), directory, runner)
    await until_open(target, "/readyz", admin)
    return target
