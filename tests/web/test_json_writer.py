"""The JSON of rows, which two libraries write: the bytes are the same for any task."""

from typing import Any

from sqlalchemy import select

from database import database
from models import tasks
from schemas.tasks import TaskRead
from services.tasks.fields import TASK_COLUMNS
from tests.routers.test_transfer import past
from tests.support.api import Api
from web.json_writer import JsonWriter


def test_rows_are_written_as_their_model_says(api: Api) -> None:
    ada = api.person()
    odd = '\x01\x1f\x7f\u2028\ud7ff\U0001f600"\\/\b\t\n\f\r<>&é'
    ada.post("/tasks/import", json=past())
    ada.task(odd, description=odd, tags=[odd[:50]], due_at="0001-01-01T00:00:00.000001Z")
    ada.task("late", due_at="9999-12-31T23:59:59.999999Z")
    rows: list[Any] = database.read(
        lambda db: list(db.execute(select(*TASK_COLUMNS).order_by(tasks.c.id)).all())
    )
    writer = JsonWriter(list[TaskRead])
    plain = [{name: getattr(row, name) for name in TaskRead.model_fields} for row in rows]
    assert len(rows) == 28
    assert writer.dump(rows) == writer.dump(plain)
    assert JsonWriter(TaskRead).dump(rows[-2]) == JsonWriter(TaskRead).dump(plain[-2])
    assert writer.dump([]) == b"[]"
