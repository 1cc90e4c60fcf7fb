"""Measures creates one by one and in batches of 100, and a batch of 1,000 operations beside other requests.

    python -m benchmarks.batch_speed [--database sqlite|postgres|both] [--quick]

Each task is durable when its request is answered. The CPU of the server and of Postgres is counted until both are idle
again, so the work after an answer counts too.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.load import Group, Source, drive, load, request
from benchmarks.people import (
    Person,
    WrongAnswerError,
    clients,
    create,
    limited,
    list_of,
    new_task,
    settle_in,
)
from benchmarks.report import Report, number, progress, table
from benchmarks.servers import NotStartedError, Server, settle
from benchmarks.setup import Place, databases, finish, options, place, with_database

SIZE = 100
PEOPLE = 8
# One program that has a hundred tasks to make, and many programs at once, whose single creates share commits.
CLIENTS = (1, 16)
# The seconds that the others pause between requests beside batches. Without a pause they take all that two cores give.
PAUSES = {"50 times a second": 0.02, "all the time": 0.0}
GOAL = 6.0
THOUSAND_SECONDS = 1.5
OTHERS_WAIT_MS = 100.0

_numbers = itertools.count()


def _batch(size: int) -> bytes:
    """The body of a batch of creates."""
    operations = [{"op": "create", "task": json.loads(new_task(next(_numbers)))} for _ in range(size)]
    return json.dumps({"operations": operations}).encode()


def _batches(people: list[Person], count: int, size: int, programs: int) -> list[Source]:
    """Clients that together send this number of batches."""
    calls: Iterator[tuple[bytes, int]] = iter(
        [
            (request("POST", "/tasks/batch", people[at % PEOPLE].token, _batch(size)), 200)
            for at in range(count)
        ]
    )
    return [lambda: next(calls, None) for _ in range(programs)]


class Meter:
    """Counts the CPU of a server and of its Postgres."""

    def __init__(self, space: Place, server: Server, database: str) -> None:
        self._pids = [server.pid, *([space.postgres().pid] if database == "postgres" else [])]

    def read(self) -> list[float]:
        return [settle(pid) for pid in self._pids]

    def each(self, sources: list[Source], port: int, tasks: int) -> float:
        """Microseconds of CPU for each task that the sources make."""
        before = self.read()
        done = load(sources, [port], 600)
        if done.failed:
            raise WrongAnswerError(f"wrong answers: {dict(done.failures)}")
        return sum(after - start for after, start in zip(self.read(), before, strict=True)) / tasks * 1e6


def _beside(
    people: list[Person], port: int, seconds: float, pause: float
) -> tuple[list[float], float, float]:
    """The times of batches of 1,000, and the longest waits of readers and writers beside them, in ms."""
    calls = iter([(request("POST", "/tasks/batch", people[0].token, _batch(1000)), 200) for _ in range(8)])
    groups = [[lambda: next(calls, None)]]
    groups += [[make(person) for person in people[1:3]] for make in (list_of(20), create)]
    ran = drive([Group(sources, [port], pause if at else 0.0) for at, sources in enumerate(groups)], seconds)
    if any(each.failed for each in ran):
        raise WrongAnswerError(f"wrong answers: {[dict(each.failures) for each in ran]}")
    return ran[0].latencies, ran[1].percentile(1.0), ran[2].percentile(1.0)


def measure(
    space: Place, database: str, rounds: int, singles: int
) -> tuple[list[list[str]], list[list[str]]]:
    """The rows of a database in the two tables."""
    name = f"batch_{database}"
    server = space.ours(name, space.url(database, name))
    people = settle_in(server.port, PEOPLE)
    meter = Meter(space, server, database)
    one: dict[int, list[float]] = {programs: [] for programs in CLIENTS}
    many: dict[int, list[float]] = {programs: [] for programs in CLIENTS}
    for turn in range(rounds + 1):
        progress(f"{database}: round {turn} of {rounds}")
        for programs in CLIENTS:
            creates = limited(clients(people, create, programs), singles)
            single = meter.each(creates, server.port, singles)
            batches = _batches(people, singles // SIZE * 4, SIZE, programs)
            batched = meter.each(batches, server.port, singles * 4)
            if turn:
                one[programs].append(single)
                many[programs].append(batched)
    speed = []
    for programs in CLIENTS:
        alone, together = median(one[programs]), median(many[programs])
        ratio = number(alone / together, 1)
        speed.append([database, str(programs), number(alone), number(together), ratio, number(GOAL)])
    beside = []
    for others, pause in PAUSES.items():
        took, reads, writes = _beside(people, server.port, 8.0, pause)
        times = [median(took) * 1000, max(took) * 1000, reads, writes]
        beside.append([database, others, *map(number, times)])
    return speed, beside


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.batch_speed")
    with_database(parser)
    arguments = parser.parse_args()
    rounds, singles = (2, 800) if arguments.quick else (5, 2000)
    with place(arguments) as space:
        report = Report("benchmarks.batch_speed", "Batches", space.directory)
        measured = [measure(space, database, rounds, singles) for database in databases(arguments)]
        report.say(
            f"CPU of server and database for each created task, in us; batches of {SIZE}, {rounds} rounds, by one"
            " client and by several."
        )
        head = ["database", "clients", "single", "in a batch", "ratio", "goal"]
        report.say(table(head, [row for speed, _ in measured for row in speed], 2))
        report.say(
            f"Batches of 1,000 creates in ms (goal {THOUSAND_SECONDS * 1000:.0f}), and the longest that two clients"
            f" which list and two which create waited beside them (goal {OTHERS_WAIT_MS:.0f}). These four ask 50 times"
            " a second each, or all the time, which takes both cores."
        )
        head = ["database", "others ask", "median", "longest", "a list", "a create"]
        report.say(table(head, [row for _, beside in measured for row in beside], 2))
        return finish(report, arguments, failed=False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, WrongAnswerError) as error:
        sys.exit(str(error))
