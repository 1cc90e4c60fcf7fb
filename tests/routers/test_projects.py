"""Projects that people share: their settings, members and workflow."""

from typing import Any

import pytest

from services.paging import encode_cursor
from tests.support.api import Api, Person, assert_problem

STATES: list[dict[str, Any]] = [
    {"key": "todo", "name": "To do", "status": "pending"},
    {"key": "doing", "name": "Doing", "status": "in_progress", "wip_limit": 2, "wip_policy": "block"},
    {"key": "review", "name": "In review", "status": "in_progress", "waiting": True},
    {"key": "done", "name": "Done", "status": "completed"},
]


def project(person: Person, name: str = "Research", **fields: Any) -> Any:
    """Make a project, and return it."""
    answer = person.post("/projects", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def add(manager: Person, project_id: int, person: Person, role: str = "member") -> None:
    """Add somebody to a project."""
    answer = manager.put(f"/projects/{project_id}/members/{person.id}", json={"role": role})
    assert answer.status_code == 200, answer.text


def history(person: Person, task_id: int) -> list[tuple[str, dict[str, Any]]]:
    """The kind of each change of a task, and the changed values."""
    return [(row["kind"], row["changes"]) for row in person.get(f"/tasks/{task_id}/history").json()]


def test_a_project_begins_with_its_maker_as_manager_and_three_states(api: Api) -> None:
    ada = api.person()
    answer = ada.post("/projects", json={"name": " Research ", "description": "What we find out"})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/projects/{made['id']}"
    assert made | {"created_at": 0, "updated_at": 0} == {
        "id": 1,
        "name": "Research",
        "description": "What we find out",
        "states": [
            {
                "key": key,
                "name": name,
                "status": key,
                "wip_limit": None,
                "wip_policy": "warn",
                "waiting": False,
            }
            for key, name in (("pending", "To do"), ("in_progress", "In progress"), ("completed", "Done"))
        ],
        "archived_at": None,
        "created_by": ada.id,
        "created_at": 0,
        "updated_at": 0,
        "role": "manager",
    }
    read = ada.get("/projects/1")
    assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
    assert ada.get("/projects/1", headers={"If-None-Match": read.headers["etag"]}).status_code == 304
    members = ada.get("/projects/1/members").json()
    assert [(each["user_id"], each["username"], each["role"]) for each in members] == [(1, "ada", "manager")]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("states", "pointer"),
    [
        (STATES[:2], "#/states"),
        ([*STATES[:3], {**STATES[3], "key": "todo"}], "#/states"),
        ([STATES[0], STATES[1], STATES[2]], "#/states"),
        ([*STATES[:3], {**STATES[3], "key": "Not ok"}], "#/states/3/key"),
        ([*STATES[:3], {**STATES[3], "wip_limit": 0}], "#/states/3/wip_limit"),
        ([*STATES[:3], {**STATES[3], "wip_limit": 1001}], "#/states/3/wip_limit"),
        ([*STATES[:3], {**STATES[3], "wip_policy": "shout"}], "#/states/3/wip_policy"),
        ([*STATES[:3], {**STATES[3], "name": " "}], "#/states/3/name"),
        ([*STATES, *({**STATES[0], "key": f"k{n}"} for n in range(17))], "#/states"),
    ],
)
def test_a_workflow_has_three_to_twenty_states_of_every_status(api: Api, states: Any, pointer: str) -> None:
    assert_problem(api.person().post("/projects", json={"name": "x", "states": states}), 422, None, pointer)


def test_lists_of_projects_are_the_callers_newest_first(api: Api) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    ids = [project(ada, f"P{number}")["id"] for number in range(3)]
    add(ada, ids[1], bob, "viewer")
    assert [each["id"] for each in ada.get("/projects").json()] == ids[::-1]
    assert [(each["id"], each["role"]) for each in bob.get("/projects").json()] == [(ids[1], "viewer")]
    ada.patch(f"/projects/{ids[1]}", json={"archived": True})
    assert bob.get("/projects").json() == []
    assert [each["id"] for each in bob.get("/projects?archived=true").json()] == [ids[1]]
    assert admin.get("/projects").json() == []
    everybodys = admin.get("/projects?scope=all").json()
    assert [(each["id"], each["role"]) for each in everybodys] == [(ids[2], None), (ids[0], None)]
    assert_problem(bob.get("/projects?scope=all"), 403, "admin_required")
    first = ada.get("/projects?limit=1")
    assert [each["id"] for each in ada.get(first.links["next"]["url"]).json()] == [ids[0]]


