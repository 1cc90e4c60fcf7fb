"""The program beside a bare FastAPI route and a tutorial-style application, interleaved in one run.

    python -m benchmarks.compare [--database sqlite|postgres|both] [--quick] [--only PART ...]

The figure to trust where other programs share the cores is the server's CPU per request.
"""

import itertools
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks import people as scenes
from benchmarks.load import Result, Source, load
from benchmarks.people import Person
from benchmarks.report import Report, kinds, number, progress, table
from benchmarks.servers import (
    NotStartedError,
    Postgres,
    Server,
    cpu_seconds,
    resident_mb,
    settle,
    split_cores,
)
from benchmarks.setup import Place, databases, finish, options, place, with_database
from benchmarks.slow_disk import slow_fsync

# The time of an fsync on the network volumes that most servers have.
SLOWER_MS = 3.0

PARTS = ("endpoints", "writers", "crowd", "memory")

# The goals of the program: the CPU of the bare route divided by its own.
GOALS = {
    "sqlite": dict(zip(scenes.SCENARIOS, (0.38, 0.28, 0.24, 0.22, 0.20), strict=True)),
    "postgres": dict(zip(scenes.SCENARIOS, (0.20, 0.15, 0.13, 0.11, 0.10), strict=True)),
}


@dataclass
class Entry:
    """One application on one database, with its accounts and what it measured."""

    label: str
    server: Server
    people: list[Person]
    database: str = ""
    ours: bool = False
    postgres: Postgres | None = None
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Round:
    """One entry in one scenario for a few seconds."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Microseconds of the server for each request."""
    database_cpu: float


def measure(entry: Entry, sources: Sequence[Source], seconds: float) -> tuple[Round, Result]:
    """One round, with the work that goes on after the last response counted in."""
    pid = entry.server.pid
    before = settle(pid)
    database_before = cpu_seconds(entry.postgres.pid) if entry.postgres else 0.0
    result = load(sources, [entry.server.port], seconds)
    spent = settle(pid) - before
    database_spent = cpu_seconds(entry.postgres.pid) - database_before if entry.postgres else 0.0
    entry.failures += result.failures
    total = result.answered + result.failed
    each = 1e6 / total if total else float("nan")
    once = Round(
        result.rate,
        result.percentile(0.5),
        result.percentile(0.99),
        spent * each,
        database_spent * each if entry.postgres else float("nan"),
    )
    return once, result


def middle(rounds: Sequence[Round], name: str) -> float:
    """The median of one figure over the rounds."""
    return median(float(getattr(once, name)) for once in rounds)


def ratio(bare: Sequence[Round] | None, mine: Sequence[Round]) -> float:
    """The ratio round by round, because a busy machine makes all applications of a round dearer alike."""
    if bare is None:
        return float("nan")
    return median(theirs.cpu / ours.cpu for theirs, ours in zip(bare, mine, strict=True))


# ---- ours, bare, tutorial ------------------------------------------------------------------------


def entries(
    space: Place, apps: Sequence[str], chosen: Sequence[str], accounts: int, beside: Path | None
) -> list[Entry]:
    """Start everything that takes part, with accounts and tasks where there is a database.

    `beside` is another checkout of the program, to compare the two.
    """
    found = []
    if "bare" in apps:
        nobody = [Person("nobody", "none", list(range(1, scenes.MEMBER_TASKS + 1)))]
        found.append(Entry("bare route", space.peer("bare", "bare_app", ""), nobody))
    for database in chosen:
        postgres = space.postgres() if database == "postgres" else None
        for app in apps:
            if app == "bare":
                continue
            name = f"{app}_{database}"
            url = space.url(database, name)
            if app == "tutorial":
                server = space.peer(name, "tutorial_app", url)
            else:
                checkout = beside.resolve() if app == "beside" and beside else space.root
                server = replace(space, root=checkout).ours(name, url)
            progress(f"accounts and tasks for {app} on {database}")
            people = scenes.settle_in(server.port, accounts)
            label = f"{app}, {database}"
            found.append(Entry(label, server, people, database, app == "ours", postgres))
    return found


