"""Logins on the program's own pages, whose refresh token no script can read."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from schemas.accounts import GivenPassword
from schemas.common import Answer, Body, Text


class PageLogin(Body):
    """A username or email, and the password."""

    username: Annotated[Text, Field(min_length=1, max_length=254, examples=["ada"])]
    password: GivenPassword
    remember: Annotated[bool, Field(description="Whether the browser stays logged in after it is closed")] = (
        False
    )


class PageRequest(Body):
    """An empty object, sent as JSON. A page of another origin can't send JSON."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


class PageToken(Answer):
    """An access token, which the page keeps in memory."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires", examples=[1800])]
    refresh_expires_in: Annotated[
        int, Field(description="Seconds until a new login is needed", examples=[2592000])
    ]