def test_a_new_name_is_written_to_the_tasks_without_history(api: Api) -> None:
    ada = api.person()
    made = project(ada)
    task = ada.post("/tasks", json={"title": "x", "project_id": made["id"]})
    private = ada.task(project="Research")
    renamed = ada.patch(f"/projects/{made['id']}", json={**made, "name": "Findings"})
    assert renamed.json()["name"] == "Findings"
    after = ada.get(f"/tasks/{task.json()['id']}")
    assert after.json()["project"] == "Findings"
    assert after.headers["etag"] != task.headers["etag"]
    assert [kind for kind, _ in history(ada, task.json()["id"])] == ["created"]
    path = f"/projects/{made['id']}"
    old = {"If-Match": '"1-1-manager"'}
    assert_problem(ada.patch(path, json={"name": "z"}, headers=old), 412, "precondition_failed")
    assert_problem(ada.patch(path, json={"created_by": 77}), 422, None, "#/created_by")
    assert ada.get(f"/tasks/{private['id']}").json() == private
    for description in ("All of it", None):
        changed = ada.patch(path, json={"description": description, "name": None}).json()
        assert (changed["name"], changed["description"]) == ("Findings", description)
    assert [each["data"]["changes"] for each in ada.get("/events?types=project.updated").json()] == [
        {"name": {"from": "Research", "to": "Findings"}},
        {"description": {"from": None, "to": "All of it"}},
        {"description": {"from": "All of it", "to": None}},
    ]


def test_tasks_of_the_name_are_adopted(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    mine = ada.task("mine", project="Research", status="in_progress")
    other = ada.task("other", project="Elsewhere")
    bobs = bob.task("bobs", project="Research")
    made = project(ada, states=STATES, adopt_tasks=True)
    adopted = ada.get(f"/tasks/{mine['id']}").json()
    assert (adopted["project_id"], adopted["state"], adopted["status"]) == (
        made["id"],
        "doing",
        "in_progress",
    )
    kind, changes = history(ada, mine["id"])[-1]
    assert kind == "moved"
    assert changes["project_id"] == {"from": None, "to": made["id"]}
    assert changes["state"] == {"from": "in_progress", "to": "doing"}
    assert ada.get(f"/tasks/{other['id']}").json() == other
    assert bob.get(f"/tasks/{bobs['id']}").json() == bobs


def test_adopted_tasks_move_in_the_order_in_which_their_statuses_come(api: Api) -> None:
    ada = api.person()
    # The order of a set is that of one of these at most.
    orders = (
        ("pending", "in_progress", "completed"),
        ("completed", "in_progress", "pending"),
        ("in_progress", "completed", "pending"),
    )
    for number, statuses in enumerate(orders):
        made = [ada.task(project=f"Project {number}", status=status)["id"] for status in statuses]
        project_id = project(ada, f"Project {number}", adopt_tasks=True)["id"]
        events = ada.get(f"/events?types=task.moved&project_id={project_id}").json()
        assert [event["data"]["task_id"] for event in events] == made


@pytest.mark.one_database
def test_an_archived_project_can_only_be_read(api: Api) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    made = project(ada)
    add(ada, made["id"], bob)
    add(ada, made["id"], eve, "viewer")
    task = bob.task(project_id=made["id"])
    path = f"/tasks/{task['id']}"
    comment = bob.post(f"{path}/comments", json={"text": "first"}).json()
    own = ada.task(project_id=made["id"])["id"]
    adas = ada.post(f"/tasks/{own}/comments", json={"text": "second"}).json()
    archived = ada.patch(f"/projects/{made['id']}", json={"archived": True}).json()
    assert archived["archived_at"] is not None
    for answer in (
        bob.post("/tasks", json={"title": "x", "project_id": made["id"]}),
        bob.patch(path, json={"title": "x"}),
        bob.delete(path),
        bob.put(f"{path}/assign?assigned_user_id={ada.id}"),
        bob.put(f"{path}/blocked", json={"reason": "x"}),
        bob.post(f"{path}/comments", json={"text": "x"}),
        bob.patch(f"{path}/comments/{comment['id']}", json={"text": "x"}),
        bob.delete(f"{path}/comments/{comment['id']}"),
        bob.patch(path, json={"project_id": None}),
        bob.post(f"/tasks/import?project_id={made['id']}", json=[{"title": "x"}]),
    ):
        assert_problem(answer, 409, "project_archived")
    # The role counts before the archive, for what only some members may do too.
    others = f"/tasks/{own}"
    for answer in (
        eve.patch(path, json={"title": "x"}),
        bob.delete(others),
        bob.patch(others, json={"project_id": None}),
        bob.delete(f"{others}/comments/{adas['id']}"),
    ):
        assert_problem(answer, 403, "project_role")
    assert_problem(bob.patch(f"{others}/comments/{adas['id']}", json={"text": "x"}), 403, "not_author")
    assert_problem(bob.delete(f"{path}/comments/{adas['id']}"), 404, "comment_not_found")
    for read in (path, f"{path}/comments", f"{path}/history", f"/tasks?project_id={made['id']}"):
        assert eve.get(read).status_code == 200
    assert ada.patch(f"/projects/{made['id']}", json={"name": "Old"}).status_code == 200
    add(ada, made["id"], eve, "member")
    assert ada.patch(f"/projects/{made['id']}", json={"archived": False}).json()["archived_at"] is None
    assert bob.patch(path, json={"title": "y"}).status_code == 200


@pytest.mark.parametrize("what", ["delete", "release"])
def test_a_project_goes_with_its_tasks_or_without_them(api: Api, what: str) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada, states=STATES)
    add(ada, made["id"], bob)
    task = bob.task(project_id=made["id"], state="review")
    path = f"/projects/{made['id']}"
    assert_problem(ada.delete(path), 422, None, "?tasks")
    assert_problem(bob.delete(f"{path}?tasks={what}"), 403, "project_role")
    assert ada.delete(f"{path}?tasks={what}").status_code == 204
    assert_problem(ada.get(path), 404, "project_not_found")
    if what == "delete":
        assert_problem(bob.get(f"/tasks/{task['id']}"), 404)
        return
    released = bob.get(f"/tasks/{task['id']}").json()
    assert (released["project_id"], released["project"], released["state"]) == (
        None,
        "Research",
        "in_progress",
    )
    assert history(bob, task["id"])[-1] == (
        "moved",
        {"project_id": {"from": made["id"], "to": None}, "state": {"from": "review", "to": "in_progress"}},
    )
    assert_problem(ada.get(f"/tasks/{task['id']}"), 404)


