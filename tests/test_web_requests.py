"""The web page's server: requests over HTTP that never come whole."""

import asyncio
import contextlib

import pytest

pytest.importorskip("starlette", reason="needs the extra: pip install 'kws-stream[web]'")
pytest.importorskip("uvicorn", reason="needs the extra: pip install 'kws-stream[web]'")
import uvicorn

from kws_stream.integrations.web import server

WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        WHOLE + b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
    ],
    ids=["the first", "a later one", "a body"],
)
def test_a_request_that_does_not_come_whole_is_closed_and_others_are_answered(begun, monkeypatch):
    monkeypatch.setattr(server, "REQUEST_S", 0.4)

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def drip(writer):
        with contextlib.suppress(ConnectionError):
            for _ in range(150):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)

    async def test():
        settings = server.settings(app)
        settings.lifespan = "off"
        web = uvicorn.Server(settings)
        web.install_signal_handlers = lambda: None
        with server.bind("127.0.0.1", 0) as listening:
            port = listening.getsockname()[1]
            running = asyncio.create_task(web.serve(sockets=[listening]))
            half, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(begun)
            dripping = asyncio.create_task(drip(writer))
            whole, other = await asyncio.open_connection("127.0.0.1", port)
            other.write(WHOLE)
            assert (await whole.readline()).startswith(b"HTTP/1.1 204")
            with contextlib.suppress(ConnectionError):
                while await half.read(1000):
                    pass
            assert not dripping.done()
            dripping.cancel()
            other.write(WHOLE)
            assert await whole.readuntil(b"HTTP/1.1 204")
            web.should_exit = True
            writer.close()
            other.close()
            await running

    asyncio.run(asyncio.wait_for(test(), 20))
