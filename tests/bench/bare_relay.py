"""The yardstick: the relay that anybody would write with aiohttp. Arguments: its port, the upstream's URL."""

import sys

import aiohttp
import uvloop
from aiohttp import web

from tests.bench.payloads import UPSTREAM_KEY

UPSTREAM = web.AppKey("upstream", str)
SESSION = web.AppKey("session", aiohttp.ClientSession)
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "authorization", "content-length"}


async def relay(request: web.Request) -> web.StreamResponse:
    url = request.app[UPSTREAM] + request.raw_path
    headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
    headers["Authorization"] = f"Bearer {UPSTREAM_KEY}"
    body = await request.read()
    async with request.app[SESSION].request(request.method, url, headers=headers, data=body) as answer:
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        response.content_length = answer.content_length
        await response.prepare(request)
        async for data in answer.content.iter_any():
            await response.write(data)
        await response.write_eof()
        return response


async def application(upstream: str) -> web.Application:
    app = web.Application()
    app[UPSTREAM] = upstream
    app[SESSION] = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
    app.router.add_route("*", "/{path:.*}", relay)
    return app


if __name__ == "__main__":
    loop = uvloop.new_event_loop()
    web.run_app(
        application(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=loop,
    )
