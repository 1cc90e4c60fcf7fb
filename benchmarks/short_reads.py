"""Short reads on the event loop beside the same reads in threads, at rest and while others write (SQLite).

    python -m benchmarks.short_reads [--quick]

The question is whether a read that waits for the disk or for a writer would hold up everybody else.
"""

import os
import sys
from collections import Counter
from statistics import median

from benchmarks import people as scenes
from benchmarks.load import Group, drive
from benchmarks.report import Report, kinds, number, progress, table
from benchmarks.servers import NotStartedError, Server, cpu_seconds, settle, split_cores
from benchmarks.setup import Place, finish, options, place

READERS = WRITERS = 16
APPS = {"on the event loop": "main:app", "in threads": "benchmarks.threaded_reads_app:app"}


def start(space: Place, app: str) -> Server:
    """The program, migrated, with its reads done in one of the two ways."""
    name = f"reads_{'loop' if app == 'main:app' else 'threads'}"
    return space.ours(name, space.url("sqlite", name), app=app)


def measure(server: Server, rounds: int, seconds: float) -> tuple[list[list[float]], Counter[str]]:
    """For each round reads/s, p50, p99 (ms) and CPU (us) at rest, and reads/s, p50, p99 and writes/s beside writers."""
    people = scenes.settle_in(server.port, READERS)
    readers = scenes.clients(people, scenes.get_by_id, READERS)
    writers = scenes.clients(people, scenes.create, WRITERS)
    figures, wrong = [], Counter[str]()
    for turn in range(rounds + 1):
        before = settle(server.pid)
        (alone,) = drive([Group(readers, [server.port])], seconds if turn else 1.0)
        cost = (cpu_seconds(server.pid) - before) / max(alone.answered, 1) * 1e6
        settle(server.pid)
        groups = [Group(readers, [server.port]), Group(writers, [server.port])]
        among, writing = drive(groups, seconds if turn else 1.0)
        for result in (alone, among, writing):
            wrong += result.failures
        if turn:
            figures.append(
                [
                    *(alone.rate, alone.percentile(0.5), alone.percentile(0.99), cost),
                    *(among.rate, among.percentile(0.5), among.percentile(0.99)),
                    *(writing.rate, writing.percentile(0.99)),
                ]
            )
    return figures, wrong


def main() -> int:
    """Run it and print the table; the exit status."""
    arguments = options(str(__doc__).partition("\n")[0], "benchmarks.short_reads").parse_args()
    rounds, seconds = (1 if arguments.quick else 5), (2.0 if arguments.quick else 6.0)
    failed, rows = False, []
    with place(arguments) as space:
        report = Report("benchmarks.short_reads", "Short reads on the event loop", space.directory)
        measured, others = split_cores()
        if measured != others:
            os.sched_setaffinity(0, others)
        for label, app in APPS.items():
            progress(label)
            figures, wrong = measure(start(space, app), rounds, seconds)
            failed |= bool(wrong)
            rows.append(
                [label, *(number(median(each), 1) for each in zip(*figures, strict=True)), kinds(wrong)]
            )
        report.say(
            f"GET /tasks/{{id}} by {READERS} clients, alone and beside {WRITERS} that create tasks with "
            f"synchronous=FULL; medians of {rounds} rounds of {seconds:g} s."
        )
        head = [
            "reads",
            "reads/s",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "reads/s beside writers",
            "p50 ms",
            "p99 ms",
        ]
        report.say(table([*head, "writes/s", "p99 ms", "wrong"], rows, left=1))
        return finish(report, arguments, failed=failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