# -- members ---------------------------------------------------------------------------------------


def test_members_come_change_and_leave(api: Api) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    made = project(ada)
    path = f"/projects/{made['id']}/members"
    assert_problem(ada.put(f"{path}/999", json={"role": "member"}), 404, "user_not_found")
    added = ada.put(f"{path}/{bob.id}", json={"role": "member"}).json()
    assert (added["username"], added["role"]) == ("bob", "member")
    (told,) = bob.get("/notifications").json()
    assert (told["kind"], told["project_id"], told["project_name"]) == (
        "added_to_project",
        made["id"],
        "Research",
    )
    assert_problem(bob.put(f"{path}/{eve.id}", json={"role": "viewer"}), 403, "project_role")
    assert_problem(eve.get(path), 404, "project_not_found")
    assert bob.delete(f"{path}/{bob.id}").status_code == 204
    assert_problem(bob.get(f"/projects/{made['id']}"), 404, "project_not_found")
    assert bob.get("/notifications").json() == []
    assert_problem(ada.delete(f"{path}/{bob.id}"), 404, "user_not_found")


def test_the_last_manager_stays(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)
    path = f"/projects/{made['id']}/members"
    add(ada, made["id"], bob)
    for answer in (
        ada.delete(f"{path}/{ada.id}"),
        ada.put(f"{path}/{ada.id}", json={"role": "member"}),
        ada.put(f"{path}/{ada.id}", json={"role": "viewer"}),
    ):
        assert_problem(answer, 409, "last_manager")
    add(ada, made["id"], bob, "manager")
    assert ada.put(f"{path}/{ada.id}", json={"role": "member"}).json()["role"] == "member"
    assert_problem(ada.delete(f"{path}/{bob.id}"), 403, "project_role")


