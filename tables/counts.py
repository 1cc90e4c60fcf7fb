"""The counts of tasks, which triggers keep."""

from sqlalchemy import BigInteger, ForeignKey, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import PROJECT_LENGTH, table_of


class OwnerCount(Base):
    """How many tasks an owner has in each status; kept by triggers on `tasks`.

    On Postgres a count is spread over several rows (`slot`), so that writers rarely wait for one another:
    what counts is the sum. `version` grows with every change of any of the owner's tasks.
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
    """The same for each of an owner's projects."""

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
    """How many of an owner's completed tasks took about how long, and how long together; kept by triggers on `tasks`.

    A bucket holds the durations that have as many digits, in microseconds, and begin with the same two; the lowest
    one, -1, those of what was completed before it was begun. As of the other counts, what counts is the sum.
    """

    __tablename__ = "duration_counts"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    bucket: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigInteger)
    # The sum of the durations in two parts, for a century of ten thousand tasks is too much for one number.
    seconds: Mapped[int] = mapped_column(BigInteger)
    microseconds: Mapped[int] = mapped_column(BigInteger)


class SystemCount(Base):
    """The same for everybody's tasks together."""

    __tablename__ = "system_counts"

    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    pending: Mapped[int] = mapped_column(BigInteger)
    in_progress: Mapped[int] = mapped_column(BigInteger)
    completed: Mapped[int] = mapped_column(BigInteger)


owner_counts = table_of(OwnerCount)
project_counts = table_of(ProjectCount)
duration_counts = table_of(DurationCount)
system_counts = table_of(SystemCount)
