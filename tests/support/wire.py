"""HTTP as bytes, for what no client would send."""

from __future__ import annotations

import asyncio

SECONDS = 30.0


async def exchange(port: int, request: bytes) -> bytes:
    """Send bytes on a connection of their own; return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        # The answer may come, and the connection end, before all was taken.
        reading = asyncio.create_task(reader.read())
        async with asyncio.timeout(SECONDS):
            return await reading
    finally:
        writer.close()


def split(answer: bytes) -> tuple[bytes, bytes]:
    """The head and the body of an answer, its chunks put together."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return head, body
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + rest[:length], rest[length + 2 :]
        if not length:
            break
    return head, whole
