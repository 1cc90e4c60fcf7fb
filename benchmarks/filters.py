"""The slowest of many random filters, for the owner of 100,000 tasks among 1,000,000.

    python -m benchmarks.filters [--database sqlite|postgres|both] [--filters 2000] [--quick] [--keep FOLDER]

This process asks for a first page by each filter, in a random order. It asks by the first filters also for a page with
its total, for an export, for the ids that a change of all tasks reads, and for flow figures. The printed time is the
CPU time of this thread and of its Postgres backend, which gets no help from other processes. On a machine that nobody
else uses, a call takes at most this time. A filter that takes more than half of the goal is asked again, and the
shortest time is printed. Of the slowest, the time that elapses is printed beside: on Postgres with as much help of other
processes as the server's own settings give. An export is timed up to its first 1,000 tasks, which are sent before the
next are read.
First of all 10,000 broken filters are refused, and the slowest of them are printed.
"""

import contextlib
import gc
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, thread_time

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from benchmarks import fill
from benchmarks.report import Report, number, progress, table
from benchmarks.setup import databases, finish, options, place, with_database
from database import Database
from migrations.schema import migrate
from models import Caller, users
from schemas.bulk import MOST_CHANGED
from schemas.flow import FlowQuery
from schemas.tasks import ExportQuery, TaskFilters
from security.callers import CALLER_BY_ID
from services import task_service
from services.accounts import user as user_service
from services.flow import answers, question
from services.flow import history as flow_history
from services.query import statement_cache, syntax
from services.query.refusal import InvalidFilter
from services.tasks import exporting
from tests.support.broken_filters import BrokenFilters
from tests.support.filters import RandomFilters, Vocabulary

