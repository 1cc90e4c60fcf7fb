"""Each endpoint's time with 1,000 tasks in the database and with 1,000,000.

    python -m benchmarks.growth [--database sqlite|postgres|both] [--quick] [--keep FOLDER] [--only TEXT] [--cpu]

One client, one call at a time. Three cells take turns, call by call: the owner of 1,000 tasks who
has the small database to himself, the same owner in the large one, and its owner of 100,000. Each owner is
also a member of a shared project with as many tasks, all of which a colleague owns.

On a machine that others use too, `--cpu` measures the CPU time of the server and of its database instead.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import TypeAlias
from urllib.parse import urlencode, urlsplit

from benchmarks import fill
from benchmarks.filters import SLOW_FILTERS
from benchmarks.people import PASSWORD, Answer, Api, WrongAnswerError
from benchmarks.report import Report, number, progress, table
from benchmarks.servers import NotStartedError, cpu_clock
from benchmarks.setup import ADMIN, Place, databases, finish, options, place, with_database

LIMIT = 2.0  # endpoints that grow by more are named below the table
OWNER_TASKS = 1_000


@dataclass(frozen=True)
class Size:
    total: int
    big: int
    owners: int
    calls: int
    cpu: bool = False


FULL = Size(total=1_000_000, big=100_000, owners=1_000, calls=40)
QUICK = Size(total=50_000, big=10_000, owners=100, calls=10)


@dataclass
class Cell:
    """Somebody in one of the databases, as one column of the table."""

    api: Api
    name: str
    token: str
    user_id: int
    task: int = 0
    halfway: str = ""
    project: int = 0
    subject: int = 0  # the account that an admin asks about
    admin: "Cell | None" = None
    made: list[int] = field(default_factory=list)
    # The CPU time of all processes that answer, if it is measured instead of the time of a call.
    clock: Callable[[], float] | None = None

    def must(self, expected: int, method: str, path: str, data: object = None) -> Answer:
        start = self.clock() if self.clock else 0
        answer = self.api.must(expected, method, path, token=self.token, data=data)
        return replace(answer, seconds=self.clock() - start) if self.clock else answer


# Makes one call, with the calls that it needs before and after it, and returns the seconds of the one call.
Probe: TypeAlias = Callable[[Cell], float]


# ---- the calls -----------------------------------------------------------------------------------


def _get(path: str) -> Probe:
    return lambda cell: cell.must(200, "GET", path).seconds


def _page(**query: object) -> Probe:
    return _get(f"/tasks?{urlencode({'limit': 20} | query)}")


def _search(query: str, **more: object) -> Probe:
    return _get(f"/tasks/search?{urlencode({'query': query, 'limit': 20} | more)}")


def _after_change(path: str) -> Probe:
    """A probe that asks for a figure right after a write, so that a figure kept from before would show."""

    def probe(cell: Cell) -> float:
        cell.made.append(0)
        status = ("pending", "completed")[len(cell.made) % 2]
        cell.must(200, "PATCH", f"/tasks/{cell.task}", {"status": status})
        sleep(0.005)
        return cell.must(200, "GET", path).seconds

    return probe


def _page_of_project(**query: object) -> Probe:
    asked = urlencode({"limit": 20} | query)
    return lambda cell: _get(f"/tasks?project_id={cell.project}&{asked}")(cell)


def _lists(page: Callable[..., Probe] = _page, *, label: str = "GET /tasks") -> dict[str, Probe]:
    ago = (datetime.now(UTC) - timedelta(days=365)).strftime("%Y-%m-%dT00:00:00Z")
    found = {}
    for key in ("created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id"):
        for order in ("desc", "asc"):
            found[f"{label}, sort_by={key}, {order}"] = page(sort_by=key, sort_order=order)
    for filters in (
        {"status": "pending"},
        {"status": "completed", "sort_by": "title"},
        {"status": "completed", "sort_by": "completed_at"},
        {"state": "in_progress"},
        {"state": "in_progress", "sort_by": "title"},
        {"blocked": "true"},
        {"project": "Project 3"},
        {"project": "Project 3", "sort_by": "due_at", "sort_order": "asc"},
        {"tag": "tag-7"},
        {"tag": "tag-7", "status": "pending"},
        {"tag": "tag-7", "sort_by": "title"},
        {"priority": 4},
        {"priority": 4, "sort_by": "due_at"},
        {"created_after": ago},
        {"created_before": ago},
        {"due_after": ago},
        {"due_before": ago},
        {"completed_after": ago},
        {"completed_before": ago},
        {"updated_before": ago},
        {"updated_after": ago, "sort_by": "created_at", "sort_order": "asc"},
        {"updated_after": ago, "sort_by": "due_at", "sort_order": "asc"},
        {"updated_before": ago, "sort_by": "priority"},
        {"created_before": ago, "sort_by": "title"},
        {"created_after": ago, "sort_by": "completed_at", "sort_order": "asc"},
        {"due_after": ago, "sort_by": "updated_at", "sort_order": "asc"},
        {"due_after": ago, "sort_by": "id", "sort_order": "asc"},
        {"state": "in_progress", "sort_by": "completed_at"},
        {"title_contains": fill.RARE},
        {"title_contains": fill.COMMON, "sort_by": "due_at"},
        {"skip": 900},
    ):
        said = ", ".join(f"{name}={value}" for name, value in filters.items())
        found[f"{label}, {said.replace(ago, 'a year ago')}"] = page(**filters)
    return found


def _owner_probes() -> dict[str, Probe]:
    words = {
        "rare word": fill.RARE,
        "common word": fill.COMMON,
        "two letters, rare": fill.SHORT,
        "two letters, common": "re",
        "no such word": "xylophone",
    }
    found = {"GET /tasks": _get("/tasks"), "GET /tasks?limit=20": _page()} | _lists()
    found["GET /tasks, next page halfway down"] = lambda cell: _get(cell.halfway)(cell)
    found["GET /tasks, project_id"] = _page_of_project()
    found |= _lists(_page_of_project, label="GET /tasks, project_id")
    found |= {f"GET /tasks/search, {label}": _search(word) for label, word in words.items()}
    found["GET /tasks/search, common word, sort_by=title"] = _search(fill.COMMON, sort_by="title")
    found["GET /tasks/search, rare word, status=pending"] = _search(fill.RARE, status="pending")
    for label, (query, sort_by) in SLOW_FILTERS.items():
        found[f"GET /tasks, filter: {label}, sort_by={sort_by}"] = _page(filter=query, sort_by=sort_by)
    found["GET /tasks/{id}"] = lambda cell: _get(f"/tasks/{cell.task}")(cell)
    found["GET /tasks/{id}/history"] = lambda cell: _get(f"/tasks/{cell.task}/history")(cell)
    for name in ("user-completion-stats", "project-stats", "completion-time-stats"):
        found[f"GET /analytics/{name}"] = _after_change(f"/analytics/{name}")
    found["GET /auth/me"] = _get("/auth/me")
    found["GET /users/lookup"] = lambda cell: _get(f"/users/lookup?username={cell.name}")(cell)
    return found


def _create(cell: Cell) -> float:
    body = {"title": "Measure the write", "tags": ["tag-1"], "project": "Project 1"}
    answer = cell.must(201, "POST", "/tasks", body)
    cell.made.append(answer.json()["id"])
    return answer.seconds


def _change(method: str, **changes: object) -> Probe:
    return lambda cell: cell.must(200, method, f"/tasks/{cell.made[-1]}", changes).seconds


def _assign(cell: Cell) -> float:
    assert cell.admin is not None
    path = f"/tasks/{cell.made[-1]}/assign?assigned_user_id={cell.admin.user_id}"
    return cell.must(200, "PUT", path).seconds


def _delete(cell: Cell) -> float:
    return cell.must(200, "DELETE", f"/tasks/{cell.made.pop()}").seconds


def _make_and(probe: Probe) -> Probe:
    """A probe that makes a task before its call and deletes the task afterwards."""

    def both(cell: Cell) -> float:
        before = len(cell.made)
        _create(cell)
        seconds = probe(cell)
        while len(cell.made) > before:
            assert cell.admin is not None
            cell.admin.must(200, "DELETE", f"/tasks/{cell.made.pop()}")
        # The program's work after its responses should not fall into the next call.
        sleep(0.01)
        return seconds

    return both


WRITES: dict[str, Probe] = {
    "POST /tasks": _make_and(_create),
    "PATCH /tasks/{id}, title": _make_and(_change("PATCH", title="Measured")),
    "PATCH /tasks/{id}, completed": _make_and(_change("PATCH", status="completed")),
    "PUT /tasks/{id}": _make_and(_change("PUT", title="Measured", priority=3)),
    "PUT /tasks/{id}/assign": _make_and(_assign),
    "DELETE /tasks/{id}": _make_and(_delete),
}

ADMINS: dict[str, Probe] = {
    "GET /": _get("/"),
    "GET /health": _get("/health"),
    "GET /sample-task": _get("/sample-task"),
    "GET /tasks/all": _get("/tasks/all"),
    "GET /tasks/all, status=pending": _get("/tasks/all?limit=20&status=pending"),
    "GET /tasks/all, project=Project 3": _get("/tasks/all?limit=20&project=Project%203"),
    "GET /tasks/all, tag=tag-7": _get("/tasks/all?limit=20&tag=tag-7"),
    "GET /tasks/all, sort_by=title": _get("/tasks/all?limit=20&sort_by=title"),
    "GET /tasks/all, sort_by=due_at": _get("/tasks/all?limit=20&sort_by=due_at"),
    "GET /tasks/all, title_contains=a rare word": _get(f"/tasks/all?limit=20&title_contains={fill.RARE}"),
    "GET /tasks/admin/filter, status": _get("/tasks/admin/filter?limit=20&status=completed"),
    "GET /tasks/admin/filter, user_id": lambda cell: _get(
        f"/tasks/admin/filter?limit=20&user_id={cell.subject}"
    )(cell),
    "GET /analytics/all-users-stats": _get("/analytics/all-users-stats?limit=50"),
    "GET /analytics/system-summary": _get("/analytics/system-summary"),
}


# ---- the databases -------------------------------------------------------------------------------


def _ready(space: Place, database: str, name: str, size: Size, *, large: bool) -> list[Cell]:
    """A server on a filled database, with the cells it has: admin, small owner and big owner."""
    name = f"{name}_{database}"
    url = space.url(database, name)
    marker = space.directory / f"{name}.filled"
    if not marker.exists():
        first = space.ours(name, url)
        api = Api(first.port)
        owners = [(api.register("small"), OWNER_TASKS)]
        big = api.register("bigger")
        if large:
            owners.append((big, size.big))
        projects = {}
        for (member, count), colleague in zip(tuple(owners), ("team", "crew"), strict=False):
            manager = api.register(colleague)
            projects[manager] = (_project(api, colleague, member), colleague)
            owners.append((manager, count))
        # The measured server begins on a filled database, so its figures and plans fit it.
        first.stop()
        others = size.total - sum(count for _, count in owners) if large else 0
        progress(f"filling {name} with {others + sum(count for _, count in owners):,} tasks")
        start = monotonic()
        fill.fill(url, owners, size.owners - len(owners), others, projects)
        progress(f"filled in {monotonic() - start:.0f} s")
        marker.touch()
    if size.cpu and database == "postgres":
        # Otherwise other processes would do a part of the work, and they end before their time is known.
        url += "?options=-c%20max_parallel_workers_per_gather%3D0"
    server = space.ours(name, url)
    api = Api(server.port)
    admin_name = ADMIN["FIRST_ADMIN_USERNAME"]
    admin = _cell(api, admin_name, None)
    cells = [admin, _cell(api, "small", admin)]
    admin.subject = cells[1].user_id
    if large:
        cells.append(_cell(api, "bigger", admin))
    for cell, count in zip(cells[1:], (OWNER_TASKS, size.big), strict=False):
        _check(cell, count)
        _walk(cell, count // 2)

    def clock() -> float:
        backends = space.postgres().backends(name) if database == "postgres" else []
        return cpu_clock(server.pid, *backends)

    for cell in cells if size.cpu else ():
        cell.clock = clock
    return cells


def _project(api: Api, manager: str, member: int) -> int:
    """A shared project of the manager with this member."""
    token = api.login(manager, PASSWORD)
    made: int = api.must(201, "POST", "/projects", token=token, data={"name": manager}).json()["id"]
    api.must(200, "PUT", f"/projects/{made}/members/{member}", token=token, data={"role": "member"})
    return made


def _cell(api: Api, name: str, admin: Cell | None) -> Cell:
    token = api.login(name, PASSWORD)
    who = api.must(200, "GET", "/auth/me", token=token).json()
    projects = api.must(200, "GET", "/projects", token=token).json()
    return Cell(api, name, token, who["id"], admin=admin, project=projects[0]["id"] if projects else 0)


def _check(cell: Cell, count: int) -> None:
    """Check that tasks that were filled past the API look to the program as if they had come through it."""
    stats = cell.must(200, "GET", "/analytics/user-completion-stats").json()
    found = cell.must(200, "GET", f"/tasks/search?query={fill.RARE}").json()
    if stats["total_tasks"] != count or len(found) != fill.RARE_EACH:
        raise WrongAnswerError(
            f"{cell.name} should have {count} tasks and {fill.RARE_EACH} with the rare word: "
            f"{stats['total_tasks']} and {len(found)}"
        )
    cell.task = found[fill.RARE_EACH // 2]["id"]


def _walk(cell: Cell, rows: int) -> None:
    """Follow the Link header as a client would, and remember the page in the middle."""
    path = "/tasks?limit=100"
    for _ in range(rows // 100):
        link = cell.must(200, "GET", path).headers.get("link", "")
        target, _, relation = link.partition(">")
        if "next" not in relation:
            raise WrongAnswerError(f"{path} has no next page: {link!r}")
        parts = urlsplit(target.strip(" <"))
        path = f"{parts.path}?{parts.query}"
    cell.halfway = path


def _times(probe: Probe, cells: Sequence[Cell], calls: int) -> list[float]:
    """Median milliseconds of one probe in each cell, the cells in turns."""
    first = [probe(cell) for cell in cells]
    if max(first) > 0.5:
        calls = min(calls, 5)
    seen: list[list[float]] = [[] for _ in cells]
    for turn in range(calls + 1):
        # The cells take turns from either end, and each first calls its own server. Otherwise the cell that comes
        # after another process would pay for cold caches.
        for cell, times in list(zip(cells, seen, strict=True))[:: 1 if turn % 2 else -1]:
            cell.must(200, "GET", "/auth/me")
            seconds = probe(cell)
            if turn:
                times.append(seconds)
    return [median(times) * 1000 for times in seen]


def _only(probes: dict[str, Probe], only: str) -> list[tuple[str, Probe]]:
    return [(label, probe) for label, probe in probes.items() if only in label]


def measure(report: Report, space: Place, database: str, size: Size, only: str) -> None:
    """One database's table."""
    _, base = _ready(space, database, "base", size, large=False)
    admin_base = base.admin
    assert admin_base is not None
    admin, small, big = _ready(space, database, "large", size, large=True)
    rows, slow = [], []
    for label, probe in _only(_owner_probes() | WRITES, only):
        progress(f"{database}: {label}")
        times = _times(probe, (base, small, big), size.calls)
        ratios = [times[1] / times[0], times[2] / times[0]]
        rows.append([label, *_cells(times, ratios)])
        if max(ratios) > LIMIT:
            slow.append(f"{label} ({max(ratios):.1f})")
    for label, probe in _only(ADMINS, only):
        progress(f"{database}, admin: {label}")
        times = _times(probe, (admin_base, admin), size.calls)
        ratios = [times[1] / times[0]]
        rows.append([f"admin: {label}", *_cells(times, ratios)])
        if max(ratios) > LIMIT:
            slow.append(f"admin: {label} ({max(ratios):.1f})")
    head = [
        database,
        f"{OWNER_TASKS:,} tasks in all, ms",
        f"owner of {OWNER_TASKS:,}, ms",
        "times",
        f"owner of {size.big:,}, ms",
        "times",
    ]
    kind = "medians of the CPU time of server and database" if size.cpu else "medians"
    report.say(
        f"{database}: {size.total:,} tasks over {size.owners:,} owners; "
        f"{kind} of {size.calls} calls, pages of 20 where nothing else is said."
    )
    report.say(table(head, rows, left=1))
    report.say(f"More than {LIMIT:g} times: {'; '.join(slow) or 'none'}.")