def endpoints(
    report: Report, taking_part: Sequence[Entry], clients: int, rounds: int, seconds: float
) -> None:
    """Every scenario for every entry in turn, round after round."""
    figures: dict[tuple[str, str], list[Round]] = {}
    wrong: dict[tuple[str, str], Counter[str]] = {}
    for turn, (scene, make) in itertools.product(range(rounds + 1), scenes.SCENARIOS.items()):
        progress(f"round {turn} of {rounds}: {scene}" if turn else f"warming up: {scene}")
        for entry in taking_part:
            sources = scenes.clients(entry.people, make, clients)
            once, result = measure(entry, sources, seconds if turn else min(1.0, seconds))
            wrong.setdefault((scene, entry.label), Counter()).update(result.failures)
            if turn:
                figures.setdefault((scene, entry.label), []).append(once)
    rows = []
    for scene in scenes.SCENARIOS:
        bare = figures.get((scene, "bare route"))
        for entry in taking_part:
            mine = figures[scene, entry.label]
            goal = GOALS[entry.database][scene] if entry.ours else float("nan")
            rows.append(
                [
                    scene,
                    entry.label,
                    number(middle(mine, "rate")),
                    number(middle(mine, "p50"), 1),
                    number(middle(mine, "p99"), 1),
                    number(middle(mine, "cpu")),
                    number(middle(mine, "database_cpu")),
                    number(ratio(bare, mine), 3),
                    number(goal, 2),
                    kinds(wrong[scene, entry.label]),
                ]
            )
    head = "scenario|application|requests/s|p50 ms|p99 ms|CPU us|database CPU us|ratio|goal|wrong"
    report.say(
        f"{clients} clients, one worker each, medians of {rounds} interleaved rounds of "
        f"{seconds:g} s. CPU is user and system time of the server process for each request, work "
        f"after the response included; the ratio is the bare route's CPU of the same round divided "
        f"by it."
    )
    report.say(table(head.split("|"), rows))
    compare_checkouts(report, figures)


def compare_checkouts(report: Report, figures: dict[tuple[str, str], list[Round]]) -> None:
    """The CPU of this checkout divided by that of the other one, round by round."""
    rows = []
    for (scene, label), theirs in figures.items():
        if label.startswith("beside, "):
            database = label.removeprefix("beside, ")
            mine = figures[scene, f"ours, {database}"]
            each = sorted(ours.cpu / old.cpu for ours, old in zip(mine, theirs, strict=True))
            shown = [number(median(each), 3), number(each[0], 3), number(each[-1], 3)]
            if database == "postgres":
                spent = [ours.database_cpu / old.database_cpu for ours, old in zip(mine, theirs, strict=True)]
                shown.append(number(median(spent), 3))
            else:
                shown.append("")
            rows.append([scene, database, *shown])
    if rows:
        report.say(
            "This checkout beside the other one: CPU of a request divided by the other's of the same round."
        )
        report.say(table(["scenario", "database", "ratio", "least", "most", "database CPU"], rows))


# ---- 64 writers, a crowd, memory -----------------------------------------------------------------


def writers(
    report: Report, space: Place, apps: Sequence[str], rounds: int, seconds: float, slower_ms: float = 0.0
) -> Counter[str]:
    """64 clients that create on SQLite with an fsync for each commit, beside a transaction in each thread.

    The first peer does the same work as the program and differs only in its transactions. The second peer writes
    only the task. Returns the failures of the program.
    """
    disk: dict[str, str] = {}
    scene = "64 writers, sqlite"
    if slower_ms:
        slow = slow_fsync(space.directory, slower_ms)
        if slow is None:
            report.say(f"Not run with an fsync of {slower_ms:g} ms more: there is no C compiler here.")
            return Counter()
        disk, scene = slow, f"{scene}, fsync + {slower_ms:g} ms"
    both = []
    if "ours" in apps:
        name, app = f"own_transactions_{slower_ms:g}", "benchmarks.own_transactions_app:app"
        server = space.ours(name, space.url("sqlite", name), app=app, **disk)
        label = "ours with a transaction in each thread"
        both.append(Entry(label, server, scenes.settle_in(server.port, 16)))
    name = f"threads_{slower_ms:g}"
    peer = space.peer(name, "bare_writes_app", space.url("sqlite", name), **disk)
    both.append(Entry("the task alone, likewise", peer, scenes.settle_in(peer.port, 16)))
    if "ours" in apps:
        name = f"writers_{slower_ms:g}"
        server = space.ours(name, space.url("sqlite", name), **disk)
        both.append(Entry("ours", server, scenes.settle_in(server.port, 16), ours=True))
    figures: dict[str, list[Round]] = {entry.label: [] for entry in both}
    latest: dict[str, float] = {}
    for turn in range(rounds + 1):
        for entry in both:
            progress(f"64 writers, round {turn} of {rounds}: {entry.label}")
            sources = scenes.clients(entry.people, scenes.create, 64)
            once, result = measure(entry, sources, seconds if turn else 1.0)
            latest[entry.label] = max(latest.get(entry.label, 0), result.percentile(1))
            if turn:
                figures[entry.label].append(once)
    # Each application is compared with the first one.
    base = middle(figures[both[0].label], "rate")
    rows = [
        [
            scene,
            entry.label,
            number(middle(figures[entry.label], "rate")),
            number(middle(figures[entry.label], "p50"), 1),
            number(middle(figures[entry.label], "p99"), 1),
            number(latest[entry.label]),
            number(middle(figures[entry.label], "cpu")),
            f"{middle(figures[entry.label], 'rate') / base:.1f} x",
            kinds(entry.failures),
        ]
        for entry in both
    ]
    head = "scenario|application|requests/s|p50 ms|p99 ms|slowest ms|CPU us|rate|wrong"
    report.say(table(head.split("|"), rows))
    return both[-1].failures if both[-1].ours else Counter()


