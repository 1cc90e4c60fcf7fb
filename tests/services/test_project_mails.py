"""Mails about shared projects: their content, and their end with the membership."""

import pytest

from tests.routers.test_projects import add, project
from tests.services.test_delivery import catcher, make_due, rows, send
from tests.support.api import Api
from tests.support.mail import MailCatcher

__all__ = ["catcher"]


@pytest.mark.one_database
def test_members_are_mailed_what_concerns_them(api: Api, catcher: MailCatcher) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob)
    task = bob.task("Measure", project_id=made)["id"]
    ada.post(f"/tasks/{task}/comments", json={"text": "How far?"})
    ada.post(f"/tasks/{task}/comments", json={"text": "@bob?"})
    send()
    assert [mail["subject"] for mail in catcher.mails] == [
        "Added to Project: Research",
        "New Comment: Measure",
        "Mentioned: Measure",
    ]


def test_a_mail_on_its_way_is_dropped_with_the_membership(api: Api, catcher: MailCatcher) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    made = project(ada)["id"]
    add(ada, made, bob)
    send()
    del catcher.mails[:]
    catcher.refusal = "451 Later"
    task = ada.task("Secret", project_id=made)["id"]
    ada.post(f"/tasks/{task}/comments", json={"text": "@bob"})
    private = ada.task("Hers")["id"]
    ada.put(f"/tasks/{private}/assign?assigned_user_id={eve.id}")
    eve.put(f"/tasks/{private}/assign?assigned_user_id={ada.id}")
    send()
    assert {row.user_id for row in rows() if row.state == "mail"} == {ada.id, bob.id, eve.id}
    # Bob leaves, and a task that eve owned for a while goes to a project that she is not in.
    assert bob.delete(f"/projects/{made}/members/{bob.id}").status_code == 204
    assert ada.patch(f"/tasks/{private}", json={"project_id": made}).status_code == 200
    catcher.refusal = None
    make_due()
    send()
    assert {mail["to"] for mail in catcher.mails} == {"ada@example.com"}
    assert all(row.state == "delivered" for row in rows())
