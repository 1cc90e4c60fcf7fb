"""Forks: a process that was forked must not use the threads and connections of its parent.

The threads are not there, so that a write would wait for ever. Two processes on one connection to Postgres read one
another's answers. SQLite forbids even a new connection: it still counts the locks of its parent as its own.
"""

from typing import Any, NoReturn

from sqlalchemy import Engine, event

# The garbage collector would close the connections, and so end them for the parent.
_of_parents: list[Any] = []


def leave_to_parent(*things: Any) -> None:
    """Keep what belongs to the parent from being closed here."""
    _of_parents.append(things)


def refuse_connections(*engines: Engine) -> None:
    """Let each new connection fail, with the reason."""
    for engine in engines:
        event.listen(engine, "do_connect", _refuse)


def _refuse(*_: Any) -> NoReturn:
    raise RuntimeError(
        "This process was forked after its parent had used the SQLite database, which SQLite does not allow: fork"
        " earlier, or start processes by `spawn`"
    )
