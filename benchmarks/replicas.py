"""One, two and three API processes on one database.

    python -m benchmarks.replicas [--database sqlite|postgres|both] [--quick]

The clients are dealt out to the processes in turn, as by a round-robin balancer. No process is tied to a core here. If
there are fewer cores than processes and load together, the figures are those of the cores.
"""

import os
import sys
from collections import Counter
from statistics import median

from benchmarks import people as scenes
from benchmarks.load import load
from benchmarks.report import Report, kinds, number, progress, table
from benchmarks.servers import NotStartedError, cores, settle
from benchmarks.setup import Place, databases, finish, options, place, with_database

CLIENTS = 36  # the same number with one, two and three processes
SCENES = {name: scenes.SCENARIOS[name] for name in ("get by id", "list of 20", "create")}


def measure(
    space: Place, database: str, most: int, rounds: int, seconds: float
) -> tuple[list[list[str]], bool]:
    """The rows of a database, and whether an answer was wrong."""
    url = space.url(database, f"replicas_{database}")
    servers = [space.ours(f"{database}{number}", url) for number in range(most)]
    ports = [server.port for server in servers]
    people = scenes.settle_in(ports[0], CLIENTS)
    rates: dict[tuple[str, int], list[float]] = {}
    slowest: dict[tuple[str, int], list[tuple[float, float]]] = {}
    wrong: dict[tuple[str, int], Counter[str]] = {}
    for turn in range(rounds + 1):
        for name, make in SCENES.items():
            for count in range(1, len(ports) + 1):
                progress(f"{database}: round {turn} of {rounds}: {name}, {count} processes")
                sources = scenes.clients(people, make, CLIENTS)
                result = load(sources, ports[:count], seconds if turn else 1.0)
                for server in servers[:count]:
                    settle(server.pid)
                wrong.setdefault((name, count), Counter()).update(result.failures)
                if turn:
                    rates.setdefault((name, count), []).append(result.rate)
                    slowest.setdefault((name, count), []).append(
                        (result.percentile(0.99), result.percentile(1.0))
                    )
    rows = [
        [
            database,
            name,
            f"{count}",
            number(median(rates[name, count])),
            f"{median(rates[name, count]) / median(rates[name, 1]):.2f} x",
            *(number(median(each), 1) for each in zip(*slowest[name, count], strict=True)),
            kinds(wrong[name, count]),
        ]
        for name, count in rates
    ]
    return rows, any(wrong.values())


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.replicas")
    with_database(parser)
    parser.add_argument("--most", type=int, default=3, help="processes at most")
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (3, 4.0)
    with place(arguments, set(cores())) as space:
        report = Report("benchmarks.replicas", "More processes on one database", space.directory)
        measured = [
            measure(space, database, arguments.most, rounds, seconds) for database in databases(arguments)
        ]
        report.say(
            f"{CLIENTS} clients, medians of {rounds} rounds of {seconds:g} s, on {os.cpu_count()} "
            f"cores that the processes, Postgres and the load share."
        )
        head = [
            "database",
            "scenario",
            "processes",
            "requests/s",
            "against one",
            "p99 ms",
            "longest",
            "wrong",
        ]
        report.say(table(head, [row for rows, _ in measured for row in rows], 2))
        return finish(report, arguments, failed=any(failed for _, failed in measured))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