@pytest.mark.parametrize("leaves", [True, False])
def test_who_owns_tasks_hands_them_to_another_member(api: Api, leaves: bool) -> None:  # noqa: FBT001
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    made = project(ada)
    add(ada, made["id"], bob)
    add(ada, made["id"], eve, "viewer")
    task = bob.task(project_id=made["id"])
    path = f"/projects/{made['id']}/members/{bob.id}"

    def go(query: str = "") -> Any:
        return bob.delete(path + query) if leaves else ada.put(path + query, json={"role": "viewer"})

    assert_problem(go(), 409, "member_has_tasks")
    for wrong in (eve.id, bob.id, 999):
        assert_problem(go(f"?transfer_to={wrong}"), 404, "user_not_found")
    assert go(f"?transfer_to={ada.id}").status_code == (204 if leaves else 200)
    assert ada.get(f"/tasks/{task['id']}").json()["user_id"] == ada.id
    assert history(ada, task["id"])[-1] == ("assigned", {"user_id": {"from": bob.id, "to": ada.id}})
    assert [each["kind"] for each in ada.get("/notifications").json()] == ["assigned"]
    assert bob.get(f"/tasks/{task['id']}").status_code == (404 if leaves else 200)


# -- accounts that go ------------------------------------------------------------------------------


