"""Following the feed for webhooks, and writing a delivery for each event that a webhook wants.

The deliveries and the position in the feed are written in one transaction. No event is therefore left out or
written twice, whatever process dies. Changes of tasks write nothing for webhooks, and so take no longer.
"""

from collections import defaultdict, namedtuple
from collections.abc import Iterable
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import and_, bindparam, func, literal, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow, database
from services.events import event, sight
from services.events.follow import begin
from services.events.watermark import WEBHOOKS, watermark
from storage.column_types import UtcDateTime, is_among
from storage.conflicts import Insert, insert_missing
from storage.prepared import prepared
from tables.history import task_history
from tables.webhooks import feed_positions, webhook_deliveries, webhooks

BATCH = 500
# Without webhooks the position in the feed is written once for this many events.
STRIDE = 1000

_PEOPLE: tuple[str, ...] = ("owner_id", "previous_owner_id")
_PROJECTS: tuple[str, ...] = ("project_id", "previous_project_id")
_IS_NEEDED = select(
    select(literal(1)).where(webhooks.c.enabled).exists().label("enabled"),
    select(literal(1)).where(webhooks.c.replay_until.is_not(None)).exists().label("replays"),
    select(func.max(feed_positions.c.event_id))
    .where(feed_positions.c.name == WEBHOOKS)
    .scalar_subquery()
    .label("position"),
)
_POSITION = (
    select(feed_positions.c.event_id)
    .where(feed_positions.c.name == WEBHOOKS)
    .with_for_update(skip_locked=True)
)
_MOVE = (
    update(feed_positions).where(feed_positions.c.name == WEBHOOKS).values(event_id=bindparam("new_position"))
)
_COLUMNS = ("id", "kind", *_PEOPLE, *_PROJECTS)
_NEXT = prepared(
    select(*(task_history.c[name] for name in _COLUMNS))
    .where(task_history.c.id > bindparam("after"), task_history.c.id <= bindparam("until"))
    .order_by(task_history.c.id)
    .limit(BATCH)
)
# Each field is read once or more, and a field of SQLAlchemy's row takes ten times as long.
_Event: Any = namedtuple("_Event", _COLUMNS)  # type: ignore[misc]  # noqa: PYI024  # its fields come from a table
_CONCERNED = prepared(
    select(*(webhooks.c[name] for name in ("id", "user_id", "project_id", "types", "starts_after"))).where(
        webhooks.c.enabled,
        or_(
            and_(webhooks.c.project_id.is_(None), is_among(webhooks.c.user_id, "people")),
            is_among(webhooks.c.project_id, "projects"),
        ),
    )
)
_DELIVER = insert_missing(webhook_deliveries)
_DELIVER_AGAIN = Insert(
    webhook_deliveries,
    lambda insert: insert.on_conflict_do_update(
        index_elements=["webhook_id", "event_id"],
        set_={name: insert.excluded[name] for name in ("state", "attempts", "next_attempt_at")},
    ),
)
_FIRST_START = select(func.min(webhooks.c.starts_after)).where(webhooks.c.enabled)
_NOW: Any = bindparam("now", type_=UtcDateTime())
_MAKE_DUE = (
    update(webhooks)
    .where(
        is_among(webhooks.c.id, "ids"),
        or_(
            webhooks.c.due_at.is_(None),
            # A receiver that was not reached gets nothing until its pause is over.
            and_(webhooks.c.failures == 0, webhooks.c.due_at > _NOW),
        ),
    )
    .values(due_at=_NOW)
)
_REPLAYING = (
    select(
        *(
            webhooks.c[name]
            for name in ("id", "user_id", "project_id", "types", "replay_after", "replay_until")
        )
    )
    .where(webhooks.c.replay_until.is_not(None))
    .order_by(webhooks.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_REPLAYED = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("of_webhook"))
    .values(replay_after=bindparam("new_after"), replay_until=bindparam("new_until"))
)


def is_needed() -> bool:
    """Whether there is anything to do: whether a webhook is on, or is to be replayed."""
    until, row = _look()
    if not row.enabled:
        _keep_up(until, row)
    return bool(row.enabled or row.replays)


def dispatch() -> bool:
    """Write a delivery for each new event and webhook that wants it; returns whether any webhook is on."""
    until, row = _look()
    if row.enabled:
        while database.write(lambda db: _step(db, until)):
            pass
    else:
        _keep_up(until, row)
    while row.replays and database.write(_replay):
        pass
    return bool(row.enabled)


