"""The mails about accounts. They are sent at once and not kept: what they hold lets in whoever reads it."""

from datetime import timedelta

from database import database
from logging_config import logger
from services import account_service
from services.email_service import send_email_async

TEXTS = {
    "reset": (
        "Reset your password",
        "Hello {username},\n\nsomebody, probably you, asked to reset your password. This link lets you set a new one"
        " within {hours}:\n\n{link}\n\nIf it was not you, do nothing: your password stays as it is.\n",
    ),
    "verify": (
        "Confirm your email address",
        "Hello {username},\n\nthis link confirms your email address within {hours}:\n\n{link}\n\n"
        "If you have not made this account, do nothing.\n",
    ),
    "change": (
        "Confirm your new email address",
        "Hello {username},\n\nthis link makes this the email address of your account within {hours}:\n\n{link}\n\n"
        "If you have not asked for it, do nothing.\n",
    ),
}


def _hours(lifetime: timedelta) -> str:
    hours = int(lifetime.total_seconds() // 3600)
    return "one hour" if hours == 1 else f"{hours} hours"


async def _send(to_email: str, subject: str, body: str) -> None:
    try:
        await send_email_async(to_email, subject, body)
    except Exception as error:  # noqa: BLE001  # the mail server's trouble; whoever waits asks again
        logger.warning("The mail '%s' was not sent: %s", subject, error)


async def _send_link(to_email: str, purpose: str, username: str, link: str) -> None:
    subject, body = TEXTS[purpose]
    hours = _hours(account_service.LIFETIMES[purpose])
    await _send(to_email, subject, body.format(username=username, hours=hours, link=link))


async def send_link_for_email(email: str, purpose: str) -> None:
    """Mail the account with this email a link, if there is one; nobody is told whether there is."""
    found = await database.write_async(lambda db: account_service.link_for_email(db, email, purpose))
    if found is not None:
        account, link = found
        await _send_link(account.email, purpose, account.username, link)


async def send_change_link(new_email: str, username: str, link: str) -> None:
    """Mail the link that confirms a new email to that address."""
    await _send_link(new_email, "change", username, link)


async def tell_old_address(old_email: str, username: str) -> None:
    """Tell the address that an account had that it has another one now."""
    body = f"Hello {username},\n\nyour account has another email address now. If it was not you, tell your administrator.\n"
    await _send(old_email, "Your email address was changed", body)


async def tell_password_changed(email: str, username: str) -> None:
    """Tell an owner that the password is another one now."""
    body = f"Hello {username},\n\nyour password was changed. If it was not you, reset it, and tell your administrator.\n"
    await _send(email, "Your password was changed", body)
