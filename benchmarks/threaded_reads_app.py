"""The program with every read handed to a thread, to compare short reads on the event loop with."""

from collections.abc import Callable
from typing import Any

from database import database
from main import app

__all__ = ["app"]


async def in_a_thread(work: Callable[[Any], Any], *, on_loop: bool = False) -> Any:  # noqa: ARG001  # as it is called
    """`Database.read_async` without its short cut."""
    return await database.threads.run(lambda: database.read(work))


database.read_async = in_a_thread  # type: ignore[method-assign]
