"""The proxy that anybody would write first: aiohttp's application in front of its ClientSession. A peer, nothing more.

usage: plain_aiohttp.py PORT UPSTREAM_PORT
"""

from __future__ import annotations

import sys

import aiohttp
import uvloop
from aiohttp import web

UPSTREAM = f"http://127.0.0.1:{sys.argv[2]}"
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "authorization")}
    headers |= {"Authorization": "Bearer Atza|benchmark", "Amazon-Advertising-API-ClientId": "x"}
    async with request.app[SESSION].request(
        request.method, UPSTREAM + request.raw_path, headers=headers, data=await request.read() or None
    ) as answer:
        return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())


async def make_app() -> web.Application:
    app = web.Application()
    app[SESSION] = aiohttp.ClientSession(auto_decompress=False)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(make_app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