def _look() -> tuple[int, AnyRow]:
    """The number up to which events are decided, and the work that is to be done."""
    until = database.read(watermark.look)
    # The watermark is read first. A webhook that is made after it wants no event up to it.
    return until, database.read(lambda db: db.execute(_IS_NEEDED).one())


def _keep_up(until: int, row: AnyRow) -> None:
    """Write the position up to which events are decided, now and then: no webhook is on."""
    if until - (row.position or 0) >= STRIDE:
        database.write(lambda db: _skip(db, until))


def _position(db: Session) -> int | None:
    """The position in the feed, locked; None while another process holds it."""
    found = db.execute(_POSITION).scalar()
    if found is None:
        begin(db, WEBHOOKS)
        found = db.execute(_POSITION).scalar()
    return found


def _skip(db: Session, until: int) -> None:
    position = _position(db)
    if position is not None and position < until:
        db.execute(_MOVE, {"new_position": until})


def _step(db: Session, until: int) -> bool:
    """Write the deliveries of the next events; returns whether there are more events."""
    position = _position(db)
    if position is None or position >= until:
        return False
    if until - position > STRIDE:
        # Skip the events that no webhook wants, such as all events before the first webhook of an old
        # database.
        position = max(position, min(db.execute(_FIRST_START).scalar() or 0, until))
    rows: list[Any] = [_Event._make(row) for row in db.execute(_NEXT, {"after": position, "until": until})]
    is_last = len(rows) < BATCH
    concerned = {names: _by_value(rows, names) for names in (_PEOPLE, _PROJECTS)}
    wanted = {"people": sorted(concerned[_PEOPLE]), "projects": sorted(concerned[_PROJECTS])}
    now = datetime.now(UTC)
    deliveries = []
    for webhook in db.execute(_CONCERNED, wanted):
        names, value = _concerning(webhook)
        starts_after, kinds = webhook.starts_after, event.kinds_of(webhook.types)
        deliveries += [
            _delivery(webhook.id, row.id, row.kind, now)
            for row in concerned[names][value]
            if row.id > starts_after and row.kind in kinds
        ]
    if deliveries:
        deliveries.sort(key=itemgetter("event_id", "webhook_id"))
        db.execute(_DELIVER.for_database_of(db), deliveries)
        db.execute(_MAKE_DUE, {"ids": sorted({each["webhook_id"] for each in deliveries}), "now": now})
    db.execute(_MOVE, {"new_position": until if is_last else rows[-1].id})
    return not is_last


def _by_value(rows: Iterable[Any], names: Iterable[str]) -> dict[int, list[Any]]:
    """The rows that concern each account or each project, by the columns with these names."""
    found = defaultdict(list)
    for row in rows:
        for value in {getattr(row, name) for name in names} - {None}:
            found[value].append(row)
    return found


def _concerning(webhook: AnyRow) -> tuple[tuple[str, ...], int]:
    """The columns and the value by which a row of the history concerns the webhook's account or project."""
    if webhook.project_id is None:
        return _PEOPLE, webhook.user_id
    return _PROJECTS, webhook.project_id


def _delivery(webhook_id: int, row_id: int, kind: str, now: datetime) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "event_id": row_id,
        "type": event.type_of(kind),
        "state": "waiting",
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def _replay(db: Session) -> bool:
    """Write the next deliveries of a webhook that is to be replayed; returns whether there was one."""
    webhook = db.execute(_REPLAYING).first()
    if webhook is None:
        return False
    names, value = _concerning(webhook)
    parts = [sight.Part(name, value) for name in names]
    examined = sight.examine(db, parts, webhook.replay_after, webhook.replay_until, BATCH)
    kinds, now = event.kinds_of(webhook.types), datetime.now(UTC)
    rows = [_delivery(webhook.id, row_id, kind, now) for row_id, kind in examined.found if kind in kinds]
    if rows:
        db.execute(_DELIVER_AGAIN.for_database_of(db), rows)
        db.execute(_MAKE_DUE, {"ids": [webhook.id], "now": now})
    is_done = examined.until >= webhook.replay_until
    db.execute(
        _REPLAYED,
        {
            "of_webhook": webhook.id,
            "new_after": None if is_done else examined.until,
            "new_until": None if is_done else webhook.replay_until,
        },
    )
    return True
