"""The waits of others while sixteen people log in without pause.

    python -m benchmarks.login_load [--database sqlite|postgres|both] [--quick]

Passwords are hashed at the program's own cost. The tutorial-style app runs beside it.
"""

import os
import sys
from collections import Counter
from statistics import median
from urllib.parse import urlencode

from benchmarks import people as scenes
from benchmarks.load import Group, Source, drive, form
from benchmarks.people import PASSWORD
from benchmarks.report import Report, kinds, number, progress, table
from benchmarks.servers import NotStartedError, Server, settle, split_cores
from benchmarks.setup import Place, databases, finish, options, place, with_database

LOGINS, READERS, COST = 16, 8, "12"


def login_source(name: str) -> Source:
    """The calls of one person who logs in again and again."""
    fields = urlencode({"username": name, "password": PASSWORD}).encode()
    call = (form("/auth/login", fields), 200)
    return lambda: call


def measure(
    server: Server, rounds: int, seconds: float
) -> tuple[list[float], list[float], list[float], Counter[str]]:
    """The p99 of readers, at rest and beside logins, and the logins/s, for each round."""
    people = scenes.settle_in(server.port, LOGINS)
    readers = scenes.clients(people, scenes.get_by_id, READERS)
    logins = [login_source(person.name) for person in people]
    quiet, busy, rate = [], [], []
    wrong: Counter[str] = Counter()
    for turn in range(rounds + 1):
        settle(server.pid)
        (alone,) = drive([Group(readers, [server.port])], seconds if turn else 1.0)
        settle(server.pid)
        groups = [Group(readers, [server.port]), Group(logins, [server.port])]
        among, others = drive(groups, seconds if turn else 1.0, grace=60)
        for result in (alone, among, others):
            wrong += result.failures
        if turn:
            quiet.append(alone.percentile(0.99))
            busy.append(among.percentile(0.99))
            rate.append(others.rate)
    return quiet, busy, rate, wrong


def start(space: Place, app: str, database: str) -> Server:
    name = f"login_{app}_{database}"
    url = space.url(database, name)
    if app == "ours":
        return space.ours(name, url, BCRYPT_ROUNDS=COST)
    return space.peer(name, "tutorial_app", url, BCRYPT_ROUNDS=COST)


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.login_load")
    with_database(parser, "sqlite")
    parser.add_argument("--apps", nargs="+", default=["ours", "tutorial"])
    arguments = parser.parse_args()
    rounds, seconds = (1 if arguments.quick else 3), 8.0
    failed = False
    with place(arguments) as space:
        report = Report("benchmarks.login_load", "While people log in", space.directory)
        measured, others = split_cores()
        if measured != others:
            os.sched_setaffinity(0, others)
        rows = []
        for database in databases(arguments):
            for app in arguments.apps:
                progress(f"{app} on {database}")
                quiet, busy, rate, wrong = measure(start(space, app, database), rounds, seconds)
                failed |= bool(wrong) and app == "ours"
                rows.append(
                    [
                        app,
                        database,
                        number(median(quiet), 1),
                        number(median(busy), 1),
                        f"{median(busy) / median(quiet):.1f} x",
                        number(median(rate), 1),
                        kinds(wrong),
                    ]
                )
        report.say(
            f"p99 of GET /tasks/{{id}} by {READERS} clients, alone and beside {LOGINS} that log in "
            f"(cost {COST}); medians of {rounds} rounds of {seconds:g} s, the server on one core."
        )
        head = [
            "application",
            "database",
            "p99 alone, ms",
            "p99 beside, ms",
            "times",
            "logins/s",
            "wrong",
        ]
        report.say(table(head, rows))
        return finish(report, arguments, failed=failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
