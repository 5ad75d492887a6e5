"""A plain aiohttp reverse proxy, as people write it in an afternoon: a yardstick for the cases, nothing more."""

from __future__ import annotations

import sys

from aiohttp import ClientSession, DummyCookieJar, web
from yarl import URL

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
SESSION = web.AppKey("session", ClientSession)


def relay_to(upstream: str) -> web.Application:
    """An application that relays everything to one origin."""

    async def open_session(app: web.Application) -> None:
        app[SESSION] = ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar())

    async def close_session(app: web.Application) -> None:
        await app[SESSION].close()

    async def relay(request: web.Request) -> web.StreamResponse:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        body = request.content if request.can_read_body else None
        async with request.app[SESSION].request(
            request.method,
            URL(upstream + request.raw_path, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    response.headers.add(name, value)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    app = web.Application()
    app.on_startup.append(open_session)
    app.on_cleanup.append(close_session)
    app.router.add_route("*", "/{path:.*}", relay)
    return app


if __name__ == "__main__":
    web.run_app(
        relay_to(f"http://127.0.0.1:{sys.argv[2]}"),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        print=None,
        access_log=None,
    )
