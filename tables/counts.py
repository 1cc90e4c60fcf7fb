"""The counts of tasks, which triggers keep."""

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import PROJECT_LENGTH, table_of


class OwnerCount(Base):
    """The number of an owner's tasks in each status; triggers on `tasks` maintain it.

    On Postgres a count is spread over several rows (`slot`), so that writers rarely wait for one another: the
    count is the sum of the rows. `version` grows with every change of any of the owner's tasks.
    """

    __tablename__ = "owner_counts"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(BigInteger)
    in_progress: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)


class ProjectCount(Base):
    """The number of tasks in each status, for each of an owner's projects."""

    __tablename__ = "project_counts"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    project: Mapped[str] = mapped_column(
        String(PROJECT_LENGTH).with_variant(String(PROJECT_LENGTH, collation="C"), "postgresql"),
        primary_key=True,
    )
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(BigInteger)
    in_progress: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)


class DurationCount(Base):
    """An owner's completed tasks in buckets of similar durations: their number, and their total duration.

    Triggers on `tasks` maintain the counts. In microseconds, all durations of a bucket have the same number
    of digits and the same first two. The lowest bucket, -1, holds tasks that were completed before they were
    created. The count of a bucket is the sum over its slots.
    """

    __tablename__ = "duration_counts"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    # The sum of the durations has two parts, because ten thousand tasks of a century each overflow one
    # number.
    seconds: Mapped[int] = mapped_column(BigInteger)
    microseconds: Mapped[int] = mapped_column(BigInteger)


class SystemCount(Base):
    """The number of everybody's tasks in each status."""

    __tablename__ = "system_counts"

    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(BigInteger)
    in_progress: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)


owner_counts = table_of(OwnerCount)
project_counts = table_of(ProjectCount)
duration_counts = table_of(DurationCount)
system_counts = table_of(SystemCount)
