"""Changes that come between the statements of a request."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.orm import Session

from database import database
from errors import DatabaseUnavailable
from request_context import request_id_var

# A change that waits for a lock of the request waits for good, so it is given up soon.
_GIVE_UP = text("SET LOCAL lock_timeout = '50ms'")
# The id of a request where there is none.
NO_REQUEST = "-"


@contextlib.contextmanager
def before_statement(number: int, change: Callable[[], Any]) -> Iterator[list[str]]:
    """Make a change by another connection before the statement of a request with this number; its statements."""
    statements: list[str] = []
    is_changing = False

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal is_changing
        # Work in the background, which a change before has woken, sends statements too.
        is_of_request = request_id_var.get() != NO_REQUEST
        if is_changing or not is_of_request:
            return
        statements.append(statement)
        if len(statements) == number:
            is_changing = True
            change()
            is_changing = False

    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def changed_beside(change: Callable[[Session], Any]) -> bool:
    """Make a change in a transaction of its own, on Postgres; False if it waits for a lock of the request."""

    def work(db: Session) -> None:
        db.execute(_GIVE_UP)
        change(db)

    try:
        database.write(work)
    except DatabaseUnavailable:
        return False
    return True
