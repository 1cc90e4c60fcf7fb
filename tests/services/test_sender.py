"""The sender of mails, and the name in the greeting to a mail server."""

import asyncio

import pytest

from config import settings
from services import email_service
from services.email_service import send_email_async
from tests.support.mail import mail_catcher


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        ("tasks@example.com", "", "tasks@example.com"),
        ("Task Platform <tasks@example.com>", "Task Platform", "tasks@example.com"),
        ('"Tasks, Inc." <tasks@example.com>', "Tasks, Inc.", "tasks@example.com"),
        ("Tasks, Inc. <tasks@example.com>", "Tasks, Inc.", "tasks@example.com"),
        ("Aufgaben für alle <tasks@example.com>", "Aufgaben für alle", "tasks@example.com"),
        ("<tasks@example.com>", "", "tasks@example.com"),
    ],
)
def test_mails_are_from_the_name_and_the_address_that_are_set(
    monkeypatch: pytest.MonkeyPatch, given: str, name: str, address: str
) -> None:
    with mail_catcher() as catcher:
        for setting, value in (
            ("smtp_server", "127.0.0.1"),
            ("smtp_port", catcher.port),
            ("smtp_security", "none"),
            ("smtp_from", given),
            ("public_url", "https://tasks.example.com/tasks-api"),
        ):
            monkeypatch.setattr(settings, setting, value)
        asyncio.run(send_email_async("ada@example.com", "Hello", "Text"))
    (mail,) = catcher.mails
    (sender,) = mail["from"].addresses
    assert (sender.display_name, sender.addr_spec) == (name, address)
    assert mail["message-id"].endswith("@example.com>")
    assert catcher.greetings == ["tasks.example.com"]


@pytest.mark.parametrize(
    ("public_url", "own", "greeting"),
    [
        ("http://localhost:8000", None, "localhost"),
        ("https://Tasks.Example.com:8443/x", None, "tasks.example.com"),
        ("https://bücher.example", None, "xn--bcher-kva.example"),
        ("http://192.0.2.7", None, "[192.0.2.7]"),
        ("http://[2001:db8::7]:8000", None, "[IPv6:2001:db8::7]"),
        ("https://tasks.example.com", "mail.example.com", "mail.example.com"),
        ("https://tasks.example.com", "192.0.2.7", "[192.0.2.7]"),
        ("https://tasks.example.com", "[192.0.2.7]", "[192.0.2.7]"),
    ],
)
def test_the_mail_server_is_greeted_with_a_full_name(
    monkeypatch: pytest.MonkeyPatch, public_url: str, own: str | None, greeting: str
) -> None:
    monkeypatch.setattr(settings, "public_url", public_url)
    monkeypatch.setattr(settings, "smtp_helo_name", own)
    assert email_service.helo_name() == greeting
