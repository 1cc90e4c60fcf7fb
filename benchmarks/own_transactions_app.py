"""The program with each write on SQLite in a thread and a transaction of its own, to compare group commit with."""

from collections import deque
from collections.abc import Callable
from typing import Any

from database import database
from main import app
from storage.direct_session import OpenSession

__all__ = ["app"]

_idle: deque[OpenSession] = deque()


def transaction(work: Callable[[Any], Any]) -> Any:
    """`Database.write` with a commit, and so an fsync, for each write."""
    opened = _idle.pop() if _idle else database._open()  # noqa: SLF001  # as the writer does
    try:
        opened.cursor.execute("BEGIN IMMEDIATE")
        try:
            result = work(opened.session)
            opened.cursor.execute("COMMIT")
        except BaseException:
            if opened.driver.in_transaction:
                opened.cursor.execute("ROLLBACK")
            raise
        return result
    finally:
        opened.forget()
        _idle.append(opened)


async def in_a_thread(work: Callable[[Any], Any], **_: bool) -> Any:
    """`Database.write_async` without the one writer."""
    return await database.threads.run(lambda: transaction(work))


database.write = transaction  # type: ignore[method-assign]
database.write_async = in_a_thread  # type: ignore[method-assign]
