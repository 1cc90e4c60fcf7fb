"""Shows whether the time of an answer tells if somebody has an account: medians for known and unknown names.

    python -m benchmarks.enumeration [--database sqlite|postgres|both] [--quick]

Each request comes from an address of its own, like those of a patient attacker, so that no delay hides the time.
"""

import http.client
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from urllib.parse import urlencode

from benchmarks import people as scenes
from benchmarks.people import PASSWORD, Api
from benchmarks.report import Report, number, progress, table
from benchmarks.servers import HOST, NotStartedError, Server
from benchmarks.setup import databases, finish, options, place, with_database

ACCOUNTS = 25
TOLERANCE = 0.10
# The work after an answer ends within this pause, before the next request.
PAUSE_SECONDS = 0.04
FORM, JSON = "application/x-www-form-urlencoded", "application/json"

Body = Callable[[str], tuple[str, bytes]]
CALLS: dict[str, Body] = {
    "/auth/login": lambda name: (FORM, urlencode({"username": name, "password": "a guess"}).encode()),
    "/auth/password/forgot": lambda name: (JSON, json.dumps({"email": f"{name}@example.com"}).encode()),
    "/auth/email/resend": lambda name: (JSON, json.dumps({"email": f"{name}@example.com"}).encode()),
    "/auth/refresh": lambda name: (JSON, json.dumps({"refresh_token": refresh_tokens[name]}).encode()),
}
# A refresh token for each name. Known accounts have one of an ended session; unknown ones have an invented one.
refresh_tokens: dict[str, str] = {}


def addresses() -> Iterator[str]:
    """One address after the other, never the same twice."""
    for number_ in itertools.count():
        yield f"10.{number_ >> 16 & 255}.{number_ >> 8 & 255}.{number_ & 255}"


def ask(server: Server, path: str, kind: str, body: bytes, address: str) -> tuple[float, int, bytes]:
    """The time of one request on a connection of its own, its status, and its body without the request's id."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", path, body, {"Content-Type": kind, "X-Forwarded-For": address})
    answer = connection.getresponse()
    content = answer.read()
    spent = time.perf_counter() - began
    connection.close()
    said = {**json.loads(content), "request_id": ""}
    return spent, answer.status, json.dumps(said).encode()


def measure(server: Server, path: str, tries: int) -> tuple[float, float, set[tuple[int, bytes]]]:
    """The medians for known and unknown names, and every different answer that was given."""
    spent: dict[bool, list[float]] = {True: [], False: []}
    answers = set()
    somewhere = addresses()
    # All calls are shuffled together, so that work after an answer delays known and unknown names alike.
    turns = [(known, turn) for turn in range(tries) for known in (True, False)]
    random.shuffle(turns)
    for known, turn in turns:
        name = f"{'known' if known else 'nobody'}{turn % ACCOUNTS}"
        kind, body = CALLS[path](name)
        seconds, status, content = ask(server, path, kind, body, next(somewhere))
        spent[known].append(seconds)
        answers.add((status, content))
        time.sleep(PAUSE_SECONDS)
    return median(spent[True]), median(spent[False]), answers


def main() -> int:
    """Run it and print the table; the exit status."""
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.enumeration")
    with_database(parser, "both")
    parser.add_argument("--tries", type=int, default=200)
    arguments = parser.parse_args()
    tries = 50 if arguments.quick else arguments.tries
    failed = False
    with place(arguments) as space:
        report = Report(
            "benchmarks.enumeration", "Who has an account, by the time of an answer", space.directory
        )
        rows = []
        for database in databases(arguments):
            url = space.url(database, "enumeration")
            server = space.ours(
                f"enumeration_{database}", url, TRUSTED_PROXIES="127.0.0.1", BCRYPT_ROUNDS="9"
            )
            api = Api(server.port)
            for account in range(ACCOUNTS):
                api.register(f"known{account}")
                fields = {"username": f"known{account}", "password": PASSWORD}
                session = api.must(200, "POST", "/auth/login", fields=fields).json()
                api.must(200, "POST", "/auth/logout", token=session["access_token"])
                token: str = session["refresh_token"]
                refresh_tokens[f"known{account}"] = token
                refresh_tokens[f"nobody{account}"] = "".join(random.sample(token, len(token)))
            for path in CALLS:
                progress(f"{path} on {database}")
                known, unknown, answers = measure(server, path, tries)
                alike = len(answers) == 1 and abs(known / unknown - 1) <= TOLERANCE
                failed |= not alike
                times = [number(known * 1000, 2), number(unknown * 1000, 2), number(known / unknown, 3)]
                rows.append([path, database, *times, str(len(answers))])
        report.say(
            f"Medians of {tries} requests each, in an order by chance; alike is a ratio within {TOLERANCE:.0%} and one answer. "
            "Hashing costs an eighth of what it does by default, which makes a difference easier to see."
        )
        report.say(table(["endpoint", "database", "known, ms", "unknown, ms", "ratio", "answers"], rows))
        return finish(report, arguments, failed=failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, scenes.WrongAnswerError) as error:
        sys.exit(str(error))
