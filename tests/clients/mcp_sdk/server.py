"""A hosted MCP endpoint made with the real `mcp` package, for the place of Amazon's behind the proxy.

Its tool counts, and takes the next step only when told to at `/control/step`: an event that is held back somewhere
stops everything. Each request's headers are shown to the simulator first, whose checks are Amazon's; what it refuses
is refused here with the same status. Prints its addresses as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

OF_THE_MESSAGE = (
    *(b"content-length", b"transfer-encoding", b"host", b"accept", b"content-type"),
    *(b"mcp-session-id", b"mcp-protocol-version", b"mcp-method", b"mcp-name"),
)
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}


@dataclass
class Controls:
    """What the test sets, and what it can read afterwards."""

    simulator: str = ""
    steps: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    seen: list[dict[str, Any]] = field(default_factory=list)


CONTROLS = Controls()
ADS = MCPServer("ads")


@ADS.tool()  # type: ignore[untyped-decorator, unused-ignore]  # where it is not installed
async def count(to: int, ctx: Context) -> str:
    """Counts to a number; the next number comes once this one was seen."""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to)
        if await CONTROLS.steps.get() != number:
            return "out of step"
    return f"counted to {to}"


async def step(request: Request) -> JSONResponse:
    """A client has seen that number."""
    await CONTROLS.steps.put((await request.json())["seen"])
    return JSONResponse({})


async def name_simulator(request: Request) -> JSONResponse:
    """The simulator's MCP address: it checks the headers from now on."""
    CONTROLS.simulator = (await request.json())["url"]
    return JSONResponse({})


async def show_seen(_request: Request) -> JSONResponse:
    """All MCP requests as they came."""
    return JSONResponse(CONTROLS.seen)


class CheckedApplication:
    """The MCP application behind the simulator's checks."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes on what the simulator takes."""
        if scope["type"] != "http" or not scope["path"].startswith("/mcp"):
            await self.application(scope, receive, send)
            return
        status = await self._check(scope["headers"])
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        CONTROLS.seen.append({"method": scope["method"], "path": scope["path"], "status": status, "headers": headers})
        if status == 200:
            await self.application(scope, receive, send)
        else:
            await JSONResponse({"message": "Unauthorized"}, status)(scope, receive, send)

    async def _check(self, headers: list[tuple[bytes, bytes]]) -> int:
        own = [(name, value) for name, value in headers if name not in OF_THE_MESSAGE]
        accept = [(b"accept", b"application/json, text/event-stream"), (b"content-type", b"application/json")]
        async with httpx2.AsyncClient(trust_env=False, timeout=None) as client:
            request = httpx2.Request(
                "POST", CONTROLS.simulator, headers=own + accept, content=json.dumps(HELLO).encode()
            )
            status: int = (await client.send(request)).status_code
        return status


def main() -> None:
    """Serves until it is ended."""
    application = ADS.streamable_http_app()
    control = [
        Route("/control/step", step, methods=["POST"]),
        Route("/control/simulator", name_simulator, methods=["POST"]),
        Route("/control/seen", show_seen),
    ]
    outer = Starlette(
        routes=[*control, Mount("/", application)],
        lifespan=lambda _application: application.router.lifespan_context(application),
    )
    bound = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    print(json.dumps({"mcp_url": f"{url}/mcp", "control_url": f"{url}/control"}), flush=True)
    server = uvicorn.Server(uvicorn.Config(CheckedApplication(outer), log_level="warning", timeout_graceful_shutdown=1))
    server.run(sockets=[bound])


if __name__ == "__main__":
    main()
