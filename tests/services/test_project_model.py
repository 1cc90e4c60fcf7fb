"""Random calls by six accounts over their projects: a model in plain Python predicts each answer.

With `-m thorough`, `PROJECT_CALLS=10000` makes more calls. `PROJECT_SEED` makes other ones.
"""

import os
import random
from typing import Any

import pytest

from tests.support.api import Api, Person
from tests.support.project_model import CREATED, POOL, STATUSES, Expected, Model, Project

CALLS = int(os.environ.get("PROJECT_CALLS", "500"))
SEED = os.environ.get("PROJECT_SEED", "together")
MOST_PROJECTS, MOST_TASKS = 4, 40
STRANGER = 987_654
ROLES = ("viewer", "member", "manager")


class Walk:
    """Makes random calls, and compares each answer with the model."""

    def __init__(self, api: Api, seed: str) -> None:
        self.random = random.Random(seed)  # noqa: S311  # no secret
        self.people = [api.person(f"person{number}") for number in range(5)]
        self.people.append(api.person("root", admin=True))
        self.model = Model([person.id for person in self.people], self.people[-1].id)
        self.log: list[str] = []

    def check(self, answer: Any, expected: Expected) -> bool:
        """Check an answer against the expected one, and return whether the call succeeded."""
        code = answer.json().get("code", "") if answer.status_code >= 400 else ""
        if code == "invalid_input" and answer.status_code != 422:
            code = ""
        assert (answer.status_code, code) == expected, [*self.log[-12:], answer.text]
        return bool(answer.status_code < 400)

    def call(self, person: Person, method: str, path: str, **options: Any) -> Any:
        self.log.append(f"{person.id}: {method} {path} {options.get('json')}")
        return person.call(method, path, **options)

    # -- choosing ----------------------------------------------------------------------------------

    def person(self) -> Person:
        return self.random.choice(self.people)

    def task(self) -> int:
        return self.random.choice([*self.model.tasks, STRANGER])

    def project(self) -> int:
        return self.random.choice([*self.model.projects, STRANGER])

    def account(self) -> int:
        return self.random.choice([*self.model.accounts, STRANGER])

    def state(self) -> str:
        return self.random.choice([*POOL, *STATUSES])

    def heir(self) -> int | None:
        return self.random.choice([None, self.account()])

    def workflow(self) -> list[str]:
        keys = [self.random.choice(["todo", "later"]), "doing", self.random.choice(["done", "dropped"])]
        keys += [key for key in POOL if key not in keys and self.random.random() < 0.5]
        self.random.shuffle(keys)
        return keys

    @staticmethod
    def states(keys: list[str]) -> list[dict[str, Any]]:
        return [{"key": key, "name": key.title(), **POOL[key]} for key in keys]

    # -- calls -------------------------------------------------------------------------------------

    def create_project(self) -> None:
        if len(self.model.projects) >= MOST_PROJECTS:
            return
        maker, keys = self.person(), self.workflow()
        answer = self.call(maker, "POST", "/projects", json={"name": "P", "states": self.states(keys)})
        assert self.check(answer, CREATED)
        made = answer.json()["id"]
        self.model.projects[made] = Project(keys, {maker.id: "manager"})
        for person in self.random.sample(self.people, 4):
            self.put_member(made, maker, person.id)

    def create_task(self) -> None:
        if len(self.model.tasks) >= MOST_TASKS:
            self.delete_task()
            return
        person = self.person()
        project = self.random.choice([None, self.project(), self.project()])
        state = self.random.choice([None, self.state()])
        owner = self.random.choice([None, None, self.account()])
        title = f"T{self.random.random()}"
        sent = {"title": title, "project_id": project, "state": state, "user_id": owner}
        expected, task = self.model.create_task(person.id, title, project, state, owner)
        answer = self.call(
            person, "POST", "/tasks", json={name: value for name, value in sent.items() if value is not None}
        )
        if self.check(answer, expected):
            assert task is not None
            self.model.tasks[answer.json()["id"]] = task

    def update_task(self) -> None:
        task, person = self.task(), self.person()
        sent: dict[str, Any] = self.random.choice(
            [
                {"state": self.state()},
                {"state": self.state()},
                {"status": self.random.choice(STATUSES)},
                {"title": f"T{self.random.random()}"},
                {"project_id": self.random.choice([None, self.project(), self.project()])},
                {"project_id": self.project(), "state": self.state()},
            ]
        )
        expected = self.model.update_task(person.id, task, dict(sent))
        self.check(self.call(person, "PATCH", f"/tasks/{task}", json=sent), expected)

    def delete_task(self) -> None:
        task, person = self.task(), self.person()
        expected = self.model.delete_task(person.id, task)
        self.check(self.call(person, "DELETE", f"/tasks/{task}"), expected)

    def assign(self) -> None:
        task, person, to = self.task(), self.person(), self.account()
        expected = self.model.assign(person.id, task, to)
        self.check(self.call(person, "PUT", f"/tasks/{task}/assign?assigned_user_id={to}"), expected)

    def block(self) -> None:
        task, person = self.task(), self.person()
        reason = self.random.choice([None, "one", "two"])
        expected = self.model.block(person.id, task, reason)
        body = {} if reason is None else {"json": {"reason": reason}}
        self.check(
            self.call(person, "PUT" if reason else "DELETE", f"/tasks/{task}/blocked", **body), expected
        )

    def comment(self) -> None:
        task, person = self.task(), self.person()
        path = f"/tasks/{task}/comments"
        there = self.model.tasks.get(task)
        if there is None or not there.comments or self.random.random() < 0.4:
            expected = self.model.refusal(person.id, task) or CREATED
            answer = self.call(person, "POST", path, json={"text": "@person1 and @person2"})
            if self.check(answer, expected):
                self.model.tasks[task].comments[answer.json()["id"]] = person.id
            return
        comment = self.random.choice([*there.comments, STRANGER])
        delete = self.random.random() < 0.5
        expected = self.model.change_comment(person.id, task, comment, delete=delete)
        body = {} if delete else {"json": {"text": f"{self.random.random()}"}}
        self.check(self.call(person, "DELETE" if delete else "PATCH", f"{path}/{comment}", **body), expected)

    def put_member(
        self, project: int | None = None, by: Person | None = None, who: int | None = None
    ) -> None:
        project, person = project or self.project(), by or self.person()
        who, role, heir = who or self.account(), self.random.choice(ROLES), self.heir()
        expected = self.model.put_member(person.id, project, who, role, heir)
        path = f"/projects/{project}/members/{who}" + ("" if heir is None else f"?transfer_to={heir}")
        self.check(self.call(person, "PUT", path, json={"role": role}), expected)

    def remove_member(self) -> None:
        project, person, heir = self.project(), self.person(), self.heir()
        who = self.random.choice([person.id, self.account()])
        expected = self.model.remove_member(person.id, project, who, heir)
        path = f"/projects/{project}/members/{who}" + ("" if heir is None else f"?transfer_to={heir}")
        self.check(self.call(person, "DELETE", path), expected)

    def archive(self) -> None:
        project, person = self.project(), self.person()
        archived = self.random.random() < 0.4
        expected = self.model.settings(person.id, project) or (200, "")
        sent = {"archived": archived, "name": f"P{self.random.random()}"}
        if self.check(self.call(person, "PATCH", f"/projects/{project}", json=sent), expected):
            self.model.projects[project].archived = archived

    def change_states(self) -> None:
        project, person, keys = self.project(), self.person(), self.workflow()
        replaced = {
            self.random.choice([*POOL]): self.random.choice(keys) for _ in range(self.random.randrange(4))
        }
        expected = self.model.change_states(person.id, project, keys, replaced)
        sent = {"states": self.states(keys), "replaced_states": replaced}
        self.check(self.call(person, "PATCH", f"/projects/{project}", json=sent), expected)

    def delete_project(self) -> None:
        if self.random.random() < 0.8:
            return
        project, person = self.project(), self.person()
        release = self.random.random() < 0.5
        expected = self.model.delete_project(person.id, project, release=release)
        what = "release" if release else "delete"
        self.check(self.call(person, "DELETE", f"/projects/{project}?tasks={what}"), expected)

    # -- looking -----------------------------------------------------------------------------------

    def look(self) -> None:
        """Check that everybody sees the tasks of the model, and no others."""
        for person in self.people:
            own = person.get("/tasks?limit=500").json()
            assert {task["id"] for task in own} == {
                task_id for task_id, task in self.model.tasks.items() if task.owner == person.id
            }
            mine = {each["id"] for each in person.get("/projects?limit=500").json()}
            assert mine == {
                project
                for project, found in self.model.projects.items()
                if person.id in found.members and not found.archived
            }
            for project in [*self.model.projects, STRANGER]:
                self._look_at(person, project)
            one = self.task()
            expected = self.model.refusal(person.id, one, 1) or (200, "")
            for path in (f"/tasks/{one}", f"/tasks/{one}/history", f"/tasks/{one}/comments"):
                self.check(person.get(path), expected)

    def _look_at(self, person: Person, project: int) -> None:
        answer = person.get(f"/tasks?project_id={project}&limit=500")
        visible = self.model.visible(person.id, project)
        if visible is None:
            assert answer.status_code == 404
            return
        rows = {task["id"]: task for task in answer.json()}
        assert set(rows) == visible
        for task_id, row in rows.items():
            task = self.model.tasks[task_id]
            seen = (row["user_id"], row["title"], row["state"], row["status"], row["blocked_reason"])
            assert seen == (task.owner, task.title, task.state, task.status, task.blocked), self.log[-12:]

    def step(self) -> None:
        """Make one call of any kind, usual kinds more often."""
        often = [self.create_task, self.update_task, self.update_task, self.update_task, self.assign]
        seldom = [self.delete_task, self.block, self.comment, self.put_member, self.remove_member]
        rarely = [self.create_project, self.archive, self.change_states, self.delete_project]
        self.random.choice(often * 3 + seldom * 2 + rarely)()


@pytest.mark.parametrize("calls", [200, pytest.param(CALLS, marks=pytest.mark.thorough)])
def test_each_call_is_answered_as_the_model_says(api: Api, calls: int) -> None:
    walk = Walk(api, SEED)
    for _ in range(3):
        walk.create_project()
    for number in range(calls):
        walk.step()
        if number % 50 == 0:
            walk.look()
    walk.look()
