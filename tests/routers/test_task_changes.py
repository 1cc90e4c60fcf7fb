"""Changing tasks: the effect of each change, rights, preconditions, and the history."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from database import database
from schemas.common import Body
from services.tasks import fields
from storage.column_types import UtcDateTime
from tests.support.api import Api, Person, assert_problem


def history(person: Person, task_id: int) -> list[tuple[str, dict[str, Any]]]:
    """The kind of each change of a task, and the changed values."""
    return [(row["kind"], row["changes"]) for row in person.get(f"/tasks/{task_id}/history").json()]


def test_every_field_of_a_new_task_is_kept(api: Api) -> None:
    ada = api.person()
    sent: dict[str, Any] = {
        "title": "Straße 🎉 “quoted”",
        "description": "line\nbreak\ttab",
        "status": "in_progress",
        "priority": 4,
        "project": "Café",
        "tags": ["b", "a", "ü,;'"],
        "due_at": "2031-05-06T07:08:09.123456Z",
    }
    task = ada.task(**sent)
    assert {name: task[name] for name in sent} == sent
    assert ada.get(f"/tasks/{task['id']}").json() == task
    assert task["completed_at"] is None


def test_a_write_answers_the_bytes_of_a_read(api: Api) -> None:
    """A write answers from the values that it has written, without reading them back."""
    ada = api.person()
    states = [
        {"key": "new", "name": "New", "status": "pending"},
        {"key": "next", "name": "Next", "status": "pending"},
        {"key": "doing", "name": "Doing", "status": "in_progress"},
        {"key": "done", "name": "Done", "status": "completed"},
    ]
    project = ada.post("/projects", json={"name": "Shared", "states": states}).json()["id"]
    sent = {"title": "é \u2028 🎉", "tags": ["b", "a,'\""], "due_at": "2031-05-06T07:08:09.1+02:00"}
    answer = ada.post("/tasks", json=sent)
    path = answer.headers["Location"]
    answers = [answer]
    changes: list[dict[str, Any]] = [
        {"description": 'a\n"b"', "due_at": "2031-05-06T07:08:09.120000-05:30"},
        {"description": None, "due_at": None, "tags": [], "priority": 4},
        {"status": "completed"},
        {"status": "pending", "title": "again"},
        {"project_id": project},
        {"state": "next"},
        {"state": "doing", "priority": 1},
        {"project_id": None},
        {"project": "Café"},
    ]
    for change in changes:
        answers.append(ada.patch(path, json=change))
        assert answers[-1].status_code == 200, answers[-1].text
        read = ada.get(path)
        assert (answers[-1].content, answers[-1].headers["ETag"]) == (read.content, read.headers["ETag"])
    for method, body in (("PUT", {"json": {"reason": "why"}}), ("DELETE", {})):
        assert ada.call(method, f"{path}/blocked", **body).content == ada.get(path).content
    assert answers[0].json() | {"state": "pending", "blocked_at": None} == answers[0].json()
    assert answers[0].json()["due_at"] == "2031-05-06T05:08:09.100000Z"


def test_the_longest_texts_are_taken(api: Api) -> None:
    ada = api.person()
    sent: dict[str, Any] = {
        "title": "ﬃ" * 500,
        "description": "😀" * 65_536,
        "project": "ß" * 100,
        "tags": [f"{number:02}" + "ü" * 48 for number in range(20)],
    }
    task = ada.task(**sent)
    assert {name: task[name] for name in sent} == sent


def test_tags_and_projects_are_kept_in_one_spelling_and_asked_for_in_any(api: Api) -> None:
    ada = api.person()
    decomposed = "Cafe\u0301"
    task = ada.task(tags=["a", "a", " a", "\u00a0b\t", decomposed, "Café", "A"], project=f" {decomposed} ")
    assert (task["tags"], task["project"]) == (["a", "b", "Café", "A"], "Café")
    changed = ada.patch(f"/tasks/{task['id']}", json={"project": "\nGeneral ", "tags": ["x ", "x"]}).json()
    assert (changed["tags"], changed["project"]) == (["x"], "General")
    same = ada.put(f"/tasks/{task['id']}", json={"project": "General\u3000", "tags": [" x"]})
    assert same.json() == changed
    row = {"title": "i", "tags": [f" {decomposed}", "Café"], "project": f"{decomposed} "}
    assert ada.post("/tasks/import", json=[row]).status_code == 201
    for name, value in (("tag", f" {decomposed}"), ("project", f"{decomposed} "), ("project", "Café")):
        assert [each["title"] for each in ada.get("/tasks", params={name: value}).json()] == ["i"]
        flow = ada.get("/analytics/throughput", params={name: value, "from": "2026-01-01"}).json()
        assert flow["n_created"] == 1
    assert ada.get("/tasks", params={"project": "café"}).json() == []
    projects = ada.get("/analytics/project-stats").json()
    assert sorted(each["project"] for each in projects) == ["Café", "General"]


def test_the_limits_of_tags_and_projects_hold_for_what_is_kept(api: Api) -> None:
    ada = api.person()
    many = [f"{' ' * number}{number % 20}" for number in range(60)]
    sent: dict[str, Any] = {"tags": many, "project": " " * 200 + "p" * 100}
    task = ada.task(**sent)
    assert (task["tags"], len(task["project"])) == ([str(number) for number in range(20)], 100)
    for name, value, pointer in (
        ("tags", [*many, "one more"], "#/tags"),
        ("tags", ["x", " \t"], "#/tags/1"),
        ("tags", [f"{'x' * 50}y "], "#/tags/0"),
        # This letter becomes two in NFC.
        ("tags", ["\u0958" * 26], "#/tags/0"),
        ("project", " ", "#/project"),
        ("project", "x" * 101, "#/project"),
    ):
        assert_problem(ada.post("/tasks", json={"title": "x", name: value}), 422, None, pointer)
        assert_problem(ada.post("/tasks/import", json=[{"title": "x", name: value}]), 422)
        assert_problem(ada.patch(f"/tasks/{task['id']}", json={name: value}), 422, None, pointer)


@pytest.mark.one_database
def test_a_whole_number_may_be_written_with_a_decimal_point(api: Api) -> None:
    ada = api.person()
    body = '{"title": "x", "priority": %s}'
    json_type = {"Content-Type": "application/json"}
    for written in ("2.0", "2.000", "2e0", "0.2e1"):
        created = ada.post("/tasks", content=body % written, headers=json_type)
        assert (created.status_code, created.json()["priority"]) == (201, 2), written
    sent = f'{{"priority": 3.0, "id": 1.0, "user_id": {ada.id}.0}}'
    assert ada.put("/tasks/1", content=sent, headers=json_type).json()["priority"] == 3
    for written in ("2.5", "1e300", "-1.0", "5.0"):
        answer = ada.post("/tasks", content=body % written, headers=json_type)
        assert_problem(answer, 422, "invalid_input", "#/priority")
    assert len(ada.get("/tasks?priority=2.0&limit=2.0").json()) == 2
    assert len(ada.get("/tasks?priority=3.0").json()) == 1


def _bodies(model: type[Body]) -> list[type[Body]]:
    return [model, *(each for child in model.__subclasses__() for each in _bodies(child))]


@pytest.mark.one_database
@pytest.mark.parametrize("body", _bodies(Body), ids=lambda body: body.__name__)
def test_every_whole_number_in_a_body_may_be_written_so(body: type[Body]) -> None:
    numbers = [name for name, field in body.model_fields.items() if "int" in repr(field.annotation)]
    refused = set()
    try:
        body.model_validate(dict.fromkeys(numbers, 1.0))
    except ValidationError as error:
        refused = {each["type"] for each in error.errors()}
    assert "int_type" not in refused


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+05:30", "2026-01-01T21:34:05Z"),
        ("2026-01-02t03:04:05.1z", "2026-01-02T03:04:05.100000Z"),
        ("2026-01-02 03:04:05.123456789-00:01", "2026-01-02T03:05:05.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00.000001Z", "0001-01-01T00:00:00.000001Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times_come_back_in_utc_to_the_microsecond(api: Api, sent: str, kept: str) -> None:
    ada = api.person()
    task = ada.task(due_at=sent)
    assert task["due_at"] == kept
    assert ada.get(f"/tasks/{task['id']}").json()["due_at"] == kept


def test_a_task_created_completed_has_completed_at(api: Api) -> None:
    task = api.person().task(status="completed")
    assert task["completed_at"] == task["created_at"] == task["updated_at"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_only_the_fields_sent_change(api: Api, method: str) -> None:
    ada = api.person()
    task = ada.task(description="old", tags=["x"], due_at="2030-01-01T00:00:00Z")
    changed = ada.call(method, f"/tasks/{task['id']}", json={"title": "new", "priority": 3}).json()
    assert changed == task | {"title": "new", "priority": 3, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > task["updated_at"]


def test_null_clears_description_and_due_at_and_leaves_the_others(api: Api) -> None:
    ada = api.person()
    fields: dict[str, Any] = {"description": "old", "due_at": "2030-01-01T00:00:00Z"}
    others: dict[str, Any] = {
        "title": "x",
        "status": "completed",
        "priority": 2,
        "project": "p",
        "tags": ["t"],
    }
    task = ada.task(**fields, **others)
    changed = ada.put(f"/tasks/{task['id']}", json=dict.fromkeys([*fields, *others])).json()
    assert changed == task | {"description": None, "due_at": None, "updated_at": changed["updated_at"]}
    assert history(ada, task["id"])[1:] == [
        (
            "updated",
            {
                "description": {"from": "old", "to": None},
                "due_at": {"from": "2030-01-01T00:00:00Z", "to": None},
            },
        )
    ]


def test_completing_reopening_and_completing_again(api: Api) -> None:
    ada = api.person()
    path = f"/tasks/{ada.task()['id']}"
    completed = ada.put(path, json={"status": "completed"}).json()
    assert completed["completed_at"] == completed["updated_at"]
    assert ada.put(path, json={"status": "completed"}).json() == completed
    still = ada.put(path, json={"status": "completed", "title": "other"}).json()
    assert still["completed_at"] == completed["completed_at"]
    reopened = ada.put(path, json={"status": "in_progress"}).json()
    assert reopened["completed_at"] is None
    again = ada.put(path, json={"status": "completed"}).json()
    assert again["completed_at"] > completed["completed_at"]


@pytest.mark.one_database
def test_get_edit_put_works_with_the_read_only_fields_sent_back(api: Api) -> None:
    ada = api.person()
    task = ada.task(status="completed", due_at="2030-01-01T00:00:00.5Z")
    answer = ada.put(f"/tasks/{task['id']}", json=task | {"title": "edited"})
    assert answer.json()["title"] == "edited"
    for name, value in {
        "id": 99,
        "user_id": 99,
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2999-01-01T00:00:00Z",
        "completed_at": None,
    }.items():
        answer = ada.put(f"/tasks/{task['id']}", json={"title": "mine", name: value})
        assert_problem(answer, 422, "invalid_input", f"#/{name}")
    assert ada.get(f"/tasks/{task['id']}").json()["title"] == "edited"


def cut(value: str | None, digits: int) -> str | None:
    """A time as it is kept by a client that keeps fewer digits."""
    whole, _, fraction = (value or "").removesuffix("Z").partition(".")
    return value and (f"{whole}.{fraction.ljust(6, '0')[:digits]}Z" if digits else f"{whole}Z")


@pytest.mark.one_database
@pytest.mark.parametrize("digits", [0, 1, 3, 5, 6, 9])
def test_get_edit_put_works_for_clients_that_keep_times_less_precisely(api: Api, digits: int) -> None:
    ada = api.person()
    row = {"title": "x", "status": "completed", "created_at": "2020-01-02T03:04:05.740725Z"}
    row |= {"completed_at": "2020-01-02T03:04:06.999999Z", "updated_at": "2020-01-02T03:04:07.000009Z"}
    ada.post("/tasks/import", json=[row])
    task = ada.get("/tasks/1").json()
    times = {name: cut(task[name], digits) for name in ("created_at", "updated_at", "completed_at")}
    changed = ada.put("/tasks/1", json=task | times | {"title": "y"})
    assert (changed.status_code, changed.json()["title"]) == (200, "y")
    elsewhere = {"created_at": "2020-01-02T08:34:05.74+05:30", "completed_at": times["completed_at"]}
    assert ada.patch("/tasks/1", json=elsewhere).status_code == 200
    for name, value in (
        ("created_at", "2020-01-02T03:04:05.741Z"),
        ("created_at", "2020-01-02T03:04:05.740726Z"),
        ("created_at", "2020-01-02T03:04:04Z"),
        ("completed_at", "2020-01-02T03:04:07Z"),
        ("completed_at", None),
        ("updated_at", "2999-01-01T00:00:00Z"),
    ):
        answer = ada.patch("/tasks/1", json={"title": "z", name: value})
        assert_problem(answer, 422, "invalid_input", f"#/{name}")
    me = ada.get("/auth/me").json()
    same = ada.patch("/auth/me", json=me | {"created_at": cut(me["created_at"], digits)})
    assert same.status_code == 200, same.text


@pytest.mark.one_database
def test_a_copy_that_is_older_than_the_task_is_told_so(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    old = ada.task()
    path = f"/tasks/{old['id']}"
    new = ada.put(path, json={"status": "completed"}).json()
    for method in ("PUT", "PATCH"):
        for copy in (old, old | {"title": "mine", "user_id": bob.id}, {"updated_at": old["updated_at"]}):
            problem = assert_problem(ada.call(method, path, json=copy), 409, "stale_copy")
            assert "get it again, or leave the read-only fields out" in problem["detail"]
    assert ada.get(path).json() == new
    without = {name: old[name] for name in ("title", "status", "tags", "due_at")}
    assert ada.put(path, json=without).json()["status"] == "pending"
    # A time in the future is a wrong value, not a stale copy.
    future = {"title": "x", "updated_at": "9999-01-01T00:00:00Z"}
    assert_problem(ada.put(path, json=future), 422, "invalid_input", "#/updated_at")


def test_a_change_that_changes_nothing_writes_nothing(api: Api) -> None:
    ada = api.person()
    task = ada.task(tags=["a"])
    path = f"/tasks/{task['id']}"
    tag = ada.get(path).headers["etag"]
    answer = ada.put(path, json={"title": task["title"], "tags": ["a"], "status": "pending"})
    assert (answer.json(), answer.headers["etag"]) == (task, tag)
    assert ada.put(path, json={}).json() == task
    assert [kind for kind, _ in history(ada, task["id"])] == ["created"]


@pytest.mark.one_database
def test_a_stranger_gets_404_everywhere_but_assign(api: Api) -> None:
    task = api.person().task()
    bob, admin = api.person("bob"), api.person("root", admin=True)
    path = f"/tasks/{task['id']}"
    for answer in (
        bob.get(path),
        bob.get(f"{path}/history"),
        bob.put(path, json={"title": "x"}),
        bob.patch(path, json={"title": "x"}),
        bob.delete(path),
    ):
        assert assert_problem(answer, 404, "task_not_found")["detail"] == "Task not found"
    answer = bob.put(f"{path}/assign?assigned_user_id={bob.id}")
    assert assert_problem(answer, 403)["detail"] == "Cannot assign this task"
    assert admin.get(path).json() == task
    assert len(admin.get(f"{path}/history").json()) == 1
    assert admin.put(path, json={"title": "by root"}).json()["title"] == "by root"
    assert admin.put(f"{path}/assign?assigned_user_id={admin.id}").status_code == 200
    assert admin.delete(path).json() == {"message": "Task deleted successfully"}
    assert_problem(admin.get(path), 404)


def test_assigning(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    task = ada.task()
    path = f"/tasks/{task['id']}/assign?assigned_user_id="
    for wrong in (0, 12345):
        assert assert_problem(ada.put(f"{path}{wrong}"), 404)["detail"] == "User not found"
    database.write(lambda db: db.execute(text("UPDATE users SET is_active = false WHERE username = 'bob'")))
    assert assert_problem(ada.put(f"{path}{bob.id}"), 404)["detail"] == "User not found"
    database.write(lambda db: db.execute(text("UPDATE users SET is_active = true WHERE username = 'bob'")))
    answer = ada.put("/tasks/777/assign?assigned_user_id=1")
    assert assert_problem(answer, 404)["detail"] == "Task not found"
    assert ada.put(f"{path}{bob.id}").json() == {"message": "Task assigned successfully"}
    assert_problem(ada.get(f"/tasks/{task['id']}"), 404)
    assigned = bob.get(f"/tasks/{task['id']}").json()
    assert assigned == task | {"user_id": bob.id, "updated_at": assigned["updated_at"]}
    assert history(bob, task["id"])[-1] == ("assigned", {"user_id": {"from": ada.id, "to": bob.id}})
    assert assert_problem(ada.put(f"{path}{bob.id}"), 403)["detail"] == "Cannot assign this task"


# -- preconditions ---------------------------------------------------------------------------------


@pytest.mark.one_database
def test_a_task_carries_an_entity_tag_that_changes_with_it(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    created = ada.post("/tasks", json={"title": "x"})
    path = f"/tasks/{created.json()['id']}"
    tags = [created.headers["etag"]]
    assert ada.get(path).headers["etag"] == tags[0]
    for change in ({"title": "y"}, {"status": "completed"}, {"status": "pending"}, {"tags": ["z"]}):
        tags.append(ada.put(path, json=change).headers["etag"])
        assert ada.get(path).headers["etag"] == tags[-1]
    ada.put(f"{path}/assign?assigned_user_id={bob.id}")
    tags.append(bob.get(path).headers["etag"])
    assert len(set(tags)) == len(tags)


@pytest.mark.one_database
def test_if_none_match_gives_304(api: Api) -> None:
    ada = api.person()
    path = f"/tasks/{ada.task()['id']}"
    tag = ada.get(path).headers["etag"]
    for value in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = ada.get(path, headers={"If-None-Match": value})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert answer.headers["x-request-id"]
    assert ada.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    ada.put(path, json={"title": "y"})
    assert ada.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.one_database
def test_if_match_gives_412_when_somebody_else_was_first(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    path = f"/tasks/{ada.task()['id']}"
    old = ada.get(path).headers["etag"]
    new = ada.put(path, json={"title": "first"}, headers={"If-Match": old}).headers["etag"]
    for answer in (
        ada.put(path, json={"title": "second"}, headers={"If-Match": old}),
        ada.patch(path, json={"title": "second"}, headers={"If-Match": f'{old}, "other"'}),
        ada.delete(path, headers={"If-Match": old}),
        ada.put(f"{path}/assign?assigned_user_id={bob.id}", headers={"If-Match": old}),
        ada.put(path, json={"title": "second"}, headers={"If-Match": f"W/{old}"}),
    ):
        assert_problem(answer, 412, "precondition_failed")
    assert ada.get(path).json()["title"] == "first"
    assert [kind for kind, _ in history(ada, 1)] == ["created", "updated"]
    assert ada.patch(path, json={"priority": 1}, headers={"If-Match": f'"other", {new}'}).status_code == 200
    assert ada.delete(path, headers={"If-Match": "*"}).status_code == 200
    assert_problem(ada.delete(path, headers={"If-Match": "*"}), 404)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "sent",
    ["W/{}", '"{}-gzip"', 'W/"{}-gzip"', '"{}-br"', '"{}-zstd"', '"{};gzip"', '"a,b" ,, W/"{}-br",""', "*"],
)
def test_what_proxies_that_compress_make_of_a_tag_still_names_the_version(api: Api, sent: str) -> None:
    ada, bob = api.person(), api.person("bob")
    path = f"/tasks/{ada.task()['id']}"

    def seen() -> str:
        tag = ada.get(path).headers["etag"]
        return sent.format(tag if sent == "W/{}" else tag.strip('"'))

    assert ada.get(path, headers={"If-None-Match": seen()}).status_code == 304
    old = seen()
    assert ada.put(path, json={"title": "first"}, headers={"If-Match": old}).status_code == 200
    if sent != "*":
        assert ada.get(path, headers={"If-None-Match": old}).status_code == 200
        for answer in (
            ada.patch(path, json={"title": "second"}, headers={"If-Match": old}),
            ada.put(f"{path}/assign?assigned_user_id={bob.id}", headers={"If-Match": old}),
            ada.delete(path, headers={"If-Match": old}),
        ):
            assert_problem(answer, 412, "precondition_failed")
    assert ada.patch(path, json={"priority": 1}, headers={"If-Match": seen()}).status_code == 200
    answer = ada.put(f"{path}/assign?assigned_user_id={ada.id}", headers={"If-Match": seen()})
    assert answer.status_code == 200
    assert ada.delete(path, headers={"If-Match": seen()}).status_code == 200


# -- history ---------------------------------------------------------------------------------------


def test_every_path_that_changes_a_task_is_in_its_history(api: Api) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    task = ada.task("a", tags=["x"])
    path = f"/tasks/{task['id']}"
    ada.put(path, json={"title": "b", "status": "in_progress"})
    ada.patch(path, json={"priority": 2})
    admin.put(path, json={"status": "completed"})
    ada.put(f"{path}/assign?assigned_user_id={bob.id}")
    rows = bob.get(f"{path}/history").json()
    assert [(row["kind"], row["actor_id"], row["task_id"]) for row in rows] == [
        ("created", ada.id, task["id"]),
        ("status_changed", ada.id, task["id"]),
        ("updated", ada.id, task["id"]),
        ("updated", ada.id, task["id"]),
        ("status_changed", admin.id, task["id"]),
        ("assigned", ada.id, task["id"]),
    ]
    changes = [row["changes"] for row in rows]
    assert changes[0]["title"] == {"from": None, "to": "a"}
    assert changes[0]["tags"] == {"from": None, "to": ["x"]}
    assert changes[0]["user_id"] == {"from": None, "to": ada.id}
    assert changes[1:4] == [
        {"status": {"from": "pending", "to": "in_progress"}},
        {"title": {"from": "a", "to": "b"}},
        {"priority": {"from": 0, "to": 2}},
    ]
    completed_at = bob.get(path).json()["completed_at"]
    assert changes[4] == {
        "status": {"from": "in_progress", "to": "completed"},
        "completed_at": {"from": None, "to": completed_at},
    }
    assert changes[5] == {"user_id": {"from": ada.id, "to": bob.id}}
    times = [row["created_at"] for row in rows]
    assert times == sorted(times)
    bob.delete(path)
    sql = text("SELECT kind, actor_id FROM task_history WHERE task_id = :id ORDER BY id DESC")
    last = database.read(lambda db: db.execute(sql, {"id": task["id"]}).first())
    assert last is not None
    assert tuple(last) == ("deleted", bob.id)


def test_an_id_is_never_given_out_again(api: Api) -> None:
    ada = api.person()
    first = ada.task()["id"]
    ada.delete(f"/tasks/{first}")
    assert ada.task()["id"] > first


def test_a_replay_of_the_history_gives_the_task(api: Api) -> None:
    ada = api.person()
    imported = [{"title": "i", "status": "completed", "created_at": "2020-01-01T00:00:00Z", "priority": 1}]
    assert ada.post("/tasks/import", json=imported).status_code == 201
    ada.task("c", description="d", due_at="2030-01-01T00:00:00Z")
    statuses = itertools.cycle(["completed", "pending", "in_progress"])
    for task in ada.get("/tasks").json():
        for number in range(7):
            ada.put(f"/tasks/{task['id']}", json={"status": next(statuses), "title": str(number % 3)})
    for task in ada.get("/tasks").json():
        replayed: dict[str, Any] = {}
        for _, changes in history(ada, task["id"]):
            for name, change in changes.items():
                assert replayed.get(name) == change["from"]
                replayed[name] = change["to"]
        assert replayed == {name: task[name] for name in replayed}
        # The state of a private task is its status.
        assert all(task[name] == replayed.get(name) for name in fields.IN_HISTORY if name != "state")


def test_when_the_history_can_not_be_written_neither_is_the_change(api: Api) -> None:
    ada = api.person()
    task = ada.task()

    def refuse(db: Any) -> None:
        db.execute(text("ALTER TABLE task_history RENAME TO task_history_away"))

    database.write(refuse)
    for answer in (
        ada.post("/tasks", json={"title": "x"}),
        ada.put("/tasks/1", json={"title": "x"}),
        ada.put("/tasks/1", json={"status": "completed"}),
        ada.delete("/tasks/1"),
        ada.post("/tasks/import", json=[{"title": "x"}]),
    ):
        assert_problem(answer, 500)
    assert ada.get("/tasks").json() == [task]
    database.write(lambda db: db.execute(text("ALTER TABLE task_history_away RENAME TO task_history")))
    assert ada.put("/tasks/1", json={"title": "y"}).status_code == 200
    with pytest.raises(SQLAlchemyError):
        database.write(lambda db: db.execute(text("INSERT INTO task_history (kind) VALUES ('made up')")))


def test_a_task_from_the_future_is_completed_and_told_now(api: Api) -> None:
    ada = api.person()
    future = "9999-12-31T00:00:00Z"
    ada.post(
        "/tasks/import", json=[{"title": "x", "created_at": "2020-01-01T00:00:00Z", "updated_at": future}]
    )
    done = ada.put("/tasks/1", json={"status": "completed"}).json()
    assert done["updated_at"] == future
    assert done["completed_at"] < future
    assert ada.get("/tasks/1/history").json()[-1]["created_at"] == done["completed_at"]
    due = text("SELECT count(*) FROM notifications WHERE next_attempt_at >= :then")
    then = datetime(9000, 1, 1, tzinfo=UTC)
    statement = due.bindparams(bindparam("then", then, type_=UtcDateTime))
    assert database.read(lambda db: db.execute(statement).scalar()) == 0


@pytest.mark.one_database
def test_no_way_of_completing_a_task_completes_it_before_it_was_made(api: Api) -> None:
    # The task came from a machine whose clock was fast. A negative duration would spoil every figure.
    ada = api.person()
    made = "9999-12-30T00:00:00Z"
    imported = [{"title": "x", "created_at": made} for _ in range(4)]
    assert ada.post("/tasks/import", json=imported).status_code == 201
    done = {"status": "completed"}
    ada.put("/tasks/1", json=done)
    ada.patch("/tasks/2", json=done)
    ada.post("/tasks/batch", json={"operations": [{"op": "update", "id": 3, "task": done}]})
    ada.patch("/tasks", params={"filter": "status = pending", "expected": 1}, json=done)
    assert [(task["status"], task["completed_at"]) for task in ada.get("/tasks").json()] == [
        ("completed", made)
    ] * 4
    completions = [
        change for task in range(1, 5) for _, change in history(ada, task) if "completed_at" in change
    ]
    assert [change["completed_at"] for change in completions] == [{"from": None, "to": made}] * 4


def history_pages(person: Person, task_id: int, query: str) -> list[list[Any]]:
    """The pages of a history, each by the `Link` of the page before."""
    pages, address = [], f"/tasks/{task_id}/history?{query}"
    while address:
        answer = person.get(address)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        address = answer.links.get("next", {}).get("url", "")
    return pages


@pytest.mark.one_database
def test_a_history_comes_in_pages_oldest_first(api: Api) -> None:
    ada = api.person()
    task = ada.task("0")
    for number in range(1, 120):
        ada.patch(f"/tasks/{task['id']}", json={"title": str(number)})
    whole = [change for page in history_pages(ada, task["id"], "limit=500") for change in page]
    titles = [change["changes"]["title"]["to"] for change in whole]
    assert titles == [str(number) for number in range(120)]
    for query, sizes in (
        ("", [100, 20]),
        ("limit=50", [50, 50, 20]),
        ("limit=60", [60, 60]),
        ("limit=119", [119, 1]),
    ):
        pages = history_pages(ada, task["id"], query)
        assert [len(page) for page in pages] == sizes
        assert [change for page in pages for change in page] == whole
        pages = history_pages(ada, task["id"], f"{query}&sort_order=desc")
        assert [len(page) for page in pages] == sizes
        assert [change for page in pages for change in page] == whole[::-1]
    assert ada.get(f"/tasks/{task['id']}/history?skip=100").json() == whole[100:]
    assert_problem(ada.get(f"/tasks/{task['id']}/history?limit=501"), 422, None, "?limit")
    assert_problem(ada.get(f"/tasks/{task['id']}/history?cursor=x"), 422, None, "?cursor")
    assert ada.get(f"/tasks/{task['id']}/history", headers={"X-Forwarded-For": "x"}).status_code == 200


@pytest.mark.one_database
def test_a_page_of_a_history_with_long_texts_ends_early(api: Api) -> None:
    ada = api.person()
    task = ada.task("Long", description="0" * 60_000)
    for number in range(1, 30):
        ada.patch(f"/tasks/{task['id']}", json={"description": str(number % 10) * 60_000})
    for order in ("asc", "desc"):
        pages = history_pages(ada, task["id"], f"limit=500&sort_order={order}")
        assert sum(len(page) for page in pages) == 30
        assert len(pages) > 2
        assert all(len(json.dumps(page)) < 1_500_000 for page in pages)
        assert len({change["id"] for page in pages for change in page}) == 30
