"""A store that is far away: a proxy on loopback that hands on each request some time later."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


async def _late(source: asyncio.StreamReader, to: asyncio.StreamWriter, seconds: float) -> None:
    """Hands on what comes, each piece that much later; pieces don't wait for each other."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    async def take() -> None:
        while content := await source.read(1 << 18):
            await under_way.put((clock() + seconds, content))
        await under_way.put((clock() + seconds, b""))

    taking = asyncio.create_task(take())
    while True:
        due, content = await under_way.get()
        await asyncio.sleep(max(0.0, due - clock()))
        if not content:
            break
        to.write(content)
        await to.drain()
    await taking
    to.close()


async def _serve(port: int, seconds: float) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            _late(reader, to_server, seconds), _late(server, writer, 0.0), return_exceptions=True
        )

    proxy = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(proxy.sockets[0].getsockname()[1], flush=True)
    async with proxy:
        await proxy.serve_forever()


@contextmanager
def far_from(endpoint_url: str, seconds: float) -> Iterator[str]:
    """The address of a proxy before a server, in a process of its own while the block runs."""
    port = urlsplit(endpoint_url).port
    line = [sys.executable, "-m", __name__, str(port), str(seconds)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
