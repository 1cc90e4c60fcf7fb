"""One, two and three API processes on one Postgres.

    python -m benchmarks.replicas [--quick]

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
from benchmarks.setup import finish, options, place

CLIENTS = 36  # the same number with one, two and three processes
SCENES = {name: scenes.SCENARIOS[name] for name in ("get by id", "list of 20", "create")}


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.replicas")
    parser.add_argument("--most", type=int, default=3, help="processes at most")
    arguments = parser.parse_args()
    rounds, seconds = (1, 2.0) if arguments.quick else (3, 4.0)
    with place(arguments, set(cores())) as space:
        report = Report("benchmarks.replicas", "More processes on one Postgres", space.directory)
        url = space.url("postgres", "replicas")
        servers = [space.ours(f"replica{number}", url) for number in range(arguments.most)]
        ports = [server.port for server in servers]
        people = scenes.settle_in(ports[0], CLIENTS)
        rates: dict[tuple[str, int], list[float]] = {}
        slowest: dict[tuple[str, int], list[float]] = {}
        wrong: dict[tuple[str, int], Counter[str]] = {}
        for turn in range(rounds + 1):
            for name, make in SCENES.items():
                for count in range(1, len(ports) + 1):
                    progress(f"round {turn} of {rounds}: {name}, {count} processes")
                    sources = scenes.clients(people, make, CLIENTS)
                    result = load(sources, ports[:count], seconds if turn else 1.0)
                    for server in servers[:count]:
                        settle(server.pid)
                    wrong.setdefault((name, count), Counter()).update(result.failures)
                    if turn:
                        rates.setdefault((name, count), []).append(result.rate)
                        slowest.setdefault((name, count), []).append(result.percentile(0.99))
        rows = [
            [
                name,
                f"{count}",
                number(median(rates[name, count])),
                f"{median(rates[name, count]) / median(rates[name, 1]):.2f} x",
                number(median(slowest[name, count]), 1),
                kinds(wrong[name, count]),
            ]
            for name, count in rates
        ]
        report.say(
            f"{CLIENTS} clients, medians of {rounds} rounds of {seconds:g} s, on {os.cpu_count()} "
            f"cores that the processes, Postgres and the load share."
        )
        head = ["scenario", "processes", "requests/s", "against one", "p99 ms", "wrong"]
        report.say(table(head, rows))
        return finish(report, arguments, failed=any(wrong.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
