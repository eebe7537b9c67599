"""A server between a client and a Redis: it may speak TLS, wait, or answer what no Redis would."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

Behavior = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(behavior: Behavior, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Give the port of a server on the loopback interface that treats each connection so."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await behavior(reader, writer)
        except* (OSError, asyncio.CancelledError):  # the client went away, or the server ends
            writer.transport.abort()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def passing_on(url: str, delay_seconds: Callable[[], float] = lambda: 0.0) -> Behavior:
    """Pass everything on to the Redis at this address, its answers after a while."""
    address = urlsplit(url)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection(address.hostname, address.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, to_redis, lambda: 0.0))
                both.create_task(_copy(from_redis, writer, delay_seconds))
        finally:
            to_redis.close()

    return behave


def answering(answer: bytes) -> Behavior:
    """Answer every piece of a request with these bytes."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
            await writer.drain()

    return behave


def dripping(answer: bytes, interval_seconds: float) -> Behavior:
    """Answer with one of these bytes at a time."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read(65536)
        for byte in answer:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(interval_seconds)

    return behave


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything and answer nothing."""
    while await reader.read(65536):
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: Callable[[], float]) -> None:
    while piece := await reader.read(65536):
        await asyncio.sleep(delay_seconds())
        writer.write(piece)
        await writer.drain()
    writer.close()
