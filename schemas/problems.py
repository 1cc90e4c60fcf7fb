"""Errors in answers, as RFC 9457 describes them."""

from pydantic import BaseModel, Field


class InputProblem(BaseModel):
    """A mistake in the input, and its place."""

    pointer: str = Field(examples=["#/title", "?status"])
    detail: str = Field(examples=["String should have at most 200 characters"])
    position: int = Field(default=0, description="The position of the character in a filter, counted from 0")


class Problem(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[InputProblem] = Field(default=[], description="Each mistake in bad input")
