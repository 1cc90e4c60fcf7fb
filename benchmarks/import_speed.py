"""Measures an import of 10,000 tasks beside a bare INSERT of the same rows through the driver.

    python -m benchmarks.import_speed [--database sqlite|postgres|both] [--quick]

Both go into the same table, with its indexes and triggers, and are durable when they return.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter

from benchmarks import fill
from benchmarks.people import Api, WrongAnswerError
from benchmarks.report import Report, number, progress, table
from benchmarks.servers import NotStartedError, settle
from benchmarks.setup import Place, databases, finish, options, place, with_database

ROWS = 10_000


def bare_insert(url: str, rows: Sequence[fill.TaskRow]) -> float:
    """The seconds of one transaction with an INSERT for each row, whose values are ready before."""
    connection = fill.connect(url)
    statement = fill.insert_statement(connection)
    values = [fill.task_values(connection, row) for row in rows]
    cursor = connection.cursor()
    start = perf_counter()
    cursor.executemany(statement, values)
    connection.commit()
    seconds = perf_counter() - start
    connection.close()
    return seconds


def measure(space: Place, database: str, rounds: int) -> list[list[str]]:
    """The rows of the table for one database."""
    name = f"import_{database}"
    url = space.url(database, name)
    server = space.ours(name, url)
    api = Api(server.port)
    importer = api.register("importer")
    token = api.login("importer")
    start = datetime.now(UTC) - timedelta(days=700)
    times: dict[str, list[float]] = {"POST /tasks/import": [], "bare INSERT": []}
    for turn in range(rounds + 1):
        progress(f"{database}: round {turn} of {rounds}")
        rows = list(fill.make_rows([(importer, ROWS)], start, seed=turn))
        body = json.dumps([row.as_json() for row in rows]).encode()
        settle(server.pid)
        answer = api.must(201, "POST", "/tasks/import", token=token, data=body)
        if answer.json()["imported"] != ROWS:
            raise WrongAnswerError(f"the import answered {answer.body!r}")
        settle(server.pid)
        bare = bare_insert(url, rows)
        if turn:
            times["POST /tasks/import"].append(answer.seconds)
            times["bare INSERT"].append(bare)
    base = median(times["bare INSERT"])
    return [
        [
            label,
            database,
            number(median(seen), 2),
            number(min(seen), 2),
            number(max(seen), 2),
            f"{median(seen) / base:.2f} x",
        ]
        for label, seen in times.items()
    ]


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.import_speed")
    with_database(parser)
    arguments = parser.parse_args()
    rounds = 2 if arguments.quick else 5
    with place(arguments) as space:
        report = Report("benchmarks.import_speed", "Importing", space.directory)
        rows = []
        for database in databases(arguments):
            rows += measure(space, database, rounds)
        report.say(f"{ROWS:,} tasks at a time, {rounds} rounds in turns, seconds.")
        report.say(table(["what", "database", "median", "least", "most", "against bare"], rows))
        return finish(report, arguments, failed=False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, WrongAnswerError) as error:
        sys.exit(str(error))
