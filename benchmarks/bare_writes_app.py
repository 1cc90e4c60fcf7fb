"""A peer for writes on SQLite that writes only the task: each request has a thread and a durable transaction.

It shows the design at its best: one hop to the thread pool, a connection for every thread, WAL with
`synchronous=FULL`, `BEGIN IMMEDIATE` so that no transaction fails halfway, and a busy timeout.
The remaining costs are one fsync for each request, and threads that wait for one lock in no order.
"""

import os
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from jose import JWTError, jwt
from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from benchmarks.bare_app import TaskCreate, TaskRead
from benchmarks.tutorial_app import KEY, Task, User, oauth2_scheme, router

THREADS = 40  # AnyIO's pool, which `def` endpoints run in


def durable_engine() -> Engine:
    """An engine that sends its own BEGIN IMMEDIATE and fsyncs at every commit."""
    engine = create_engine(
        os.environ["DATABASE_URL"],
        connect_args={"check_same_thread": False, "timeout": 5, "isolation_level": None},
        pool_size=THREADS,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


durable = durable_engine()
app = FastAPI()
app.include_router(router)


async def caller(token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    try:
        name = jwt.decode(token, KEY, algorithms=["HS256"])["sub"]
    except JWTError as error:
        raise HTTPException(401, "Invalid token") from error
    return str(name)


@app.post("/tasks", response_model=TaskRead, status_code=201)
def create_task(body: TaskCreate, name: Annotated[str, Depends(caller)]) -> object:
    with durable.begin() as connection:
        owner = connection.scalar(select(User.id).where(User.username == name))
        if owner is None:
            raise HTTPException(401, "User not found")
        now = datetime.now(UTC)
        values = body.model_dump() | {"user_id": owner, "created_at": now, "updated_at": now}
        return connection.execute(insert(Task).values(values).returning(Task)).mappings().one()
