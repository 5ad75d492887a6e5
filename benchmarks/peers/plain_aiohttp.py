"""The proxy that anybody would write first: aiohttp's application in front of its ClientSession. A peer, nothing more.

usage: plain_aiohttp.py PORT UPSTREAM CA_FILE
"""

from __future__ import annotations

import ssl
import sys

import aiohttp
import uvloop
from aiohttp import web

PORT, UPSTREAM, CA_FILE = int(sys.argv[1]), sys.argv[2], sys.argv[3]
SESSION = web.AppKey("session", aiohttp.ClientSession)


async def forward(request: web.Request) -> web.StreamResponse:
    headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "authorization")}
    headers |= {"Authorization": "Bearer Atza|benchmark", "Amazon-Advertising-API-ClientId": "x"}
    async with request.app[SESSION].request(
        request.method, UPSTREAM + request.raw_path, headers=headers, data=await request.read() or None
    ) as answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() != "transfer-encoding"}
        return web.Response(status=answer.status, headers=kept, body=await answer.read())


async def make_app() -> web.Application:
    app = web.Application()
    trusted = aiohttp.TCPConnector(limit=512, ssl=ssl.create_default_context(cafile=CA_FILE))
    app[SESSION] = aiohttp.ClientSession(auto_decompress=False, connector=trusted)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


if __name__ == "__main__":
    uvloop.install()
    web.run_app(make_app(), host="127.0.0.1", port=PORT, print=None, access_log=None)
