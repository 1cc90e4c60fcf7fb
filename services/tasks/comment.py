"""Comments on tasks, and the accounts that they mention: each gets at most one notification a comment."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from configuration.account_rules import LONGEST_USERNAME, SHORTEST_USERNAME
from database import AnyRow
from errors import Forbidden, NotFound
from models import Caller, users
from schemas.comments import CommentRead
from schemas.common import OldestFirst
from services import preconditions, rights
from services.paging import PageOf, cursor_behind, first_of, id_before, pages_by_id
from services.tasks import bulk, history, many
from storage.column_types import LowerAscii, rfc3339
from storage.prepared import prepared
from tables.notifications import notifications
from tables.projects import project_members, task_comments

# A mention does not begin within a longer word, such as an address.
_MENTION = re.compile(r"(?<![A-Za-z0-9._@-])@([A-Za-z0-9._-]+)", re.ASCII)

READ_ONLY = ("id", "task_id", "author_id", "author", "created_at", "edited_at")
_C = task_comments.c
_COLUMNS = tuple(
    users.c.username.label("author") if name == "author" else _C[name] for name in CommentRead.model_fields
)
_COMMENTS = (
    select(*_COLUMNS)
    .join_from(task_comments, users, users.c.id == _C.author_id, isouter=True)
    .where(_C.task_id == bindparam("task_id"))
)
_ONE = prepared(_COMMENTS.where(_C.id == bindparam("comment_id")))
_PAGES = pages_by_id(_COMMENTS, _C.id)
_INSERT = prepared(insert(task_comments).returning(_C.id))
_UPDATE = prepared(
    update(task_comments)
    .where(_C.id == bindparam("of_comment"))
    .values(text=bindparam("new_text"), edited_at=bindparam("now"))
)
_DELETE = prepared(delete(task_comments).where(_C.id == bindparam("of_comment")))
# The accounts with these names that see the task: its owner, admins, the members of its project.
_MENTIONED = select(users.c.id, LowerAscii(users.c.username).label("name")).where(
    LowerAscii(users.c.username).in_(bindparam("names", expanding=True)),
    users.c.is_active,
    or_(
        users.c.id == bindparam("owner_id"),
        users.c.role == "admin",
        exists().where(
            project_members.c.project_id == bindparam("project_id"), project_members.c.user_id == users.c.id
        ),
    ),
)
_NOTIFIED = select(notifications.c.user_id).where(notifications.c.comment_id == bindparam("comment_id"))


def comment_not_found() -> NotFound:
    """The error for a comment that does not exist."""
    return NotFound("Comment not found", code="comment_not_found")


def list_comments(db: Session, caller: Caller, task_id: int, page: OldestFirst) -> PageOf[AnyRow]:
    """A page of a task's comments; raises NotFound."""
    rights.find_task(db, caller, task_id)
    asked = {
        "task_id": task_id,
        "after_id": id_before(page),
        "limit": page.limit + 1,
        "skip": page.skip,
    }
    rows = db.execute(_PAGES[page.sort_order], asked).all()
    return first_of(rows, page.limit, lambda last: cursor_behind(page, last.id))


def get_comment(db: Session, caller: Caller, task_id: int, comment_id: int) -> AnyRow:
    """One comment; raises NotFound."""
    rights.find_task(db, caller, task_id)
    return _find(db, task_id, comment_id)


def _find(db: Session, task_id: int, comment_id: int) -> AnyRow:
    row = db.execute(_ONE, {"task_id": task_id, "comment_id": comment_id}).first()
    if row is None:
        raise comment_not_found()
    return row


def _subject(comment: AnyRow) -> dict[str, Any]:
    fields = comment._asdict()
    return {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in fields.items()}


def create_comment(db: Session, caller: Caller, task_id: int, text: str) -> AnyRow:
    """Comment on a task; notify its owner and mentioned accounts. Raises NotFound, Forbidden, Conflict."""
    task, _ = rights.lock_task(db, caller, task_id)
    now = datetime.now(UTC)
    values = {
        "task_id": task_id,
        "author_id": caller.id,
        "text": text,
        "created_at": now,
        "edited_at": None,
    }
    comment = _find(db, task_id, db.execute(_INSERT, values).scalar_one())
    history.add_about(db, caller, now, "comment_created", _subject(comment), task=task)
    kinds = dict.fromkeys((task.user_id,), "commented")
    kinds |= dict.fromkeys(_mentioned(db, task, text), "mentioned")
    _notify(db, caller, now, task, comment, kinds)
    return comment