def crowd(report: Report, taking_part: Sequence[Entry], seconds: float) -> None:
    """256 clients at once: the point is that each is answered."""
    rows = []
    for entry in taking_part:
        progress(f"256 clients: {entry.label}")
        sources = scenes.clients(entry.people, scenes.mix, 256)
        once, result = measure(entry, sources, seconds)
        rows.append(
            [
                "256 clients",
                entry.label,
                number(once.rate),
                number(once.p50, 1),
                number(once.p99, 1),
                number(result.percentile(1)),
                number(result.answered),
                kinds(result.failures),
            ]
        )
    report.say(
        f"A mix of six reads by id, two lists of 20, a create and an update in ten, {seconds:g} s "
        f"and 15 s of grace; what is not answered by then counts as wrong."
    )
    head = "scenario|application|requests/s|p50 ms|p99 ms|slowest ms|answered|wrong"
    report.say(table(head.split("|"), rows))


def memory(report: Report, space: Place, database: str, requests: int, steps: int = 10) -> Counter[str]:
    """Resident memory of a fresh worker of ours as the requests add up."""
    name = f"memory_{database}"
    server = space.ours(name, space.url(database, name))
    accounts = scenes.settle_in(server.port, 8)
    seen = [("0", resident_mb(server.pid))]
    wrong: Counter[str] = Counter()
    for step in range(1, steps + 1):
        progress(f"memory on {database}: {step * requests // steps:,} of {requests:,} requests")
        sources = scenes.clients(accounts, scenes.mix, 32)
        result = load(scenes.limited(sources, requests // steps), [server.port], 600)
        wrong += result.failures
        settle(server.pid)
        seen.append((f"{step * requests // steps:,}", resident_mb(server.pid)))
    half, last = seen[steps // 2][1], seen[-1][1]
    report.say(
        table(
            ["resident MB after", *[at for at, _ in seen], "second half"],
            [[f"ours, {database}", *[f"{mb:.1f}" for _, mb in seen], f"{last - half:+.1f}"]],
            left=1,
        )
    )
    return wrong


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.compare")
    with_database(parser)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--apps", nargs="+", default=["bare", "tutorial", "ours"])
    parser.add_argument("--beside", type=Path, default=None, help="another checkout, to compare the two")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--accounts", type=int, default=32, help="how many people the clients are")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--requests", type=int, default=None, help="for the memory's course")
    arguments = parser.parse_args()
    quick = arguments.quick
    rounds = arguments.rounds or (1 if quick else 3)
    seconds = arguments.seconds or (1.5 if quick else 3.0)
    measured, others = split_cores()
    wrong: Counter[str] = Counter()
    with place(arguments) as space:
        report = Report("benchmarks.compare", "Beside a bare route and a tutorial", space.directory)
        if measured != others:
            os.sched_setaffinity(0, others)
            report.say(
                f"The server that is measured has core {min(measured)} to itself, as far as this "
                f"machine's other work lets it; the load and Postgres have the others."
            )
        if {"endpoints", "crowd"} & set(arguments.only):
            accounts = min(arguments.accounts, 8 if quick else arguments.accounts)
            apps = [*arguments.apps, *(["beside"] if arguments.beside else [])]
            taking_part = entries(space, apps, databases(arguments), accounts, arguments.beside)
            if "endpoints" in arguments.only:
                endpoints(report, taking_part, arguments.clients, rounds, seconds)
            if "crowd" in arguments.only:
                crowd(report, [entry for entry in taking_part if entry.database], 2 * seconds)
            for entry in taking_part:
                if entry.ours or not entry.database:
                    wrong += entry.failures
        for slower_ms in (0.0, SLOWER_MS) if "writers" in arguments.only else ():
            wrong += writers(report, space, arguments.apps, rounds, 2.0 if quick else 5.0, slower_ms)
        if "memory" in arguments.only and "ours" in arguments.apps:
            for database in databases(arguments):
                total = arguments.requests or (10_000 if quick else 100_000)
                wrong += memory(report, space, database, total)
        return finish(report, arguments, failed=bool(wrong))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
