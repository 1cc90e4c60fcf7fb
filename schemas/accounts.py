"""Accounts and logging in."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import EmailStr, Field

from schemas.common import Answer, Body, Role

Username = Annotated[
    str,
    Field(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9._-]+$", examples=["ada"]),
]
Password = Annotated[str, Field(min_length=8, max_length=256, examples=["correct horse battery staple"])]


class RegisterRequest(Body):
    """A new account."""

    username: Username
    email: Annotated[EmailStr, Field(examples=["ada@example.com"])]
    password: Password


class UserRead(Answer):
    """An account."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: bool
    role: Role
    created_at: datetime


class UserReference(Answer):
    """Who somebody is, for assigning a task to them."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]


class Token(Answer):
    """What a login answers."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires", examples=[1800])]