def update_comment(
    db: Session, caller: Caller, task_id: int, comment_id: int, values: Mapping[str, Any]
) -> AnyRow:
    """Change an own comment, and notify newly mentioned accounts.

    Raises NotFound, Forbidden, Conflict, InvalidInput for a read-only field with another value.
    """
    # Rights are checked before the lock, which refuses changes of an archived project.
    if get_comment(db, caller, task_id, comment_id).author_id != caller.id:
        raise Forbidden("Only its author changes a comment", code="not_author")
    task, _ = rights.lock_task(db, caller, task_id)
    before = _find(db, task_id, comment_id)
    if _is_older(values, before):
        raise preconditions.stale_copy()
    preconditions.require_unchanged(before._asdict(), values, READ_ONLY)
    text = values["text"]
    if before.text == text:
        return before
    now = datetime.now(UTC)
    db.execute(_UPDATE, {"of_comment": comment_id, "new_text": text, "now": now})
    after = _find(db, task_id, comment_id)
    changes = {"text": {"from": before.text, "to": text}}
    history.add_about(db, caller, now, "comment_updated", _subject(after), task=task, changes=changes)
    notified = set(db.execute(_NOTIFIED, {"comment_id": comment_id}).scalars())
    kinds = dict.fromkeys(_mentioned(db, task, text) - notified, "mentioned")
    _notify(db, caller, now, task, after, kinds)
    return after


def _is_older(copy: Mapping[str, Any], comment: AnyRow) -> bool:
    """Whether a copy that is sent back was read before the comment was last edited."""
    if "edited_at" not in copy or comment.edited_at is None:
        return False
    return copy["edited_at"] is None or bool(copy["edited_at"] < comment.edited_at)


def delete_comment(db: Session, caller: Caller, task_id: int, comment_id: int) -> None:
    """Delete an own comment, or any as a manager or an admin; raises NotFound, Forbidden, Conflict."""
    is_own = get_comment(db, caller, task_id, comment_id).author_id == caller.id
    task, project = rights.lock_task(db, caller, task_id, "write" if is_own else "manage")
    comment = _find(db, task_id, comment_id)
    if project is None and not is_own and not caller.is_admin:
        raise Forbidden("Only its author and admins delete this comment", code="not_author")
    db.execute(_DELETE, {"of_comment": comment_id})
    history.add_about(db, caller, datetime.now(UTC), "comment_deleted", _subject(comment), task=task)


def _mentioned(db: Session, task: AnyRow, text: str) -> set[int]:
    """The accounts that a text mentions and that see the task."""
    found = [_names_in(mention) for mention in {mention.lower() for mention in _MENTION.findall(text)}]
    names = set().union(*found)
    if not names:
        return set()
    asked = {"names": sorted(names), "owner_id": task.user_id, "project_id": task.project_id}
    there = {row.name: row.id for row in db.execute(_MENTIONED, asked)}
    meant = (next((there[name] for name in names if name in there), None) for names in found)
    return {user_id for user_id in meant if user_id is not None}


def _names_in(mention: str) -> list[str]:
    """The usernames that a mention may stand for, the longest first: `@bob_.` means `bob_.`, `bob_` or `bob`.

    Signs at its end may belong to the sentence.
    """
    shortest = max(len(mention.rstrip("._-")), SHORTEST_USERNAME)
    longest = min(len(mention), LONGEST_USERNAME)
    return [mention[:length] for length in range(longest, shortest - 1, -1)]


def _notify(
    db: Session, caller: Caller, now: datetime, task: AnyRow, comment: AnyRow, kinds: dict[int, str]
) -> None:
    rows = [
        many.notification(caller, now, kind, user_id, task, comment_id=comment.id)
        for user_id, kind in sorted(kinds.items())
        if user_id != caller.id
    ]
    if rows:
        bulk.insert_many(db, notifications, rows)
