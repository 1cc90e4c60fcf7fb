"""The one table of a task's fields, and the code that derives from it."""

from schemas.tasks import TaskImport, TaskRead, TaskUpdate
from services.tasks import fields


def test_every_field_is_answered_imported_and_changed_under_its_name() -> None:
    assert tuple(TaskRead.model_fields) == fields.NAMES
    assert set(TaskImport.model_fields) == set(fields.NAMES)
    assert set(TaskUpdate.model_fields) == set(fields.NAMES)
    assert [column.name for column in fields.TASK_COLUMNS] == [*fields.NAMES, "version"]
