"""The yardstick: FastAPI routes that do nothing but answer through the response model.

They need no database, no token and no dependency, so they show the cost of FastAPI itself with this model. The
ratio to it says how much of FastAPI's own speed a program keeps.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

Status = Literal["pending", "in_progress", "completed"]


class TaskRead(BaseModel):
    id: int
    title: str
    description: str | None
    status: Status
    priority: int
    project: str
    tags: list[str]
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    user_id: int


class TaskCreate(BaseModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    status: Status = "pending"
    priority: int = Field(default=0, ge=0, le=4)
    project: str = Field(default="General", min_length=1, max_length=100)
    tags: list[str] = Field(default=[], max_length=20)
    due_at: datetime | None = None


class TaskUpdate(BaseModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=10_000)
    status: Status | None = None
    priority: int | None = Field(default=None, ge=0, le=4)
    project: str | None = Field(default=None, min_length=1, max_length=100)
    tags: list[str] | None = Field(default=None, max_length=20)
    due_at: datetime | None = None


def _task(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"Write the report of week {number}",
        "description": "What was done, what was not, and who has to know about it by Friday.",
        "status": "pending",
        "priority": number % 5,
        "project": f"Project {number % 7}",
        "tags": ["report", f"week-{number % 52}"],
        "due_at": datetime(2030, 1, 31, 12, tzinfo=UTC),
        "created_at": datetime(2026, 1, 1, 8, 30, 15, number, tzinfo=UTC),
        "updated_at": datetime(2026, 1, 1, 8, 30, 15, number, tzinfo=UTC),
        "completed_at": None,
        "user_id": 1,
    }


TASK = _task(1)
TASKS = [_task(number) for number in range(1, 101)]

app = FastAPI()


@app.get("/tasks", response_model=list[TaskRead])
async def list_tasks(limit: int = 100) -> object:
    return TASKS[:limit]


@app.get("/tasks/{task_id}", response_model=TaskRead)
async def get_task(task_id: int) -> object:  # noqa: ARG001  # taken as ours takes it
    return TASK


@app.post("/tasks", response_model=TaskRead, status_code=201)
async def create_task(task: TaskCreate) -> object:  # noqa: ARG001  # likewise
    return TASK


@app.patch("/tasks/{task_id}", response_model=TaskRead)
async def update_task(task_id: int, changes: TaskUpdate) -> object:  # noqa: ARG001  # likewise
    return TASK
