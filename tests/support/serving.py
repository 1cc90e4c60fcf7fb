"""An app behind a real socket, for tests that a client inside the process is not enough for."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import uvicorn
import uvicorn.server
from starlette.types import ASGIApp

START_TIMEOUT_SECONDS = 60.0


class _Impatient(ModuleType):
    """asyncio for uvicorn's server, which looks ten times a second whether it should end, and may end.

    Most tests that use a server are shorter than these two looks.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


# A process that a test starts has uvicorn's own pauses.
vars(uvicorn.server)["asyncio"] = _Impatient("asyncio")


@contextlib.contextmanager
def served(
    app: ASGIApp, *, root_path: str = "", send_buffer: int | None = None, **options: Any
) -> Iterator[str]:
    """Serve on a free loopback port, on a thread of its own; yields the base URL. `options` are uvicorn's.

    With a small `send_buffer` the server soon waits for a client that reads nothing.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        # A connection that is still open after this time is left to the garbage collection, which fails a later test.
        patience = int(START_TIMEOUT_SECONDS)
        config = uvicorn.Config(
            app, root_path=root_path, log_config=None, timeout_graceful_shutdown=patience, **options
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the server did not start; its log has the reason")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
