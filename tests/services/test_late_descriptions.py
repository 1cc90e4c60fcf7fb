"""Filters soon find descriptions that the previous version writes on Postgres while this one runs too."""

from typing import Any

import pytest
from sqlalchemy import text

from database import database
from services.background_tasks.retention_tasks import hourly_round
from tests.support.api import Api, Person


@pytest.fixture
def ada(api: Api) -> Person:
    if database.is_sqlite:
        pytest.skip("The previous version can't write while SQLite is migrated")
    return api.person()


def execute(statement: str, **values: Any) -> None:
    database.write(lambda db: db.execute(text(statement), values))


def written_before(task_id: int, description: str | None) -> None:
    """Change a description like the previous version, which knows no folded form."""
    execute("UPDATE tasks SET description = :to WHERE id = :id", to=description, id=task_id)
    execute(
        "INSERT INTO task_history (task_id, actor_id, kind, created_at, changes, owner_id, status)"
        " SELECT id, user_id, 'updated', now(), '{}', user_id, status FROM tasks WHERE id = :id",
        id=task_id,
    )


def found(ada: Person, word: str) -> list[int]:
    listed = ada.get(
        "/tasks", params={"filter": f'description ~ "{word}"', "sort_by": "id", "sort_order": "asc"}
    )
    return [each["id"] for each in listed.json()]


def test_what_the_version_before_wrote_is_folded(ada: Person) -> None:
    plain, replaced, cleared, kept = (
        ada.task(description=each)["id"] for each in ("plain", "ÄRGER", "ÄRGER", "ÄRGER")
    )
    hourly_round()
    written_before(plain, "GRÖSSE")
    written_before(replaced, "Große Freude")
    written_before(cleared, None)
    written_before(kept, "ÄRGER")
    assert found(ada, "größe") == []
    hourly_round()
    assert found(ada, "größe") == [plain]
    assert found(ada, "große") == [replaced]
    assert found(ada, "ärger") == [kept]
    # A later change by the previous version is found too, because it may be replaced late.
    written_before(plain, "Ärger")
    hourly_round()
    assert found(ada, "ärger") == [plain, kept]
