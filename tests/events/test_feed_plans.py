"""Postgres plans the statements of the feed once, although it does not know how many rows a page has."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import Database, database
from security.callers import load_caller
from services.events import feed, sight
from services.events.feed import Question
from tests.support.api import Api

ROWS = 2000
# Half of the rows are the person's own, a quarter of these in the project.
FILL = """
INSERT INTO task_history (task_id, actor_id, kind, created_at, changes, owner_id, project_id, snapshot)
SELECT 1 + n / 4, 1, 'updated', now(), '{}', n % 2 * :owner_id, CASE WHEN n % 4 = 0 THEN :project_id END, '{}'
FROM generate_series(1, :rows) AS n
"""
# The statements that read numbers of rows along an index, each executed often enough to be prepared by the driver.
PLANS = text("""
SELECT statement, generic_plans FROM pg_prepared_statements WHERE statement LIKE '%FROM task_history%LIMIT%'
""")


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_postgres_plans_the_pages_of_the_feed_once(api: Api, database_url: str) -> None:
    ada = api.person(admin=True)
    project = ada.post("/projects", json={"name": "Open"}).json()["id"]
    with database.engine.begin() as connection:
        connection.execute(text(FILL), {"owner_id": ada.id, "project_id": project, "rows": ROWS})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE task_history"))

    def read(db: Session) -> list[tuple[str, int]]:
        caller = load_caller(db, {"sub": str(ada.id)})
        for question in (Question(), Question(project_id=project), Question(everybodys=True)):
            # The driver prepares a statement at its sixth execution, and Postgres looks at the values of the first five.
            for after in range(15):
                assert feed.page(db, caller, question, after, 100).has_more
        return [(row[0], row[1]) for row in db.execute(PLANS)]

    # The connections of other tests have statements of their own.
    fresh = Database(database_url)
    planned = fresh.read(read)
    fresh.close()
    assert len(planned) == 3
    assert not [statement for statement, times in planned if times == 0]
    # With a million rows the whole feed would be planned again without the fixed limit.
    assert all(f"LIMIT {sight.MOST_ROWS})" in statement for statement, _ in planned)
