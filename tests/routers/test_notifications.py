"""Notifications over HTTP: reading them, and choosing how they come."""

import pytest

from tests.support.api import Api


def test_unread_come_first_and_then_the_newest(api: Api) -> None:
    ada = api.person()
    for title in ("One", "Two", "Three"):
        ada.task(title)
    two = ada.get("/notifications").json()[1]
    assert two["task_title"] == "Two"
    assert two["read_at"] is None
    read = ada.post(f"/notifications/{two['id']}/read").json()
    assert read["read_at"] is not None
    assert ada.post(f"/notifications/{two['id']}/read").json() == read
    assert [each["task_title"] for each in ada.get("/notifications").json()] == ["Three", "One", "Two"]
    unread = ada.get("/notifications", params={"unread": True}).json()
    assert [each["task_title"] for each in unread] == ["Three", "One"]


def test_pages_neither_repeat_nor_skip_what_is_read_in_between(api: Api) -> None:
    ada = api.person()
    for number in range(7):
        ada.task(f"Task {number}")
    for each in ada.get("/notifications").json()[5:]:
        ada.post(f"/notifications/{each['id']}/read")
    seen: list[str] = []
    address = "/notifications?limit=2"
    while address:
        answer = ada.get(address)
        for each in answer.json():
            seen.append(each["task_title"])
            ada.post(f"/notifications/{each['id']}/read")
        ada.task("Another")
        address = answer.links.get("next", {}).get("url", "")
    assert seen == [f"Task {number}" for number in (6, 5, 4, 3, 2, 1, 0)]


def test_notifications_can_be_skipped_as_in_any_list(api: Api) -> None:
    ada = api.person()
    for number in range(7):
        ada.task(f"Task {number}")
    for each in ada.get("/notifications").json()[2:4]:
        ada.post(f"/notifications/{each['id']}/read")
    everything = ada.get("/notifications").json()
    for skip in range(8):
        answer = ada.get(f"/notifications?limit=2&skip={skip}")
        seen = answer.json()
        while "next" in answer.links:
            answer = ada.get(answer.links["next"]["url"])
            seen += answer.json()
        assert seen == everything[skip:]
    unread = ada.get("/notifications?unread=true&limit=9&skip=3").json()
    assert unread == [each for each in everything if each["read_at"] is None][3:]
    assert ada.get("/notifications", params={"skip": 2**63 - 1}).json() == []
    cursor = ada.get("/notifications?limit=1").links["next"]["url"]
    assert ada.get(f"{cursor}&skip=1").status_code == 422


def test_all_are_read_at_once(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task()
    ada.task()
    bob.task()
    assert ada.post("/notifications/read-all").json() == {"read": 2}
    assert ada.get("/notifications?unread=true").json() == []
    assert len(bob.get("/notifications?unread=true").json()) == 1


@pytest.mark.one_database
def test_stranger_gets_404_for_my_notification(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task()
    (mine,) = ada.get("/notifications").json()
    assert ada.get(f"/notifications/{mine['id']}").json() == mine
    assert bob.get(f"/notifications/{mine['id']}").status_code == 404
    assert bob.post(f"/notifications/{mine['id']}/read").status_code == 404
    assert bob.get("/notifications").json() == []


@pytest.mark.one_database
def test_preferences_begin_as_usual_and_change_one_by_one(api: Api) -> None:
    ada = api.person()
    usual = ada.get("/notifications/preferences").json()
    assert (
        usual.items()
        >= {
            "created": "never",
            "completed": "at_once",
            "assigned": "at_once",
            "due_soon": "at_once",
            "overdue": "at_once",
            "added_to_project": "at_once",
            "mentioned": "at_once",
            "commented": "at_once",
        }.items()
    )
    changed = ada.put("/notifications/preferences", json={"assigned": "daily", "overdue": "never"})
    assert changed.json() == usual | {"assigned": "daily", "overdue": "never"}
    assert ada.put("/notifications/preferences", json={"assigned": None}).json() == usual | {
        "overdue": "never"
    }
    assert ada.put("/notifications/preferences", json={"assigned": "hourly"}).status_code == 422
    assert ada.put("/notifications/preferences", json={"deleted": "never"}).status_code == 422
    assert api.person("bob").get("/notifications/preferences").json() == usual


def test_cursor_of_another_list_is_refused(api: Api) -> None:
    ada = api.person()
    for cursor in ("x", "WzFd", "WzkyMjMzNzIwMzY4NTQ3NzU4MDcsMCwxXQ"):
        assert ada.get("/notifications", params={"cursor": cursor}).status_code == 422