GOAL_MS, REFUSED_MS = 250, 20
SHOWN, SHOWN_OF_OTHERS, SHOWN_LETTERS = 10, 3, 110
# The shortest of so many elapsed times is printed.
ELAPSED_OF = 5
SORTS = ("created_at", "created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id")
VOCABULARY = Vocabulary(
    words=(*fill._VERBS, *fill._NOUNS, fill.RARE, fill.COMMON, fill.SHORT, "for the", "nowhere at all", "é"),  # noqa: SLF001
    tags=tuple(f"tag-{number}" for number in range(fill.TAGS + 2)),
    projects=tuple(f"Project {number}" for number in range(fill.PROJECTS + 1)),
    usernames=("owner", "nobody"),
)
FREQUENT = (
    *(("title", each) for each in ("eat", "ten", "ate", "re ", "er ", "in ", "on ", "st", "es", "or")),
    *(("description", each) for each in ("e", "w", "re ")),
)
# Texts of frequent letters alone, without a part that begins with a rare one.
FREQUENT_LETTERS = (
    *(("title", each) for each in ["eoe", "tae", "aeo", "oea", "iao", "nto", "sae", "eie", "aoa", "oto"]),
    *(("description", each) for each in ("et", "eo", "eh")),
)
# Texts that few tasks have, or none.
FEW_HAVE = (
    *(("title", f"n {number}7") for number in range(10, 20)),
    *(("description", f"{number}17") for number in (3, 5, 8)),
)
_MINUTES = ", ".join(f"now+{number}m" for number in range(0, 120, 2))
# The slowest filters of the greatest allowed length. Random filters are seldom like them.
WORST = (
    " or ".join(f"title ~ 'zzz{number}'" for number in range(10)),
    " or ".join(f"description ~ 'zzz{number}'" for number in range(3)),
    " or ".join([*(f"title ~ 'zzz{n}'" for n in range(10)), *(f"description ~ 'zzz{n}'" for n in range(3))]),
    " and ".join(f"title !~ '{word}'" for word in ("e", "the", "a", "r", "o", "i", "n", "t", "s", "5")),
    " or ".join(f"tag = nowhere{number}" for number in range(50)),
    " or ".join(f"tag ~ 'zz{number}'" for number in range(50)),
    " and ".join(f"tag != tag-{number}" for number in range(30)),
    f"tag in ({','.join(f'tag-{number}' for number in range(30))}) and priority > 9",
    f"id in ({','.join(str(10**12 + number) for number in range(100))})",
    "not (due < now) and not (completed > now-30d) and updated < 2020-01-01",
    # Texts of frequent letters that are found nowhere; and each with a condition beside, which keeps them apart.
    " or ".join(f"{field} ~ '{each}q'" for field, each in FREQUENT),
    " or ".join(f"{field} ~ '{each}q' and id > {n}" for n, (field, each) in enumerate(FREQUENT)),
    " or ".join(f"description in (a{n}, b, c, d, e, f, g, h, i) and id > {n}" for n in range(25)),
    " or ".join(f"description ~ '{each}q' and due in ({_MINUTES})" for each in ("e", "w", "re ")),
    f"due in ({_MINUTES}) or completed in ({_MINUTES}) or title ~ 'eatq'",
    " or ".join(f"tag = tag-{n} and tag = tag-{n + 1} and tag = tag-{n + 2}" for n in range(16)),
    " or ".join(f"tag in (tag-{n}, tag-{n + 1}) and tag in (nowhere, tag-{n + 9})" for n in range(25)),
    " or ".join(f"state ~ e{number}" for number in range(50)),
    " or ".join(f"state in (a{n}, b) and project not in (c{n}, d)" for n in range(25)),
    " or ".join(f"{field} ~ {each}" for field, each in FREQUENT_LETTERS),
    # All kinds of dear tests at once.
    " or ".join(
        [
            *(f"{field} ~ {each} and id > {n}" for n, (field, each) in enumerate(FREQUENT_LETTERS)),
            *(f"tag = tag-{n} and tag = tag-{n + 1}" for n in range(12)),
        ]
    ),
    # Dear tests with conditions on many other fields beside.
    " or ".join(
        [
            *(
                f"{field} ~ {each} and priority < 9 and state != s{n}"
                for n, (field, each) in enumerate(FREQUENT_LETTERS)
            ),
            *(f"tag = tag-{n} and state = s{n}" for n in range(5)),
        ]
    ),
    " or ".join(
        [
            *(
                f"{field} ~ {each} and tag != tag-{n} and state != s{n}"
                for n, (field, each) in enumerate(FREQUENT_LETTERS[10:])
            ),
            *(f"description in (a{n}, b) and project != p{n}" for n in range(8)),
            *(f"state in (a{n}, b) and tag != tag-{n}" for n in range(8)),
            *(f"due in (now+{n}m, now+{n}h, now+{n}d) and priority != {n}" for n in range(3)),
        ]
    ),
    # The same with names that tasks have, and with texts that few tasks have.
    *(
        " or ".join(
            [
                *(f"{field} ~ '{each}' and tag != tag-{n}" for n, (field, each) in enumerate(texts)),
                *(f"tag = tag-{n} and tag = tag-{n + 1}" for n in range(6)),
                *(f"description in (a{n}, b) and due < now" for n in range(6)),
            ]
        )
        for texts in (FREQUENT_LETTERS, FEW_HAVE)
    ),
)


# Kinds of the slowest filters that were found, for the table of `benchmarks.growth`; no task matches most of them.
SLOW_FILTERS = {
    "ten texts in titles": (WORST[0], "title"),
    "three texts in descriptions": (WORST[1], "created_at"),
    "ten texts in titles and three in descriptions": (WORST[2], "due_at"),
    "30 frequent tags and a priority": (WORST[7], "title"),
    "a tag and its opposite": ("tag = tag-7 and not tag = tag-8 and tag ~ ag-9", "priority"),
    "days in two months": ("due in (2024-02-29, 2019-03-01) or completed = 2019-03-01", "title"),
    "nothing but the last in the order": ("not (priority >= 1) and title !~ e", "priority"),
    "changed long ago": ("updated < 2020-01-01 or completed < 2020-01-01", "updated_at"),
    "a description that is": ("description in (delivery, warehouse)", "updated_at"),
    "the opposite of what all are": ("not (due < now or due is null or due >= now)", "completed_at"),
}


