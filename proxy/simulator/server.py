"""Starts and stops the listeners. The only place that binds ports."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from proxy.simulator import lwa
from proxy.simulator.control import serve_control
from proxy.simulator.listeners import ListenerAddresses, serve_api, serve_s3
from proxy.simulator.settings import REGIONS, SimulatorSettings
from proxy.simulator.state import SimulatorState

if TYPE_CHECKING:
    from proxy.simulator.credentials import App

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}
LARGEST_LINE = 131_072


class Simulator:
    """A pretend Login with Amazon and Ads API. After `stop` it can be started again, at the same ports."""

    def __init__(self, settings: SimulatorSettings | None = None) -> None:
        self.settings = settings or SimulatorSettings()
        self.state = SimulatorState(self.settings)
        self._ports = {name: getattr(self.settings.ports, name) for name in (*REGIONS, "s3", "control")}
        self._runners: list[web.ServerRunner] = []
        self._sites: dict[str, tuple[web.ServerRunner, web.TCPSite, ssl.SSLContext | None]] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Binds all ports: S3 first, because the API sends its address."""
        settings, tls = self.settings, None
        if settings.tls_cert is not None:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(settings.tls_cert, settings.tls_key)
        s3_host = settings.advertised_host or (None if settings.host in WILDCARDS else settings.host)
        try:
            await self._listen("s3", lambda request: serve_s3(self.state, request))
            around = ListenerAddresses("https" if tls else "http", s3_host, self._ports["s3"])
            for region in REGIONS:
                await self._listen(region, partial(serve_api, self.state, region, around), tls)
            await self._listen("control", lambda request: serve_control(self.state, self.about(), request))
            self.state.listener_control = self
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Closes all ports and connections."""
        runners, self._runners = self._runners, []
        self.state.servers.clear()
        self.state.listener_control = None
        self._sites.clear()
        for runner in runners:
            await runner.cleanup()

    @property
    def app(self) -> App:
        """The app whose credentials hold from the start: `client_id`, `client_secret`."""
        return self.state.app

    @property
    def refresh_token(self) -> str:
        """The refresh token that holds from the start."""
        return self.settings.refresh_token

    @property
    def profiles(self) -> dict[str, list[str]]:
        """The ids of the default user's profiles in each region."""
        return {r: [p.profile_id for p in self.state.profiles.listed(r, "default")] for r in REGIONS}

    @property
    def hidden_profiles(self) -> dict[str, list[str]]:
        """The ids of those that the usual list does not show."""
        return {r: [p.profile_id for p in self.state.profiles.hidden(r, "default")] for r in REGIONS}

    @property
    def api_urls(self) -> dict[str, str]:
        """The Ads API of each region."""
        scheme = "https" if self.settings.tls_cert else "http"
        return {region: self._url(region, scheme) for region in REGIONS}

    @property
    def token_urls(self) -> dict[str, str]:
        """The token endpoint of each region."""
        return {region: url + lwa.PATH for region, url in self.api_urls.items()}

    @property
    def auth_grant_urls(self) -> dict[str, str]:
        """The sign-in page of each region."""
        return {region: url + lwa.SIGN_IN_PATH for region, url in self.api_urls.items()}

    @property
    def mcp_urls(self) -> dict[str, str]:
        """The hosted MCP endpoint of each region."""
        return {region: f"{url}/mcp" for region, url in self.api_urls.items()}

    @property
    def s3_url(self) -> str:
        """The pretend S3."""
        return self._url("s3")

    @property
    def control_url(self) -> str:
        """The control API."""
        return self._url("control")

    def about(self) -> dict[str, Any]:
        """All addresses and credentials."""
        names = ("api_urls", "token_urls", "auth_grant_urls", "mcp_urls", "s3_url", "control_url", "refresh_token")
        accounts = self.state.ads_accounts.listed("default")[:10]
        return {
            **{name: getattr(self, name) for name in names},
            "client_id": self.app.client_id,
            "client_secret": self.app.client_secret,
            "profiles": {region: ids[:10] for region, ids in self.profiles.items()},
            "hidden_profiles": {region: ids[:10] for region, ids in self.hidden_profiles.items()},
            "ads_accounts": {account.account_id: account.regions for account in accounts},
        }

    def _url(self, name: str, scheme: str = "http") -> str:
        host = WILDCARDS.get(self.settings.host, self.settings.host)
        return f"{scheme}://{host}:{self._ports[name]}"

    async def _listen(self, name: str, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        server = web.Server(
            handler,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=self.settings.keepalive_timeout,
            auto_decompress=False,
            max_line_size=LARGEST_LINE,
            max_field_size=LARGEST_LINE,
        )
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        await self._bind(name, runner, tls)
        self._ports[name] = runner.addresses[0][1]
        if name in REGIONS:
            self.state.servers.append(server)

    async def _bind(self, name: str, runner: web.ServerRunner, tls: ssl.SSLContext | None) -> None:
        site = web.TCPSite(runner, self.settings.host, self._ports[name], ssl_context=tls, backlog=1024)
        await site.start()
        self._sites[name] = (runner, site, tls)

    async def listen(self, name: str, listening: bool) -> None:
        """Opens or closes the port of a region; connections that are open stay."""
        runner, site, tls = self._sites[name]
        if listening and site not in runner.sites:
            await self._bind(name, runner, tls)
        elif not listening and site in runner.sites:
            await site.stop()


async def serve(settings: SimulatorSettings, announce: Callable[[Simulator], None]) -> None:
    """Runs until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Simulator(settings) as simulator:
        announce(simulator)
        await stopping.wait()


def run(settings: SimulatorSettings, announce: Callable[[Simulator], None] | None = None) -> None:
    """Blocks until SIGTERM or SIGINT. Prints where things are, or does what `announce` does instead."""
    asyncio.run(serve(settings, announce or tell_people))


def tell_people(simulator: Simulator) -> None:
    """Addresses and credentials, for a person."""
    lines = ["A pretend Login with Amazon and Ads API is listening. Nothing here is Amazon's."]
    lines += [f"  API {region}     {url}" for region, url in simulator.api_urls.items()]
    lines += [
        f"  S3         {simulator.s3_url}",
        f"  control    {simulator.control_url}/control",
        f"  client id      {simulator.app.client_id}",
        f"  client secret  {simulator.app.client_secret}",
        f"  refresh token  {simulator.refresh_token}",
        "",
        "For proxy.yaml:",
        "",
        *regions_block(simulator),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def regions_block(simulator: Simulator) -> Iterator[str]:
    """The lines of a proxy's configuration that lead all its requests here."""
    yield "regions:"
    addresses = {"api_url": simulator.api_urls, "token_url": simulator.token_urls}
    addresses |= {"auth_grant_url": simulator.auth_grant_urls, "mcp_url": simulator.mcp_urls}
    for region in simulator.api_urls:
        yield f"  {region}:"
        yield from (f"    {key}: {urls[region]}" for key, urls in addresses.items())


def tell_programs(simulator: Simulator) -> None:
    """Print the simulator's addresses as one line of JSON, for a program that started this one."""
    sys.stdout.write(json.dumps(simulator.about()) + "\n")
    sys.stdout.flush()
