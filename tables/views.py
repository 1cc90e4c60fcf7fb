"""The tables of saved filters, and of calendars that show when tasks are due."""

from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import table_of
from storage.column_types import RowId, UtcDateTime, one_of
from tables import projects

VIEW_NAME_LENGTH = 100
SortOrder = Literal["desc", "asc"]
SORT_ORDERS: tuple[SortOrder, ...] = get_args(SortOrder)
ZONE_LENGTH = 64

assert projects.SharedProject.metadata is Base.metadata


class View(Base):
    """A filter that was saved under a name: an account's own, or a project's.

    It is deleted with its account or its project. A project keeps the views of a member who leaves.
    """

    __tablename__ = "views"
    __table_args__ = (
        CheckConstraint(f"length(name) BETWEEN 1 AND {VIEW_NAME_LENGTH} AND trim(name) <> ''", name="name"),
        CheckConstraint(one_of("sort_order", SORT_ORDERS), name="sort_order"),
        CheckConstraint("(user_id IS NULL) = (project_id IS NOT NULL)", name="owner"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(String(VIEW_NAME_LENGTH))
    filter: Mapped[str] = mapped_column(Text)
    sort_by: Mapped[str | None] = mapped_column(String(20))
    sort_order: Mapped[str | None] = mapped_column(String(4))
    # The account that the view belongs to; NULL for a project's view.
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, index=True
    )
    # The project that the view belongs to; NULL for an account's view.
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), type_=BigInteger, index=True
    )
    # NULL after the account was deleted.
    created_by: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), type_=BigInteger, index=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Calendar(Base):
    """A calendar's address: it shows an account's open tasks, or those of a view, by the time they are due.

    The database stores only the hash of the token in the address.
    """

    __tablename__ = "calendars"
    __table_args__ = (UniqueConstraint("token_hash"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, index=True
    )
    view_id: Mapped[int | None] = mapped_column(
        ForeignKey("views.id", ondelete="CASCADE"), type_=BigInteger, index=True
    )
    tz: Mapped[str] = mapped_column(String(ZONE_LENGTH))
    token_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # See `User.credentials_version`: a calendar ends together with the account's sessions, tokens and links.
    credentials_version: Mapped[int] = mapped_column(BigInteger)


views = table_of(View)
calendars = table_of(Calendar)
