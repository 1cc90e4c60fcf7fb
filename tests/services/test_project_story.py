"""A team works on a real server; then every figure is computed once more from the test's own record."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import bindparam, select, update

from database import database
from main import app
from models import tasks
from tables.history import task_history
from tests.routers.test_projects import STATES
from tests.support.api import Api, Person
from tests.support.openapi_check import CheckedClient
from tests.support.serving import served
from tests.support.waiting import SECONDS

OPEN_STATES = [{**state, "wip_limit": None} for state in STATES]
LATER_STATES = [
    OPEN_STATES[0],
    {"key": "look", "name": "Look", "status": "in_progress"},
    *OPEN_STATES[1:2],
    OPEN_STATES[3],
]
HOUR = timedelta(hours=1)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Story:
    """Has three people work on forty tasks, and records the times and values of each change."""

    def __init__(self, people: list[Person]) -> None:
        self.random = random.Random("story")  # noqa: S311  # no secret
        self.ada, self.bob, self.eve = people
        made = self.ada.post("/projects", json={"name": "Research", "states": OPEN_STATES})
        self.project = made.json()["id"]
        for person in (self.bob, self.eve):
            self.done(self.ada.put(f"/projects/{self.project}/members/{person.id}", json={"role": "member"}))
        # The changes of each task: the time, whether it is in the project, its status and its state.
        self.told: dict[int, list[tuple[datetime, bool, str, str]]] = defaultdict(list)

    @staticmethod
    def done(answer: Any) -> Any:
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def note(self, task: dict[str, Any], at: str = "updated_at") -> None:
        self.told[task["id"]].append(
            (moment(task[at]), task["project_id"] is not None, task["status"], task["state"])
        )

    def patch(self, task: int, **sent: Any) -> None:
        person = self.random.choice([self.ada, self.bob])
        self.note(self.done(person.patch(f"/tasks/{task}", json=sent)))

    def walk(self, states: list[str], steps: int) -> None:
        """Move tasks between states, block some, and hand some on."""
        for _ in range(steps):
            task = self.random.choice([each for each, told in self.told.items() if told[-1][1]])
            if self.random.random() < 0.2:
                self.ada.put(f"/tasks/{task}/blocked", json={"reason": "waits"})
            if self.random.random() < 0.2:
                to = self.random.choice([self.ada, self.bob])
                self.done(self.bob.put(f"/tasks/{task}/assign?assigned_user_id={to.id}"))
            self.patch(task, state=self.random.choice(states))

    def tell(self) -> None:
        for number in range(40):
            person, sent = self.random.choice([self.ada, self.bob, self.eve]), {"title": f"T{number}"}
            if number % 4:
                sent["project_id"] = self.project
            task = self.done(person.post("/tasks", json=sent))
            self.note(task, "created_at")
            if number % 8 == 0:
                self.note(self.done(person.patch(f"/tasks/{task['id']}", json={"status": "in_progress"})))
            if not number % 4:
                self.note(self.done(person.patch(f"/tasks/{task['id']}", json={"project_id": self.project})))
        self.walk([state["key"] for state in STATES], 100)
        path = f"/projects/{self.project}"
        self.done(self.eve.delete(f"{path}/members/{self.eve.id}?transfer_to={self.bob.id}"))
        self.done(self.ada.patch(path, json={"states": LATER_STATES, "replaced_states": {"review": "look"}}))
        for task in self.ada.get(f"/tasks?project_id={self.project}&state=look&limit=500").json():
            self.note(task)
        self.done(self.ada.patch(path, json={"archived": True}))
        assert self.bob.patch("/tasks/2", json={"state": "done"}).status_code == 409
        self.done(self.ada.patch(path, json={"archived": False, "name": "Findings"}))
        self.walk([state["key"] for state in LATER_STATES], 60)
        for task in self.random.sample(sorted(self.told), 3):
            self.note(self.done(self.ada.patch(f"/tasks/{task}", json={"project_id": None})))
        deleted = self.random.choice([each for each, told in self.told.items() if told[-1][1]])
        self.done(self.ada.delete(f"/tasks/{deleted}"))
        last = select(task_history.c.created_at).order_by(task_history.c.id.desc()).limit(1)
        self.told[deleted].append(
            (database.read(lambda db: db.execute(last).scalar_one()), False, "gone", "gone")
        )


def spread(story: Story) -> None:
    """Spread the events of a few seconds over the last days, in the database and in the story alike."""
    times = [at for told in story.told.values() for at, *_ in told]
    first, now = min(times), datetime.now(UTC).replace(microsecond=0)
    factor = timedelta(days=8) / (max(times) - first)
    began = now - timedelta(days=9)

    def later(at: datetime | None) -> datetime | None:
        return None if at is None else began + (at - first) * factor

    def write(db: Any) -> None:
        for table, names in (
            (tasks, ("created_at", "updated_at", "completed_at")),
            (task_history, ("created_at", "task_created_at", "task_completed_at")),
        ):
            changed = update(table).where(table.c.id == bindparam("row_id"))
            changed = changed.values(
                {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
            )
            for row in db.execute(select(table.c.id, *(table.c[name] for name in names))).all():
                new = {f"new_{name}": later(getattr(row, name)) for name in names}
                db.execute(changed, {"row_id": row.id, **new})

    database.write(write)
    for told in story.told.values():
        told[:] = [(began + (at - first) * factor, *rest) for at, *rest in told]  # type: ignore[misc]


class Replay:
    """The figures, computed from the story alone."""

    def __init__(self, story: Story) -> None:
        self.told = story.told
        self.here = {task: told for task, told in self.told.items() if told[-1][1]}
        self.completed = {
            task: self.finish(told) for task, told in self.here.items() if told[-1][2] == "completed"
        }

    @staticmethod
    def finish(told: list[tuple[datetime, bool, str, str]]) -> datetime:
        """The time since which a task has been completed."""
        done = told[-1][0]
        for at, _, status, _ in reversed(told):
            if status != "completed":
                break
            done = at
        return done

    @staticmethod
    def started(told: list[tuple[datetime, bool, str, str]]) -> datetime | None:
        return next((at for at, _, status, _ in told if status == "in_progress"), None)

    def count(self, moment: datetime, fits: Callable[[str, str], bool]) -> int:
        """The number of tasks that were in the project just before a moment, with a status and state that fit."""
        found = 0
        for told in self.told.values():
            before = [each for each in told if each[0] < moment]
            found += bool(before) and before[-1][1] and fits(before[-1][2], before[-1][3])
        return found

    def spent(self, *, place: int, key: str) -> list[timedelta]:
        """The time of each completed task in a status (2) or in a state of the project (3), if there was any."""
        found = []
        for task, until in self.completed.items():
            told = self.told[task]
            ends = [each[0] for each in told[1:]] + [until]
            total = sum(
                (
                    min(end, until) - min(each[0], until)
                    for each, end in zip(told, ends, strict=True)
                    if each[place] == key and (place == 2 or each[1])
                ),
                timedelta(),
            )
            found += [total] if total else []
        return found


def assert_summary(found: Any, times: list[timedelta]) -> None:
    """Check what durations come to, within the rounding of the answer."""
    assert found["n"] == len(times)
    if not times:
        assert found["mean_hours"] is None
        return
    hours = np.array([each / HOUR for each in times])
    for name, value in (
        ("mean_hours", hours.mean()),
        ("min_hours", hours.min()),
        ("max_hours", hours.max()),
        ("p50_hours", np.percentile(hours, 50)),
        ("p85_hours", np.percentile(hours, 85)),
    ):
        assert found[name] == pytest.approx(value, abs=0.006), name


@pytest.fixture
def server(client: CheckedClient) -> Iterator[httpx.Client]:
    with served(app) as url, httpx.Client(base_url=url, timeout=SECONDS) as made:
        yield made


@pytest.mark.one_database
def test_every_figure_of_a_team_equals_a_replay_of_what_it_did(api: Api, server: httpx.Client) -> None:
    made = [api.person(name) for name in ("ada", "bob", "eve")]
    story = Story([Person(server, each.id, each.username, each.token) for each in made])  # type: ignore[arg-type]
    story.tell()
    spread(story)
    replay = Replay(story)
    first = (datetime.now(UTC) - timedelta(days=12)).date()

    def ask(call: str) -> Any:
        joined = "&" if "?" in call else "?"
        return story.done(story.bob.get(f"/analytics/{call}{joined}project_id={story.project}&from={first}"))

    lead = [at - replay.told[task][0][0] for task, at in replay.completed.items()]
    cycle = [
        at - (replay.started(replay.told[task]) or replay.told[task][0][0])
        for task, at in replay.completed.items()
    ]
    now = datetime.now(UTC)
    current = ask("flow")["current"]
    assert current["throughput"] == len(replay.completed) > 5
    assert current["work_in_progress"] == replay.count(now, lambda status, _: status == "in_progress") > 3
    assert_summary(current["lead_time"], lead)
    assert_summary(current["cycle_time"], cycle)
    check_over_time(ask, replay)
    for row in (times := ask("time-in-status"))["statuses"]:
        assert_summary(row, replay.spent(place=2, key=row["status"]))
    assert {row["state"] for row in times["states"]} == {"todo", "look", "doing", "done", "review"}
    for row in times["states"]:
        assert_summary(row, replay.spent(place=3, key=row["state"]))
    open_tasks = {task: told for task, told in replay.here.items() if task not in replay.completed}
    aging = ask("aging?limit=500")
    assert {(row["id"], row["state"], row["never_started"]) for row in aging["tasks"]} == {
        (task, told[-1][3], replay.started(told) is None) for task, told in open_tasks.items()
    }
    for row in aging["tasks"]:
        told = open_tasks[row["id"]]
        assert abs(moment(row["since"]) - (replay.started(told) or told[0][0])) < timedelta(milliseconds=1)
    rows = ask("cycle-times?limit=500")["tasks"]
    assert {row["id"] for row in rows} == set(replay.completed)
    for row in rows:
        assert row["lead_time_hours"] == pytest.approx(
            (replay.completed[row["id"]] - replay.told[row["id"]][0][0]) / HOUR, abs=0.006
        )


def check_over_time(ask: Callable[[str], Any], replay: Replay) -> None:
    """Check the figures that are told day by day."""
    created = [told[0][0] for told in replay.here.values()]
    for row in ask("throughput?interval=day")["intervals"]:
        start, end = moment(row["starts_at"]), moment(row["ends_at"])
        assert row["created"] == sum(start <= at < end for at in created)
        assert row["completed"] == sum(start <= at < end for at in replay.completed.values())
    for row in ask("burnup?interval=day")["intervals"]:
        end = moment(row["ends_at"])
        assert row["scope"] == replay.count(end, lambda *_: True)
        assert row["completed"] == replay.count(end, lambda status, _: status == "completed")
    flow = ask("cumulative-flow?interval=day")
    assert flow["n"] == sum(any(each[1] for each in told) for told in replay.told.values())
    ends = [moment(row["ends_at"]) for row in flow["intervals"]]
    for row, end in zip(flow["intervals"], ends, strict=True):
        for name in ("pending", "in_progress", "completed"):
            assert row[name] == replay.count(end, lambda status, _: status == name)  # noqa: B023
    assert [row["state"] for row in flow["states"]][:4] == [state["key"] for state in LATER_STATES]
    for row in flow["states"]:
        counted = [replay.count(end, lambda _, state: state == row["state"]) for end in ends]  # noqa: B023
        assert row["counts"] == counted, row["state"]
