"""The operator's commands that concern accounts."""

import pytest
from fastapi.testclient import TestClient

import manage
from config import settings
from database import database
from services.accounts import account as account_service
from tests.support.api import Api


def test_an_operator_prints_a_link_that_resets_a_password(
    client: TestClient, api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api.person()
    monkeypatch.setattr(settings, "public_url", "https://tasks.example.com")
    for name in ("ADA", "ada@example.com"):
        assert manage.main(["reset-link", name]) == 0
    first, second = capsys.readouterr().out.splitlines()[-2:]
    page, _, token = second.partition("#token=")
    assert page == "https://tasks.example.com/reset-password"
    body = {"token": token, "new_password": "another long battery"}
    assert client.post("/auth/password/reset", json=body).status_code == 200
    assert api.log_in("ada", "another long battery")
    body["token"] = first.partition("#token=")[2]
    assert client.post("/auth/password/reset", json=body).status_code == 400


def test_a_printed_link_confirms_no_address(client: TestClient, api: Api) -> None:
    """Nobody has shown that they read the mail of that address."""
    root = api.person("root", admin=True)
    ada = api.person()
    link = database.write(lambda db: account_service.link_for_operator(db, "ada"))
    body = {"token": link.partition("#token=")[2], "new_password": "another long battery"}
    assert client.post("/auth/password/reset", json=body).status_code == 200
    assert root.get(f"/users/{ada.id}").json()["email_verified_at"] is None


@pytest.mark.one_database
def test_no_link_is_printed_that_would_not_work(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    root, ada = api.person("root", admin=True), api.person()
    assert root.patch(f"/users/{ada.id}", json={"is_active": False}).status_code == 200
    assert manage.main(["reset-link", "ADA"]) == 1
    assert capsys.readouterr().err == "ada is not active: no link would work\n"


def test_an_operator_is_told_that_there_is_no_such_user(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage.main(["reset-link", "nobody"]) == 1
    assert capsys.readouterr().err == "There is no user nobody\n"


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        manage.main(["--help"])
    assert "reset-link" in capsys.readouterr().out
