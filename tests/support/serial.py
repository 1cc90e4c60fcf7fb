"""Comparing two changes at once with the same changes one after the other."""

import contextlib
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from database import Base, database
from tests.support.between import before_statement, changed_beside
from tests.support.snapshot import PostgresSnapshot

# The first number of rows that are made after the snapshot.
NEW = 1_000_000
# More statements than any call has.
MOST = 80
_TIME = re.compile(r"\d{4}-\d\d-\d\dT.*Z")
# Tables that tell of the calls themselves, and counts that `invariants` compares with the tasks.
_LEFT_OUT = ("attempts", "audit_events", "refresh_tokens", "feed_positions", "account_links")
_SECRET = re.compile("hash|secret|last_four|request_id")
# The order of events, and the newest of them when a webhook began.
_LEFT_OUT_COLUMNS = {("task_history", "id"), ("webhooks", "starts_after")}

Call = Callable[[], tuple[int, str]]
Change = Callable[[Session], Any]
State = dict[str, list[str]]


def plain(value: Any, name: str = "") -> Any:
    """A value without what differs at each run: times, secrets, and the numbers of new rows."""
    if isinstance(value, dict):
        return tuple((key, plain(each, key)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(plain(each) for each in value)
    if hasattr(value, "tzinfo") or (isinstance(value, str) and _TIME.fullmatch(value)):
        return "time"
    if isinstance(value, bytes) or _SECRET.search(name):
        return "secret"
    return "new" if isinstance(value, int) and value >= NEW else value


def state(db: Session) -> State:
    """The whole database in a form that can be compared."""
    found = {}
    for table in Base.metadata.sorted_tables:
        if table.name not in _LEFT_OUT and not table.name.endswith("_counts"):
            found[table.name] = sorted(
                repr(
                    [
                        (name, plain(value, name))
                        for name, value in row._asdict().items()
                        if (table.name, name) not in _LEFT_OUT_COLUMNS
                    ]
                )
                for row in db.execute(select(table)).all()
            )
    return found


def in_order(snapshot: PostgresSnapshot, call: Call, change: Change) -> list[tuple[int, State]]:
    """The status of the call and the database in the end: the change before the call, and after it."""
    ends = []
    for is_change_first in (True, False):
        snapshot.restore()
        if is_change_first:
            _try(change)
        status, _ = call()
        if not is_change_first:
            _try(change)
        ends.append((status, database.read(state)))
    return ends


def _try(change: Change) -> None:
    # The change may be impossible after the call.
    with contextlib.suppress(Exception):
        database.write(change)


def wrong_ends(
    snapshot: PostgresSnapshot, call: Call, change: Change, check: Callable[[Session], list[str]]
) -> list[str]:
    """Sentences about each moment at which the change makes the call, or the database, end wrongly."""
    wrong, ends = [], in_order(snapshot, call, change)
    for number in range(2, MOST):
        snapshot.restore()
        came: list[bool] = []
        with before_statement(number, lambda: came.append(changed_beside(change))) as made:  # noqa: B023
            status, body = call()
        here = f"before statement {number}"
        if status >= 500:
            wrong.append(f"{here}: {status} {body}")
        if came != [True]:
            # The call is over, or holds a lock that the change needs, until its end.
            break
        wrong += [f"{here}: {each}" for each in database.read(check)]
        now = database.read(state)
        # An account may be switched off or deleted just after its call was let in.
        if ends[0][0] != 401 and (status, now) not in ends:
            wrong.append(
                f"{here}, {made[number - 1][:100]!r}: {status} {body[:200]}, {_differing(now, ends)}"
            )
    return wrong


def _differing(now: State, ends: list[tuple[int, State]]) -> str:
    found = []
    for status, there in ends:
        names = [name for name in now if now[name] != there[name]]
        rows = {name: [*set(now[name]) ^ set(there[name])] for name in names}
        found.append(f"not {status} with {str(rows)[:1000]}")
    return "; ".join(found)
