"""Views: saved filters, in lists and figures, with their rights."""

import pytest

from tests.support.api import Api, Person, assert_problem


@pytest.fixture
def ada(api: Api) -> Person:
    person = api.person("ada")
    person.task("b", tags=["urgent"], priority=1)
    person.task("a", tags=["urgent"], priority=2, due_at="2026-11-26T10:00:00Z")
    person.task("c", priority=3)
    return person


def save(person: Person, **values: object) -> int:
    answer = person.post("/views", json={"name": "a view", **values})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/views/{answer.json()['id']}"
    return int(answer.json()["id"])


def titles(person: Person, path: str, **params: object) -> list[str]:
    # An empty mapping of parameters would replace those in the path too.
    answer = person.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


def test_a_view_is_saved_read_changed_and_deleted(ada: Person) -> None:
    made = ada.post("/views", json={"name": "  Ärger ", "filter": "tag = urgent"})
    view = made.json()
    assert (view["name"], view["filter"], view["problem"]) == ("Ärger", "tag = urgent", None)
    assert (view["project_id"], view["created_by"], view["sort_by"]) == (None, ada.id, None)
    path = f"/views/{view['id']}"
    assert ada.get(path).json() == view
    assert ada.get("/views").json() == [view]
    # A view can be read, edited and sent back. A change without effect is not written.
    assert ada.patch(path, json=view).json() == view
    new = {"sort_by": "title", "sort_order": "asc", "name": None, "filter": "id > 0"}
    changed = ada.patch(path, json=new).json()
    assert {name: changed[name] for name in new} == {**new, "name": "Ärger"}
    assert changed["updated_at"] > view["updated_at"] == view["created_at"]
    assert_problem(ada.patch(path, json={"id": view["id"] + 1}), 422, pointer="#/id")
    problem = assert_problem(ada.patch(path, json={"filter": "id >"}), 422, "invalid_filter", "#/filter")
    assert problem["errors"][0]["position"] == 4
    for name in ("", " ", "x" * 101):
        assert_problem(ada.post("/views", json={"name": name, "filter": "id > 0"}), 422, pointer="#/name")
    assert ada.delete(path).status_code == 204
    for answer in (ada.get(path), ada.delete(path), ada.get("/tasks", params={"view": view["id"]})):
        assert_problem(answer, 404, "view_not_found")


def test_a_view_holds_beside_the_other_filters_and_gives_the_order(ada: Person) -> None:
    view = save(ada, filter="tag = urgent", sort_by="title", sort_order="asc")
    assert titles(ada, "/tasks", view=view) == ["a", "b"]
    assert titles(ada, "/tasks", view=view, sort_order="desc") == ["b", "a"]
    assert titles(ada, "/tasks", view=view, sort_by="priority") == ["a", "b"]
    assert titles(ada, "/tasks", view=view, filter="priority = 1") == ["b"]
    assert titles(ada, "/tasks", view=view, due_after="2026-11-26") == ["a"]
    assert titles(ada, "/tasks/search", view=view, query="B") == ["b"]
    first = ada.get("/tasks", params={"view": view, "limit": 1})
    following = ada.get(first.headers["link"].partition(">")[0].removeprefix("<"))
    assert [task["title"] for task in first.json() + following.json()] == ["a", "b"]
    assert ada.get("/analytics/throughput", params={"view": view}).json()["n_created"] == 2
    link = ada.get("/analytics/throughput", params={"view": view}).json()["links"]["created"]
    assert [task["title"] for task in ada.get(link).json()] == ["a", "b"]


@pytest.mark.one_database
def test_views_and_filters_share_the_limits_of_texts(ada: Person) -> None:
    view = save(ada, filter="description ~ a or description ~ b")
    assert titles(ada, "/tasks", view=view, filter="description ~ c") == []
    both = ada.get(
        "/tasks", params={"view": view, "filter": "id > 0 and description ~ c or description !~ d"}
    )
    assert "with the view" in assert_problem(both, 422, "invalid_filter", "?filter")["detail"]