def _cells(times: Sequence[float], ratios: Sequence[float]) -> list[str]:
    found = [number(times[0], 2)]
    for time, ratio in zip(times[1:], ratios, strict=True):
        found += [number(time, 2), number(ratio, 2)]
    return found + ["-"] * (5 - len(found))


def main() -> int:
    parser = options(str(__doc__).partition("\n")[0], "benchmarks.growth")
    with_database(parser)
    parser.add_argument("--keep", type=Path, default=None, help="a folder to fill once and to use again")
    parser.add_argument("--calls", type=int, default=None, help="how often each call is made")
    parser.add_argument("--cpu", action="store_true", help="tell CPU time instead of the time of a call")
    parser.add_argument("--only", default="", help="only the rows with this text in their name")
    arguments = parser.parse_args()
    size = replace(QUICK if arguments.quick else FULL, cpu=arguments.cpu)
    size = replace(size, calls=arguments.calls or size.calls)
    with place(arguments, keep=arguments.keep) as space:
        for database in databases(arguments):
            report = Report(
                "benchmarks.growth", f"As the data grows, {database}", space.directory, section=database
            )
            measure(report, space, database, size, arguments.only)
            finish(report, arguments, failed=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotStartedError, WrongAnswerError) as error:
        sys.exit(str(error))
