"""Accounts, logging in, and tokens."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, EmailStr, Field, TypeAdapter, ValidationError

from account_models import TOKEN_NAME_LENGTH
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
# A password that is compared with the stored one: the rules for new passwords do not apply to it.
GivenPassword = Annotated[
    Text, Field(max_length=account_rules.LONGEST_PASSWORD, examples=["correct horse battery staple"])
]


def _without_name(value: Any) -> Any:
    """An address that stands alone and as it is: the library takes `Ada <ada@example.com>` and drops the name."""
    if isinstance(value, str) and "<" in value:
        raise ValueError("Input should be an email address alone, without a name")
    # Mail programs decode `=?utf-8?q?bob?=@example.com`, and the mail is addressed to Bob.
    if isinstance(value, str) and "=?" in value:
        raise ValueError("Input should be an email address without `=?`")
    return value


Email = Annotated[EmailStr, BeforeValidator(_without_name), Field(examples=["ada@example.com"])]
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def name_or_email(given: str) -> str:
    """A username as it is, or an email as registering stores it: a domain such as `xn--bcher-kva.de` is decoded."""
    try:
        return _EMAIL.validate_python(given) if "@" in given else given
    except ValidationError:
        return given


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
        Field(description="When the owner confirmed the email by a mailed link"),
    ]


class UserReference(Answer):
    """The id and name of an account."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]


class ReadOnlyAccount(Body):
    """The read-only fields of an account. A client may send them back with the values they have."""

    id: Annotated[Whole | None, Field(description="Read-only")] = None
    email: Annotated[str | None, Field(description="Read-only: see `POST /auth/email`")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class AccountUpdate(ReadOnlyAccount):
    """The fields of an account that its owner may change."""

    username: Username | None = None
    is_active: Annotated[bool | None, Field(description="Read-only")] = None
    role: Annotated[Role | None, Field(description="Read-only")] = None


class UserUpdate(ReadOnlyAccount):
    """The fields of an account that an admin may change."""

    role: Role | None = None
    is_active: bool | None = None
    username: Annotated[str | None, Field(description="Read-only")] = None
    email_verified_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class UserFilters(Page):
    """Filters of the list of accounts, which combine with AND."""

    search: Annotated[
        Text | None, Field(min_length=1, max_length=254, description="A part of the username or email")
    ] = None
    role: Annotated[Role | None, Field(description="Only this role")] = None
    is_active: Annotated[bool | None, Field(description="Active or not")] = None


class Token(Answer):
    """The tokens that a login answers."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires", examples=[1800])]
    refresh_token: Annotated[
        str, Field(description="For `POST /auth/refresh`; can be used once", examples=["tr_Yk3Zq0sJw5"])
    ]
    refresh_expires_in: Annotated[
        int, Field(description="Seconds until a new login is needed", examples=[2592000])
    ]


class RefreshRequest(Body):
    """A refresh token, which can be used once."""

    refresh_token: Annotated[SecretText, Field(examples=["tr_Yk3Zq0sJw5"])]


class SessionRead(Answer):
    """A session: a login that has not ended."""

    id: Annotated[int, Field(examples=[1])]
    created_at: datetime
    last_used_at: Annotated[datetime, Field(description="The last login or token refresh")]
    expires_at: datetime
    address: Annotated[
        str, Field(description="The network address that used it last", examples=["203.0.113.7"])
    ]
    client: Annotated[str, Field(description="The `User-Agent` of the client", examples=["Mozilla/5.0"])]
    current: Annotated[bool, Field(description="Whether this request belongs to the session")]


class PasswordChange(Body):
    """A new password, and the one that it replaces."""

    current_password: GivenPassword
    new_password: Password


class PasswordReset(Body):
    """A new password, and the token of the link that was mailed."""

    token: SecretText
    new_password: Password


class EmailAddress(Body):
    """The address to send a mail to, if an account has it."""

    email: Email


class EmailChange(Body):
    """A new email, and the caller's password."""

    email: Email
    password: GivenPassword


class LinkToken(Body):
    """The token of a link that was mailed."""

    token: SecretText


class PasswordConfirmation(Body):
    """The caller's password, which confirms a step that can't be undone."""

    password: GivenPassword


class ProgramTokenCreate(Body):
    """A token for a program."""

    name: Annotated[Text, Field(min_length=1, max_length=TOKEN_NAME_LENGTH, examples=["nightly import"])]
    scopes: Annotated[
        list[Scope],
        Field(
            min_length=1,
            max_length=10,
            description="The rights of the token; only admins may give `admin`",
            examples=[["tasks:read"]],
        ),
    ]
    expires_at: Annotated[Time | None, Field(description="By default never")] = None


class ProgramTokenRead(Answer):
    """A program's token, without the secret text."""

    id: Annotated[int, Field(examples=[1])]
    name: Annotated[str, Field(examples=["nightly import"])]
    scopes: list[Scope]
    last_four: Annotated[
        str, Field(description="The last characters, to recognize the token", examples=["x7Qa"])
    ]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: Annotated[datetime | None, Field(description="Accurate to the minute")]


class ProgramTokenMade(ProgramTokenRead):
    """A program's token with the secret text, which is shown only this once."""

    token: Annotated[str, Field(description="Send it as `Authorization: Bearer`", examples=["tp_x7Qa"])]