@pytest.mark.one_database
def test_times_of_a_view_that_leave_the_calendar_are_said_of_the_view(ada: Person) -> None:
    view = save(ada, filter="due < now+9999y")
    assert_problem(ada.get("/tasks", params={"view": view}), 422, "invalid_filter", "?view")


def test_me_in_a_view_is_whoever_asks(api: Api, ada: Person) -> None:
    root = api.person("root", admin=True)
    view = save(root, filter="owner = @me or owner = ada")
    assert sorted(titles(root, "/tasks/all", view=view)) == ["a", "b", "c"]
    assert titles(root, "/tasks", view=view) == []
    # Nobody else sees a private view.
    for person in (ada, api.person("bob")):
        assert_problem(person.get("/tasks", params={"view": view}), 404, "view_not_found")
        assert person.get("/views").json() == []


def test_an_account_takes_its_views_along(api: Api, ada: Person) -> None:
    root = api.person("root", admin=True)
    view = save(ada, filter="id > 0")
    assert root.delete(f"/users/{ada.id}", params={"transfer_to": root.id}).status_code == 200
    assert_problem(root.get(f"/views/{view}"), 404, "view_not_found")


@pytest.mark.one_database
def test_an_admin_finds_the_views_it_made_for_projects_of_others(api: Api, ada: Person) -> None:
    root, boss = api.person("root", admin=True), api.person("boss", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    view = save(root, filter="id > 0", project_id=project)
    assert [each["id"] for each in root.get("/views").json()] == [view]
    assert boss.get("/views").json() == []
    # The view stays with the project, and only its members find it then.
    assert boss.patch(f"/users/{root.id}", json={"role": "member"}).is_success
    assert root.get("/views").json() == []
    assert [each["id"] for each in ada.get("/views").json()] == [view]


@pytest.mark.one_database
def test_a_view_of_a_project_is_found_by_its_members(api: Api, ada: Person) -> None:
    bob, eve, root = api.person("bob"), api.person("eve"), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.task("shared", project_id=project)
    members = f"/projects/{project}/members/{bob.id}"
    ada.put(members, json={"role": "member"})
    view = save(bob, filter="id > 0", project_id=project)
    path = f"/views/{view}"
    for person in (ada, bob, root):
        assert person.get(path).json()["project_id"] == project
        # The list of the view is that of the project, not the caller's own.
        assert titles(person, "/tasks", view=view) == ["shared"]
        figures = person.get("/analytics/throughput", params={"view": view}).json()
        assert figures["n_created"] == 1
        assert titles(person, figures["links"]["created"]) == ["shared"]
    assert [each["id"] for each in ada.get("/views").json()] == [view]
    assert [each["id"] for each in ada.get("/views", params={"project_id": project}).json()] == [view]
    assert titles(ada, "/tasks", view=view, project_id=project) == ["shared"]
    other = ada.post("/projects", json={"name": "Other"}).json()["id"]
    assert titles(ada, "/tasks", view=view, project_id=other) == []
    assert_problem(eve.get(path), 404, "view_not_found")
    assert_problem(eve.get("/views", params={"project_id": project}), 404, "project_not_found")
    body = {"name": "mine", "filter": "id > 0", "project_id": project}
    assert_problem(eve.post("/views", json=body), 404, "project_not_found")
    # The maker of a view and the managers may change it.
    assert bob.patch(path, json={"name": "by its maker"}).status_code == 200
    assert ada.patch(path, json={"name": "by a manager"}).status_code == 200
    ada.put(members, json={"role": "viewer"})
    assert_problem(bob.patch(path, json={"name": "by a viewer"}), 403, "project_role")
    assert_problem(bob.post("/views", json=body), 403, "project_role")
    assert titles(bob, "/tasks", view=view) == ["shared"]
    assert ada.delete(members).status_code == 204
    assert_problem(bob.get("/tasks", params={"view": view}), 404, "view_not_found")
    assert titles(ada, "/tasks", view=view) == ["shared"]


def test_nothing_shows_more_when_a_project_or_an_account_goes(api: Api, ada: Person) -> None:
    bob, root = api.person("bob"), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    ada.task("shared", project_id=project, due_at="2026-11-26T10:00:00Z")
    view = save(bob, filter="id > 0", project_id=project)
    calendar = bob.post("/calendars", json={"view_id": view}).json()["url"].removeprefix("http://testserver")
    assert b"SUMMARY:shared" in bob.client.get(calendar).content
    ada.delete(f"/projects/{project}/members/{bob.id}")
    assert_problem(bob.client.get(calendar), 404, "calendar_not_found")
    root.delete(f"/users/{bob.id}", params={"delete_tasks": "true"})
    kept = ada.get(f"/views/{view}").json()
    assert (kept["created_by"], kept["project_id"]) == (None, project)
    assert ada.delete(f"/projects/{project}", params={"tasks": "release"}).status_code == 204
    assert_problem(ada.get("/tasks", params={"view": view}), 404, "view_not_found")
    assert ada.get("/views").json() == []


@pytest.mark.one_database
def test_a_view_moves_into_a_project_and_out_again(api: Api, ada: Person) -> None:
    bob = api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "manager"})
    view = save(ada, filter="id > 0")
    assert ada.patch(f"/views/{view}", json={"project_id": project}).json()["project_id"] == project
    assert bob.get(f"/views/{view}").status_code == 200
    assert_problem(bob.patch(f"/views/{view}", json={"project_id": None}), 403, "not_maker")
    assert ada.patch(f"/views/{view}", json={"project_id": None}).json()["project_id"] is None
    assert_problem(bob.get(f"/views/{view}"), 404, "view_not_found")


