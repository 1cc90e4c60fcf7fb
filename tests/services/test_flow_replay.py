"""The cumulative flow of random histories, compared with a replay of them that is as plain as possible."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database import database
from models import Caller
from schemas.flow import IntervalQuery
from schemas.tasks import TaskImport
from services import task_service
from services.accounts import user as user_service
from services.flow import answers
from services.flow.question import ask
from services.tasks import importing

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 12
STATUSES = ("pending", "in_progress", "completed")
NEW_TASK: dict[str, Any] = {"description": None, "priority": 0, "tags": [], "due_at": None}

# Each step has its kind, the hours since the step before, and the number of a task.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("create", "import", "status", "status", "project", "assign", "delete")),
        st.integers(0, 20),
        st.integers(0, 5),
        st.sampled_from(STATUSES),
        st.sampled_from(("Home", "Work")),
    ),
    min_size=1,
    max_size=25,
)


class History:
    """Makes the steps happen, and notes each task's status, owner and project after every change."""

    def __init__(self, ada: Caller, bob: Caller) -> None:
        self.people = {ada.id: ada, bob.id: bob}
        self.ada, self.bob = ada, bob
        self.lives: dict[int, list[tuple[datetime, str | None, int, str]]] = {}

    def step(self, what: str, now: datetime, which: int, status: str, project: str) -> None:
        alive = [task_id for task_id, life in self.lives.items() if life[-1][1] is not None]
        if what == "create" or (what != "import" and not alive):
            values = {**NEW_TASK, "title": "a task", "status": status, "project": project}
            row = database.write(lambda db: task_service.create_task(db, self.ada, values))
            self.lives[row.id] = [(now, status, self.ada.id, project)]
        elif what == "import":
            self._import(now, which, status, project)
        else:
            self._change(what, now, alive[which % len(alive)], status, project)

    def _import(self, now: datetime, which: int, status: str, project: str) -> None:
        began = now - timedelta(hours=30 + which)
        done = now - timedelta(hours=which) if status == "completed" else None
        values = {"title": "an old one", "status": status, "project": project, "tags": []}
        task = TaskImport.model_validate({**values, "created_at": began, "completed_at": done})
        (task_id,) = database.write(lambda db: importing.import_tasks(db, self.ada, [task]))
        self.lives[task_id] = [(began, status if done is None else "pending", self.ada.id, project)]
        if done is not None:
            self.lives[task_id].append((done, status, self.ada.id, project))

    def _change(self, what: str, now: datetime, task_id: int, status: str, project: str) -> None:
        _, was, owner, where = self.lives[task_id][-1]
        user, other = self.people[owner], next(each for each in self.people if each != owner)
        after: tuple[str | None, int, str]
        if what == "status":
            database.write(lambda db: task_service.update_task(db, user, task_id, {"status": status}))
            after = (status, owner, where)
        elif what == "project":
            database.write(lambda db: task_service.update_task(db, user, task_id, {"project": project}))
            after = (was, owner, project)
        elif what == "assign":
            database.write(lambda db: task_service.assign_task(db, user, task_id, other))
            after = (was, other, where)
        else:
            database.write(lambda db: task_service.delete_task(db, user, task_id))
            after = (None, owner, where)
        self.lives[task_id].append((now, *after))

    def at(self, end: datetime, person: Caller, project: str | None) -> list[int]:
        """The number of tasks that the person had in each status just before a moment."""
        counts = dict.fromkeys(STATUSES, 0)
        for life in self.lives.values():
            before = [each for each in life if each[0] < end]
            if before:
                _, status, owner, _ = before[-1]
                theirs = [each for each in life if each[2] == person.id and each[1] is not None]
                # The project that counts is the last one that the task had while it was theirs.
                if status and owner == person.id and project in (None, theirs[-1][3]):
                    counts[status] += 1
        return list(counts.values())


@pytest.mark.usefixtures("client")
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, number=st.integers(0, 10**9))
def test_cumulative_flow_is_a_replay_of_the_history(steps: list[Any], number: int) -> None:
    made = datetime.now(UTC).timestamp()

    def person(name: str) -> Caller:
        username = f"{name}{number}-{made:.6f}"
        row = database.write(
            lambda db: user_service.create_user(db, username, f"{username}@example.com", "!", "member")
        )
        return Caller(*row)

    history = History(person("ada"), person("bob"))
    now = START + timedelta(days=2)
    with time_machine.travel(now, tick=False) as traveller:
        for what, hours, *rest in steps:
            # A microsecond parts the changes, because a clock can't tell the order of two changes of one moment.
            now += timedelta(hours=hours, microseconds=1)
            traveller.move_to(now)
            history.step(what, now, *rest)
        traveller.move_to(max(now, START + timedelta(days=DAYS)) + timedelta(hours=1))
        for user in (history.ada, history.bob):
            for project in (None, "Home"):
                query = IntervalQuery.model_validate(
                    {"from": START.date().isoformat(), "interval": "day", "project": project}
                )
                found = database.read(
                    lambda db, user=user, query=query: answers.cumulative_flow(
                        db, ask(db, user, query), "day"
                    )  # type: ignore[misc]
                )
                assert len(found["intervals"]) >= DAYS
                for each in found["intervals"]:
                    counts = [each[status] for status in STATUSES]
                    assert counts == history.at(each["ends_at"], user, project), each["date"]