def test_an_account_that_is_switched_off_gives_up_its_tasks_but_not_the_project(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    made, alone = project(ada), project(bob, "Alone")
    add(ada, made["id"], bob)
    task, kept = bob.task(project_id=made["id"]), bob.task(project_id=alone["id"])
    assert_problem(root.patch(f"/users/{ada.id}", json={"is_active": False}), 409, "last_manager")
    assert root.patch(f"/users/{bob.id}", json={"is_active": False}).status_code == 200
    assert ada.get(f"/tasks/{task['id']}").json()["user_id"] == ada.id
    assert root.get(f"/tasks/{kept['id']}").json()["user_id"] == bob.id
    assert_problem(ada.put(f"/tasks/{task['id']}/assign?assigned_user_id={bob.id}"), 404, "user_not_found")


@pytest.mark.one_database
def test_the_manager_who_has_been_there_longest_gets_the_tasks(api: Api) -> None:
    ada, bob, cyd, eve = (api.person(name) for name in ("ada", "bob", "cyd", "eve"))
    root, tasks = api.person("root", admin=True), []
    for eves_role in ("manager", "member"):
        made = project(eve)["id"]
        add(eve, made, ada, "manager")
        add(eve, made, bob)
        add(eve, made, cyd)
        add(ada, made, eve, eves_role)
        tasks.append(cyd.task(project_id=made)["id"])
    # Unless another member is named.
    assert root.patch(f"/users/{cyd.id}?transfer_to={bob.id}", json={"is_active": False}).status_code == 200
    assert [root.get(f"/tasks/{task}").json()["user_id"] for task in tasks] == [bob.id, bob.id]
    assert root.patch(f"/users/{bob.id}", json={"is_active": False}).status_code == 200
    assert [root.get(f"/tasks/{task}").json()["user_id"] for task in tasks] == [eve.id, ada.id]


@pytest.mark.parametrize("heir", [True, False])
def test_an_account_that_is_deleted_leaves_its_tasks_to_a_member(api: Api, heir: bool) -> None:  # noqa: FBT001
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    root = api.person("root", admin=True)
    made, alone = project(ada), project(bob, "Alone")
    add(ada, made["id"], bob)
    add(ada, made["id"], eve)
    task, kept = bob.task(project_id=made["id"]), bob.task(project_id=alone["id"])
    comment = bob.post(f"/tasks/{task['id']}/comments", json={"text": "mine"}).json()
    query = f"transfer_to={eve.id}" if heir else "delete_tasks=true"
    assert_problem(root.delete(f"/users/{ada.id}?{query}"), 409, "last_manager")
    assert root.delete(f"/users/{bob.id}?{query}").status_code == 200
    assert ada.get(f"/tasks/{task['id']}").json()["user_id"] == (eve.id if heir else ada.id)
    left = ada.get(f"/tasks/{task['id']}/comments/{comment['id']}").json()
    assert left == comment | {"author_id": None, "author": None}
    if heir:
        assert eve.get(f"/tasks/{kept['id']}").json()["user_id"] == eve.id
        assert [(each["name"], each["role"]) for each in eve.get("/projects").json()] == [
            ("Alone", "manager"),
            ("Research", "member"),
        ]
    else:
        assert_problem(root.get(f"/projects/{alone['id']}"), 404)
    assert [each["username"] for each in ada.get(f"/projects/{made['id']}/members").json()] == ["eve", "ada"]


def test_members_are_listed_in_pages_with_the_newest_first(api: Api) -> None:
    people = [api.person(name) for name in ("ada", "bob", "cyd", "dan", "eve")]
    ada = people[0]
    path = f"/projects/{ada.post('/projects', json={'name': 'Research'}).json()['id']}/members"
    for number in (4, 1, 3, 2):
        ada.put(f"{path}/{people[number].id}", json={"role": "member"})
    # A changed role does not make a member newer.
    ada.put(f"{path}/{people[1].id}", json={"role": "viewer"})
    names = ["cyd", "dan", "bob", "eve", "ada"]
    assert [each["username"] for each in ada.get(path).json()] == names
    assert [each["username"] for each in ada.get(f"{path}?skip=1&limit=2").json()] == names[1:3]
    address, found = f"{path}?limit=2", []
    while address:
        answer = ada.get(address)
        found += [each["username"] for each in answer.json()]
        address = answer.headers.get("link", "").partition(">")[0].removeprefix("<http://testserver")
    assert found == names
    for cursor in ("x", encode_cursor(1), encode_cursor(10**18, 1)):
        assert_problem(ada.get(path, params={"cursor": cursor}), 422, "invalid_input", "?cursor")


@pytest.mark.one_database
def test_members_and_comments_are_sent_back_as_they_were_read(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()
    path = f"/projects/{project['id']}/members/{bob.id}"
    named = {"user_id": bob.id, "username": "bob", "role": "member"}
    assert_problem(ada.put(path, json=named | {"username": "eve"}), 422, "invalid_input", "#/username")
    old = named | {"added_at": "2026-01-01T00:00:00Z"}
    assert_problem(ada.put(path, json=old), 422, "invalid_input", "#/added_at")
    member = ada.put(path, json=named).json()
    assert ada.put(path, json=member | {"role": "manager"}).json() == member | {"role": "manager"}
    assert_problem(ada.put(path, json=member | {"user_id": 9}), 422, "invalid_input", "#/user_id")

    task = ada.task(project_id=project["id"])
    comment = bob.post(f"/tasks/{task['id']}/comments", json={"text": "First"}).json()
    path = f"/tasks/{task['id']}/comments/{comment['id']}"
    changed = bob.patch(path, json=comment | {"text": "Second"}).json()
    assert changed == comment | {"text": "Second", "edited_at": changed["edited_at"]}
    assert bob.patch(path, json=changed).json() == changed
    # The copy is from before the change.
    assert_problem(bob.patch(path, json=comment), 409, "stale_copy")
    assert_problem(bob.patch(path, json=changed | {"author": "ada"}), 422, "invalid_input", "#/author")
    assert_problem(ada.patch(path, json=changed | {"author": "ada"}), 403, "not_author")


def test_what_a_deleted_account_changes_has_another_tag(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    path = f"/projects/{project(ada)['id']}"
    hook = {"url": "http://93.184.215.14/", "types": ["*"], "project_id": 1, "enabled": False}
    hooks = [ada.post("/webhooks", json=hook).headers["location"] for _ in range(2)]
    ada.put(f"{path}/members/{bob.id}", json={"role": "manager"})
    paths = [path, *hooks]

    def newer(old: list[Any]) -> list[Any]:
        # A client asks whether what it has is still right.
        again = [
            bob.get(each, headers={"If-None-Match": was.headers["etag"]})
            for each, was in zip(paths, old, strict=True)
        ]
        return [answer.json() for answer in again if answer.status_code != 304]

    old = [bob.get(each) for each in paths]
    assert newer(old) == []
    ada.put(f"{path}/members/{ada.id}", json={"role": "member"})
    assert [each["user_id"] for each in newer(old)] == [bob.id, bob.id]
    assert_problem(bob.patch(hooks[0], json=old[1].json()), 409, "stale_copy")
    old = [bob.get(each) for each in paths]
    assert root.delete(f"/users/{ada.id}?delete_tasks=true").status_code == 200
    assert [each["created_by"] for each in newer(old)] == [None]
    assert_problem(bob.patch(path, json=old[0].json()), 409, "stale_copy")