def filled(db: Database, url: str, total: int, own: int) -> None:
    """An owner with a number of tasks among those of others, a fifth of them with long descriptions."""
    row = db.write(lambda db: user_service.create_user(db, "owner", "owner@example.com", "!", "member"))
    fill.fill(url, [(row.id, own)], 900, total - own)
    long = "CASE WHEN id % 2 = 0 THEN 'What was found: ' ELSE 'ÄRGER: ' END"
    body = "Figures were read, compared and written down again, as every week. "
    db.write(
        lambda db: db.execute(
            text(
                f"UPDATE tasks SET description = {long} || :body || id, description_folded ="
                " CASE WHEN id % 2 = 1 THEN 'ärger: ' || lower(:body) || id END"
                " WHERE user_id = :owner AND id % 5 = 0"
            ),
            {"body": body * 40, "owner": row.id},
        )
    )


def measured(report: Report, name: str, db: Database, count: int, others: int) -> bool:
    """Print the times of the filters, and return whether all kept to the goal."""
    owner_id = db.read(
        lambda db: db.execute(select(users.c.id).where(users.c.username == "owner")).scalar_one()
    )
    caller = Caller(*db.read(lambda db: db.execute(CALLER_BY_ID, {"user_id": owner_id}).one()))
    chance = random.Random(20261127)  # noqa: S311  # the same filters each time
    filters = RandomFilters(chance, VOCABULARY)
    asked = [(each, "created_at") for each in WORST] + [(each, "title") for each in WORST]
    while len(asked) < count:
        text_ = filters.filter(chance.choice((1, 2, 3, 5, 10, 25, 50)))
        if len(text_) <= 2000:
            asked.append((text_, chance.choice(SORTS)))
    slowest: list[list[str]] = []
    figures: list[list[str]] = []
    for way in WAYS:
        some = asked if way == "page" else asked[:others]
        times = []
        for at, (each, sort_by) in enumerate(some):
            query = TaskFilters.model_validate({"filter": each, "sort_by": sort_by})
            took = _milliseconds(db, way, query, caller)
            for _ in range(2):
                if took > GOAL_MS / 2:
                    took = min(took, _milliseconds(db, way, query, caller))
            times.append((took, sort_by, each))
            if at % 200 == 199:
                progress(f"{name}, {way}: {at + 1} of {len(some)}")
        times.sort(reverse=True)
        took_each = [took for took, _, _ in times]
        over = sum(took > GOAL_MS for took in took_each)
        summary = (median(took_each), quantiles(took_each, n=20)[-1], took_each[0])
        figures.append([way, f"{len(times):,}", *(number(each, 1) for each in summary), str(over)])
        for took, sort_by, each in times[: SHOWN if way == "page" else SHOWN_OF_OTHERS]:
            query = TaskFilters.model_validate({"filter": each, "sort_by": sort_by})
            elapsed = min(_elapsed(db, way, query, caller) for _ in range(ELAPSED_OF))
            shown = f"`{' '.join(each.split())[:SHOWN_LETTERS]}`".replace("|", "\\|")
            slowest.append([way, number(took), number(elapsed), sort_by, shown])
    report.say(f"{name}: ms of CPU; the statements that are kept take {statement_cache.kept.weight:,} bytes.")
    head = ["asked for", "filters", "median", "p95", "longest", f"over {GOAL_MS}"]
    report.say(table(head, figures, left=1))
    report.say("The slowest:")
    report.say(table(["asked for", "ms", "elapsed", "sort_by", "filter"], slowest, left=5))
    return all(row[-1] == "0" for row in figures)


def refused(count: int) -> tuple[bool, str]:
    """Whether each of `count` broken filters was refused in time, and a sentence with the times."""
    broken = BrokenFilters(random.Random(20261127))  # noqa: S311  # the same filters each time
    # The program does so too. Otherwise the collector goes through everything that is loaded, now and then.
    gc.collect()
    gc.freeze()
    times = []
    for _ in range(count):
        text_ = broken.filter()
        took = min(_refusing(text_) for _ in range(2))
        times.append((took, text_))
    times.sort(reverse=True)
    middle, longest = median(took for took, _ in times), times[0][0]
    told = f"{count:,} broken filters are refused in {middle:.2f} ms each, the slowest in {longest:.1f}."
    return longest < REFUSED_MS, told


def _refusing(text_: str) -> float:
    start = thread_time()
    with contextlib.suppress(InvalidFilter):
        syntax.parse(text_)
    return (thread_time() - start) * 1000


def _page(session: Session, caller: Caller, query: TaskFilters) -> None:
    task_service.get_tasks_with_filters(session, caller, query)


