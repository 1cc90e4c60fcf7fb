"""Measures flow analytics for one owner with many tasks, and compares past forecasts with the results."""

import gzip
import json
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import insert, literal, select, update

from benchmarks import fill
from benchmarks.setup import databases, options, place, with_database
from database import Database
from migrations.schema import migrate
from models import Caller, tasks
from schemas.flow import ForecastQuery, IntervalQuery
from services.accounts import user as user_service
from services.flow import answers, history
from services.flow.question import ask
from services.tasks import import_files, importing
from tables.history import task_history

ISSUES = Path(__file__).parents[1] / "tests" / "data" / "issue_tracker.json.gz"
ROUNDS = 5
# The question is asked every eight weeks: how many tasks will be done within the next four?
DATES, STEP, AHEAD = 20, timedelta(56), timedelta(28)
FIRST = date(2015, 9, 1)

ANSWERS: dict[str, Callable[..., Any]] = {
    "flow": answers.flow,
    "throughput by day": lambda db, asked: answers.throughput(db, asked, "day"),
    "cumulative flow by day": lambda db, asked: answers.cumulative_flow(db, asked, "day"),
    "time in status": answers.time_in_status,
    "aging": lambda db, asked: answers.aging(db, asked, 500),
    "burn-up with cone": lambda db, asked: answers.burnup(db, asked, "week"),
}


def owner(db: Database) -> Caller:
    """A new account."""
    row = db.write(lambda session: user_service.create_user(session, "ada", "ada@example.com", "!", "member"))
    return Caller(*row)


def started(db: Database) -> None:
    """Have every task started when it was made, so that each has a history of two to three rows."""
    begun = [task_history.c[name] for name in ("task_id", "actor_id", "created_at", "owner_id")]
    names = ("task_id", "actor_id", "created_at", "owner_id", "previous_owner_id", "kind", "changes")
    change = literal({}, task_history.c.changes.type)
    kept = (*begun, task_history.c.owner_id, literal("status_changed"), change)
    first = select(*kept, literal("in_progress"), literal("pending")).where(task_history.c.kind == "imported")
    done = (
        select(tasks.c.id, tasks.c.user_id, tasks.c.completed_at, tasks.c.user_id, tasks.c.user_id)
        .add_columns(literal("status_changed"), change, literal("completed"), literal("in_progress"))
        .where(tasks.c.completed_at.is_not(None))
    )
    columns = [*names, "status", "previous_status"]
    db.write(lambda session: session.execute(insert(task_history).from_select(columns, first)))
    db.write(lambda session: session.execute(insert(task_history).from_select(columns, done)))
    waiting = update(task_history).where(task_history.c.kind == "imported")
    db.write(lambda session: session.execute(waiting.values(status="pending", task_completed_at=None)))


def speed(name: str, url: str, count: int) -> None:
    """Print the time of each answer, cold and warm."""
    db = Database(url)
    migrate(db)
    user = owner(db)
    fill.fill(url, [(user.id, count)], 1, 1)
    started(db)
    rows = len(db.read(lambda session: session.execute(select(task_history.c.id)).all()))
    print(f"\n{name}: {count:,} tasks of one owner, {rows:,} rows of history; ms, median of {ROUNDS}")
    print(f"{'':24}{'cold':>8}{'warm':>8}")
    query = IntervalQuery.model_validate({"from": (datetime.now(UTC) - timedelta(365)).date().isoformat()})
    for title, answer in ANSWERS.items():
        times: dict[str, list[float]] = {"cold": [], "warm": []}
        for _ in range(ROUNDS):
            history.clear()
            for measured in times.values():
                start = perf_counter()
                db.read(lambda session, answer=answer: answer(session, ask(session, user, query)))  # type: ignore[misc]
                measured.append((perf_counter() - start) * 1000)
        print(f"{title:24}{median(times['cold']):8.0f}{median(times['warm']):8.0f}")
    db.close()


def backtest(url: str, path: Path) -> None:
    """Print for each date the forecast from the past until then, and the result."""
    content = path.read_bytes()
    rows = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    db = Database(url)
    migrate(db)
    user = owner(db)
    parsed = import_files.parse_json(json.dumps(rows).encode())
    db.write(lambda session: importing.import_tasks(session, user, parsed))
    completed = sorted(row["completed_at"] for row in rows if row.get("completed_at"))
    print(f"\nhow many within {AHEAD.days} days, forecast from the past of each date ({path.name})")
    print(f"{'date':12}{'50%':>6}{'70%':>6}{'85%':>6}{'95%':>6}{'happened':>10}  85% held")
    held = 0
    for number in range(DATES):
        today = FIRST + number * STEP
        behind = today + AHEAD
        values = {"to": str(today - timedelta(1)), "until": str(behind - timedelta(1))}
        query = ForecastQuery.model_validate(values)

        def forecast(session: Any, query: ForecastQuery = query) -> Any:
            asked = ask(session, user, query)
            return answers.will_be_done(session, asked, remaining=None, until=query.until, from_given=False)

        chances = db.read(forecast)["how_many"]
        happened = sum(str(today) <= each < str(behind) for each in completed)
        held += happened >= chances["p85"]
        figures = "".join(f"{chances[f'p{percent}']:6}" for percent in (50, 70, 85, 95))
        print(f"{today}  {figures}{happened:10}  {'yes' if happened >= chances['p85'] else 'no'}")
    print(f"held {held} of {DATES} times")
    db.close()


def main() -> int:
    """Measure, and print."""
    parser = options(__doc__, "benchmarks.flow")
    parser.add_argument("--tasks", type=int, default=100_000, help="how many tasks the owner has")
    parser.add_argument(
        "--history", type=Path, default=ISSUES, help="tasks as import takes them, to forecast"
    )
    with_database(parser)
    arguments = parser.parse_args()
    with place(arguments) as here:
        for name in databases(arguments):
            speed(name, here.url(name, "speed"), 5_000 if arguments.quick else arguments.tasks)
        backtest(here.url("sqlite", "backtest"), arguments.history)
    return 0


if __name__ == "__main__":
    sys.exit(main())