@pytest.mark.one_database
def test_a_view_that_names_a_state_which_is_gone_says_so_and_finds_nothing(api: Api, ada: Person) -> None:
    three = [
        {"key": "todo", "name": "To do", "status": "pending"},
        {"key": "review", "name": "Review", "status": "in_progress"},
        {"key": "done", "name": "Done", "status": "completed"},
    ]
    project = ada.post("/projects", json={"name": "Research", "states": three}).json()["id"]
    view = save(ada, filter="not state = review", project_id=project)
    ada.task("shared", project_id=project)
    assert titles(ada, "/tasks", view=view) == ["shared"]
    three[1] = {"key": "doing", "name": "Doing", "status": "in_progress"}
    assert ada.patch(f"/projects/{project}", json={"states": three}).status_code == 200
    asked = ada.get("/tasks", params={"view": view})
    problem = assert_problem(asked, 422, "invalid_filter", "?view")
    assert "met `review`; the project's states are todo, doing or done" in problem["detail"]
    assert ada.get(f"/views/{view}").json()["problem"].startswith("Position 12: met `review`")
    body = {"name": "x", "filter": "state in (todo, review)", "project_id": project}
    refused = assert_problem(ada.post("/views", json=body), 422, "invalid_filter", "#/filter")
    assert refused["errors"][0]["position"] == 16
    # Other values than states need not be states, and texts that a state contains need not be whole.
    body["filter"] = "tag = review or state ~ revi"
    assert ada.post("/views", json=body).json()["problem"] is None
    # Its name and order can be changed, and its filter mended.
    copy = ada.get(f"/views/{view}").json()
    renamed = ada.patch(f"/views/{view}", json=copy | {"name": "No longer", "sort_by": "due_at"})
    assert renamed.status_code == 200, renamed.text
    assert renamed.json() == copy | {
        "name": "No longer", "sort_by": "due_at", "updated_at": renamed.json()["updated_at"]
    }  # fmt: skip
    other = ada.post("/projects", json={"name": "Other"}).json()["id"]
    moved = ada.patch(f"/views/{view}", json={"project_id": other})
    assert_problem(moved, 422, "invalid_filter", "#/filter")
    assert ada.patch(f"/views/{view}", json={"filter": "state = todo"}).json()["problem"] is None
