"""Accounts, logging in, and tokens."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import EmailStr, Field

from configuration import account_rules
from models import Role
from schemas.common import Answer, Body, Page, ReadOnlyTime, Text, Time, Whole
from security.callers import Scope

Username = Annotated[
    str,
    Field(
        min_length=account_rules.SHORTEST_USERNAME,
        max_length=account_rules.LONGEST_USERNAME,
        pattern=account_rules.USERNAME_PATTERN,
        examples=["ada"],
    ),
]
Password = Annotated[
    Text,
    Field(
        min_length=account_rules.SHORTEST_PASSWORD,
        max_length=account_rules.LONGEST_PASSWORD,
        examples=["correct horse battery staple"],
    ),
]
# One that is given to be checked: whatever it is, it is right or wrong.
GivenPassword = Annotated[Text, Field(max_length=256, examples=["correct horse battery staple"])]
Email = Annotated[EmailStr, Field(examples=["ada@example.com"])]
SecretText = Annotated[
    Text, Field(min_length=1, max_length=200, examples=["q4XnH0mE2cJtY7wLr8uKpB1sVdZ5aG3f"])
]


class RegisterRequest(Body):
    """A new account."""

    username: Username
    email: Email
    password: Password


class UserRead(Answer):
    """An account."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: bool
    role: Role
    created_at: datetime


class UserDetails(UserRead):
    """An account as admins see it."""

    email_verified_at: Annotated[
        datetime | None,
        Field(description="When its owner confirmed the email, by a link that was sent there"),
    ]


class UserReference(Answer):
    """Who somebody is, for assigning a task to them."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]


class ReadOnlyAccount(Body):
    """The fields of an account that are not to be changed here; they may be sent back with the values they have."""

    id: Annotated[Whole | None, Field(description="Read-only")] = None
    email: Annotated[str | None, Field(description="Read-only: see `POST /auth/email`")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class AccountUpdate(ReadOnlyAccount):
    """What its owner may change of an account."""

    username: Username | None = None
    is_active: Annotated[bool | None, Field(description="Read-only")] = None
    role: Annotated[Role | None, Field(description="Read-only")] = None


class UserUpdate(ReadOnlyAccount):
    """What an admin may change of an account."""

    role: Role | None = None
    is_active: bool | None = None
    username: Annotated[str | None, Field(description="Read-only")] = None
    email_verified_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class UserFilters(Page):
    """Which accounts; filters combine with AND."""

    search: Annotated[
        Text | None, Field(min_length=1, max_length=254, description="A part of the username or email")
    ] = None
    role: Role | None = None
    is_active: bool | None = None


class Token(Answer):
    """What a login answers."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires", examples=[1800])]
    refresh_token: Annotated[
        str, Field(description="For `POST /auth/refresh`, once", examples=["tr_Yk3Zq0sJw5"])
    ]
    refresh_expires_in: Annotated[
        int, Field(description="Seconds until one has to log in again", examples=[2592000])
    ]


class RefreshRequest(Body):
    """A refresh token, which is used up by this."""

    refresh_token: Annotated[SecretText, Field(examples=["tr_Yk3Zq0sJw5"])]


class SessionRead(Answer):
    """Somewhere the account is logged in."""

    id: Annotated[int, Field(examples=[1])]
    created_at: datetime
    last_used_at: Annotated[datetime, Field(description="When it last logged in or refreshed its token")]
    expires_at: datetime
    address: Annotated[str, Field(description="From where it was last used", examples=["203.0.113.7"])]
    client: Annotated[str, Field(description="What program it said it was", examples=["Mozilla/5.0"])]
    current: Annotated[bool, Field(description="Whether it is the one that asks")]


class PasswordChange(Body):
    """A new password, and the one that it replaces."""

    current_password: GivenPassword
    new_password: Password


class PasswordReset(Body):
    """A new password, and the token of the link that was mailed."""

    token: SecretText
    new_password: Password


class EmailAddress(Body):
    """Where a mail is to go, if there is an account for it."""

    email: Email


class EmailChange(Body):
    """A new email, and the password."""

    email: Email
    password: GivenPassword


class LinkToken(Body):
    """The token of a link that was mailed."""

    token: SecretText


class PasswordConfirmation(Body):
    """The caller's password, for what can't be undone."""

    password: GivenPassword


class ProgramTokenCreate(Body):
    """A token for a program."""

    name: Annotated[Text, Field(min_length=1, max_length=100, examples=["nightly import"])]
    scopes: Annotated[
        list[Scope],
        Field(
            min_length=1,
            max_length=10,
            description="What it may do; `admin` is for admins",
            examples=[["tasks:read"]],
        ),
    ]
    expires_at: Annotated[Time | None, Field(description="When it ends; never, if left out")] = None


class ProgramTokenRead(Answer):
    """A program's token, without what it is used by."""

    id: Annotated[int, Field(examples=[1])]
    name: Annotated[str, Field(examples=["nightly import"])]
    scopes: list[Scope]
    last_four: Annotated[str, Field(description="Its last characters, to tell it by", examples=["x7Qa"])]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="To the minute")]


class ProgramTokenMade(ProgramTokenRead):
    """A program's token, shown this once."""

    token: Annotated[str, Field(description="Send it as `Authorization: Bearer`", examples=["tp_x7Qa"])]
