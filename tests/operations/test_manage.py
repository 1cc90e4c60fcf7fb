"""The operator's commands that concern accounts."""

import pytest
from fastapi.testclient import TestClient

import manage
from config import settings
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


def test_an_operator_is_told_that_there_is_no_such_user(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage.main(["reset-link", "nobody"]) == 1
    assert capsys.readouterr().err == "There is no user nobody\n"


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        manage.main(["--help"])
    assert "reset-link" in capsys.readouterr().out
