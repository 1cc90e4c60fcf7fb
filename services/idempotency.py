"""Retries: the answer to a write is kept under the key that the client sent with it.

A key belongs to an account, a method and a path. The answer is written in the transaction of the write
itself, so that both survive a crash or neither does. A second request with the same key gets the kept answer
and changes nothing, if the caller still has the rights that the write used. A failed write keeps nothing.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json
from sqlalchemy import bindparam, delete, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from account_models import idempotency_keys
from errors import InvalidInput
from models import Caller, users
from services import rights, used_rights
from services.portions import Unfinished
from services.used_rights import Used
from storage.direct_session import is_sqlite
from storage.prepared import prepared

KEY_LENGTH = 255


class KeyedRequest(NamedTuple):
    """A request with a key, as two hashes: of key, method and path, and of query and body."""

    key_hash: bytes
    request_hash: bytes


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


def keyed_request(key: str, method: str, path: str, query: bytes, body: bytes) -> KeyedRequest:
    """Hash a request. The parts stay distinct, because only the last part may hold a NUL or a line's end."""
    content = hashlib.sha256(query + b"\0")
    # A body of 32 MB would take long to copy. Python lets other threads run while it hashes one.
    content.update(body)
    return KeyedRequest(hashlib.sha256(f"{key}\n{method} {path}".encode()).digest(), content.digest())


_K = idempotency_keys.c
_FIND = prepared(
    select(_K.request_hash, _K.status, _K.headers, _K.body, _K.used_rights).where(
        _K.user_id == bindparam("owner_id"), _K.key_hash == bindparam("of_key")
    )
)
# On Postgres the key is written first: a second request with the same key waits here until the first has
# ended.
_CLAIM = prepared(
    postgresql.insert(idempotency_keys)
    .on_conflict_do_nothing(index_elements=[_K.user_id, _K.key_hash])
    .returning(_K.id)
)
_FINISH = prepared(
    update(idempotency_keys)
    .where(_K.id == bindparam("row_id"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=_K[name].type)
            for name in ("status", "headers", "body", "used_rights")
        }
    )
)
_KEPT = ("user_id", "key_hash", "request_hash", "created_at", "status", "headers", "body", "used_rights")
# Keeps nothing for an account that has just deleted itself.
_KEEP = prepared(
    insert(idempotency_keys).from_select(
        _KEPT,
        select(*(bindparam(name, type_=_K[name].type) for name in _KEPT)).where(
            select(literal_column("1")).where(users.c.id == bindparam("user_id")).exists()
        ),
    )
)
_UNCLAIM = prepared(delete(idempotency_keys).where(_K.id == bindparam("row_id")))
_FORGET = delete(idempotency_keys).where(_K.user_id == bindparam("of_user"))


def answered_once(
    db: Session,
    caller: Caller,
    request: KeyedRequest,
    answer: Callable[[], Answer],
    secrets: Sequence[str],
) -> tuple[Answer, bool]:
    """The answer to a request with a key, and whether it is a replay.

    `secrets` are the fields of the answer that are shown only once: null is kept in their place. Raises
    InvalidInput for another request, and NotFound or Forbidden if the caller has lost the right to a replay.
    """
    user_id = caller.id
    claimed: int | None = None
    if is_sqlite(db):
        if (found := kept_answer(db, caller, request)) is not None:
            return found, True
    else:
        # A used key may be deleted because of its age before its answer is read; the claim is then tried again.
        while (claimed := _claim(db, user_id, request)) is None:
            if (found := kept_answer(db, caller, request)) is not None:
                return found, True
    try:
        with used_rights.noting(db) as used:
            made = answer()
    except Unfinished:
        # The next transaction claims the key again: this one is committed without an answer.
        if claimed is not None:
            db.execute(_UNCLAIM, {"row_id": claimed})
        raise
    kept = made._replace(body=_without(made.body, secrets))._asdict()
    # A right that the write itself took from the caller is not asked for again.
    held = rights.still_held(db, caller, used)
    kept["used_rights"] = [list(right) for right in held] or None
    if claimed is not None:
        values = {f"new_{name}": value for name, value in kept.items()}
        db.execute(_FINISH, {"row_id": claimed, **values})
    else:
        # On SQLite the key is written last. A request that fails has then written no key, and costs the
        # others that share its transaction nothing.
        values = {"user_id": user_id, **request._asdict(), **kept, "created_at": datetime.now(UTC)}
        db.execute(_KEEP, values)
    return made, False


def kept_answer(db: Session, caller: Caller, request: KeyedRequest) -> Answer | None:
    """The answer that is kept for a request.

    Raises InvalidInput if its key was sent with another request, and NotFound or Forbidden if the caller has
    lost a right that the request used.
    """
    row = db.execute(_FIND, {"owner_id": caller.id, "of_key": request.key_hash}).first()
    if row is None:
        return None
    if row.request_hash != request.request_hash:
        raise _reused()
    rights.require_again(db, caller, [Used(*each) for each in row.used_rights or ()])
    return Answer(row.status, row.headers, row.body)


def _claim(db: Session, user_id: int, request: KeyedRequest) -> int | None:
    """The id of the key's new row; None if the key has been used before."""
    values: dict[str, Any] = {"user_id": user_id, **request._asdict(), "created_at": datetime.now(UTC)}
    values |= Answer(0, {}, b"")._asdict()
    claimed: int | None = db.execute(_CLAIM, values).scalar()
    return claimed


def _without(body: bytes, secrets: Sequence[str]) -> bytes:
    """The JSON object with null in place of these fields."""
    if not secrets:
        return body
    return to_json(from_json(body) | dict.fromkeys(secrets))


def _reused() -> InvalidInput:
    detail = "This key was sent before with another body or query: a new request needs a new key"
    return InvalidInput(
        detail,
        code="idempotency_key_reused",
        errors=[{"pointer": "header.Idempotency-Key", "detail": detail}],
    )


def forget_account(db: Session, user_id: int) -> None:
    """Delete all keys and answers that are kept for an account."""
    db.execute(_FORGET, {"of_user": user_id})
