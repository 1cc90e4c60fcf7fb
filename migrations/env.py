"""Connects Alembic to the database, always through the transaction that `database.py` opens for it."""

from typing import Any

from alembic import context
from sqlalchemy import Connection

import account_models
import models
from database import Base, database
from tables import counts, history, notifications, projects, views, webhooks

# Tables that a trigger or an extension keeps, without a model.
UNMODELLED_PREFIXES = ("task_search",)


def include_object(_object: Any, name: str | None, _kind: str, _reflected: bool, _compare_to: Any) -> bool:  # noqa: FBT001
    """Leave things that no model describes out of comparisons."""
    return not (name or "").startswith((*UNMODELLED_PREFIXES, "ix_task_search"))


def run(connection: Connection) -> None:
    """Run the migrations asked for in the connection's transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=include_object,
        on_version_apply=context.config.attributes.get("on_version_apply"),
    )
    context.run_migrations()


for known in (
    models.Task,
    account_models.UserSession,
    counts.OwnerCount,
    history.TaskHistory,
    notifications.Notification,
    projects.SharedProject,
    views.View,
    webhooks.Webhook,
):
    assert known.metadata is Base.metadata
if context.is_offline_mode():
    raise SystemExit("Migrations look at the database as they go: they can't be written out as a script.")
if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with database.exclusive_connection() as own:
        run(own)