def _total(session: Session, caller: Caller, query: TaskFilters) -> None:
    task_service.get_tasks_with_filters(session, caller, query.model_copy(update={"total": True}))


def _export(session: Session, caller: Caller, query: TaskFilters) -> None:
    exporting.export_page(session, caller, ExportQuery(filter=query.filter, limit=1000))


def _ids(session: Session, caller: Caller, query: TaskFilters) -> None:
    task_service.matching_ids(session, caller, query, MOST_CHANGED + 1)


def _figures(session: Session, caller: Caller, query: TaskFilters) -> None:
    asked = FlowQuery.model_validate({"filter": query.filter, "from": "2025-01-01", "to": "2026-11-27"})
    answers.flow(session, question.ask(session, caller, asked))


# The ways to ask.
WAYS: Mapping[str, Callable[[Session, Caller, TaskFilters], None]] = {
    "page": _page,
    "total": _total,
    "export": _export,
    "ids": _ids,
    "figures": _figures,
}


# The number of other processes of Postgres that may do a part of the work. Their CPU time is not measured.
_HELPERS = "max_parallel_workers_per_gather"
_ALONE = select(func.set_config(_HELPERS, "0", False))  # noqa: FBT003  # as SQL has it
_HELPED = text(f"SELECT set_config(name, reset_val, false) FROM pg_settings WHERE name = '{_HELPERS}'")


def _elapsed(db: Database, way: str, query: TaskFilters, caller: Caller) -> float:
    """The milliseconds that a call takes, with the help of other processes of Postgres if it is given."""

    def asked(session: Session) -> float:
        if not db.is_sqlite:
            session.execute(_HELPED)
        flow_history.chosen.clear()
        start = perf_counter()
        WAYS[way](session, caller, query)
        return (perf_counter() - start) * 1000

    return db.read(asked)


def _milliseconds(db: Database, way: str, query: TaskFilters, caller: Caller) -> float:
    def asked(session: Session) -> float:
        backend = None
        if not db.is_sqlite:
            session.execute(_ALONE)
            backend = Path(f"/proc/{session.execute(select(func.pg_backend_pid())).scalar_one()}/schedstat")
        flow_history.chosen.clear()
        start = _seconds(backend)
        WAYS[way](session, caller, query)
        return (_seconds(backend) - start) * 1000

    return db.read(asked)


def _seconds(backend: Path | None) -> float:
    """The CPU time so far, of this thread and of Postgres' backend for it."""
    there = 0 if backend is None else int(backend.read_text().split()[0])
    return thread_time() + there / 1e9


def main() -> int:
    """Measure and print; the exit status is 1 if a filter took longer than the goal."""
    parser = options(__doc__ or "", "benchmarks.filters")
    parser.add_argument("--filters", type=int, default=2000, help="how many filters are tried")
    parser.add_argument("--others", type=int, default=200, help="how many are asked in the other ways too")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="how many tasks there are")
    parser.add_argument("--own", type=int, default=100_000, help="how many of them are the owner's")
    parser.add_argument(
        "--keep", type=Path, default=None, help="where the databases are kept, and used again"
    )
    with_database(parser)
    arguments = parser.parse_args()
    total, own, count = arguments.tasks, arguments.own, arguments.filters
    if arguments.quick:
        total, own, count = 20_000, 5_000, 100
    kept_to, told = refused(count * 5)
    with place(arguments, keep=arguments.keep) as here:
        for name in databases(arguments):
            report = Report(
                "benchmarks.filters", f"The slowest filters, {name}", here.directory, section=name
            )
            report.say(
                f"An owner of {own:,} tasks among {total:,}; the first pages of {count:,} filters in random orders,"
                f" and {arguments.others:,} of them in other ways. {told}"
            )
            url = here.url(name, "filters")
            db = Database(url)
            migrate(db)
            known = db.read(
                lambda db: db.execute(select(users.c.id).where(users.c.username == "owner")).first()
            )
            if known is None:
                filled(db, url, total, own)
            kept_to &= measured(report, name, db, count, arguments.others)
            db.close()
            finish(report, arguments, failed=False)
    return int(not kept_to)


if __name__ == "__main__":
    sys.exit(main())
