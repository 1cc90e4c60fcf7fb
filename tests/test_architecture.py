"""The house rules that a machine can check."""

import ast
import functools
import inspect
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import auth
import database
import logging_config
import models
from services import analytics_service, background_tasks, email_service, task_service

ROOT = Path(__file__).resolve().parents[1]
OURS = sorted(
    path
    for path in ROOT.rglob("*.py")
    if not {"tests", "benchmarks", ".venv", "venv", "migrations"} & set(path.relative_to(ROOT).parts)
)


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@functools.cache
def imports(path: Path) -> tuple[tuple[str, str], ...]:
    """Each module that a file imports, with the name that it takes from it."""
    found: list[tuple[str, str]] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found += ((node.module or "", alias.name) for alias in node.names)
    return tuple(found)


# The floors of the house, from the ground up. A file imports from its own floor and from those below it.
FLOORS = (
    {"config", "configuration", "errors", "request_context", "logging_config"},
    {"storage", "database"},
    {"models", "account_models", "tables", "security"},
    {"migrations", "schemas"},
    {"services"},
    {"auth"},
    {"web"},
    {"routers", "create_tables", "commands"},
    {"main", "manage"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    """The room that a file lies in: its top folder, or the file itself at the root."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_no_import_runs_upwards() -> None:
    upwards = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in OURS
        if (floor := FLOOR_OF.get(room_of(path))) is not None
        for module, _ in imports(path)
        if FLOOR_OF.get(module.partition(".")[0], 0) > floor
    ]
    assert upwards == []


def test_no_imports_run_in_a_circle() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in OURS}
    names |= {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {
        name: {
            found
            for module, taken in imports(path)
            for found in (f"{module}.{taken}", module)
            if found in names and names[found] != path and names[found].name != "__init__.py"
        }
        for name, path in names.items()
    }
    _check_no_circle(graph)


def test_no_imports_of_the_pages_run_in_a_circle() -> None:
    scripts = sorted((ROOT / "static").rglob("*.js"))
    _check_no_circle(
        {
            str(script): {
                str((script.parent / module).resolve())
                for module in re.findall(
                    r'^(?:import|export)\b[^"]*?"(\.[^"]+)";', script.read_text(), re.MULTILINE
                )
            }
            for script in scripts
        }
    )


def _check_no_circle(graph: dict[str, set[str]]) -> None:
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as circle:
        pytest.fail(f"imports run in a circle: {' -> '.join(circle.args[1])}")


def test_every_room_has_its_floor() -> None:
    """A new folder or a new file of the root says where it stands."""
    assert {room_of(path) for path in OURS} <= {*FLOOR_OF, "deploy"}


@pytest.mark.parametrize("path", sorted((ROOT / "services").rglob("*.py")), ids=lambda path: path.name)
def test_services_know_no_http(path: Path) -> None:
    assert not {module for module, _ in imports(path) if module.partition(".")[0] in {"fastapi", "starlette"}}


@pytest.mark.parametrize("path", sorted((ROOT / "routers").glob("*.py")), ids=lambda path: path.name)
def test_routers_know_no_sql(path: Path) -> None:
    assert not {module for module, _ in imports(path) if module.partition(".")[0] == "sqlalchemy"}


def test_redis_is_imported_only_where_it_is_asked() -> None:
    """Its import takes a twelfth of the start, and most programs keep their cache in files."""
    at_once = {
        path.name
        for path in OURS
        for node in ast.iter_child_nodes(nodes(path)[0])
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("redis"))
        or (isinstance(node, ast.Import) and any(each.name.startswith("redis") for each in node.names))
    }
    assert at_once == set()


def test_only_the_database_module_commits() -> None:
    committing = set()
    for path in OURS:
        for node in nodes(path):
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if is_call and node.func.attr in {"commit", "begin_twophase"}:  # type: ignore[attr-defined]
                committing.add(path.name)
            if isinstance(node, ast.Constant) and node.value == "COMMIT":
                committing.add(path.name)
    assert committing <= {"database.py", "group_commit.py"}


def test_no_file_and_no_function_needs_a_tour() -> None:
    long_files = {
        str(path.relative_to(ROOT)): lines
        for path in OURS
        if (lines := len(path.read_text().splitlines())) > 400
    }
    long_functions = {
        f"{path.relative_to(ROOT)}:{node.name}": lines
        for path in OURS
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    }
    assert (long_files, long_functions) == ({}, {})


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (auth.hash_password, ["password"]),
        (auth.verify_password, ["password", "hashed"]),
        (auth.create_access_token, ["data"]),
        (auth.verify_token, ["token"]),
        (auth.get_current_user, []),
        (auth.get_admin_user, []),
        (database.get_db, []),
        (task_service.get_task, []),
        (task_service.get_tasks_with_filters, []),
        (task_service.create_task, []),
        (task_service.update_task, []),
        (task_service.delete_task, []),
        (analytics_service.get_user_stats, []),
        (analytics_service.get_all_users_stats, []),
        (analytics_service.get_project_stats, []),
        (analytics_service.get_system_summary, []),
        (analytics_service.get_completion_time_stats, []),
        (email_service.send_email_async, ["to_email", "subject", "body"]),
        (background_tasks.update_analytics_cache, ["user_id"]),
        (background_tasks.send_task_notification, ["user_id", "task_title", "action"]),
        (background_tasks.process_task_assignment, ["task_id", "assigned_user_id", "assigner_user_id"]),
        (background_tasks.send_task_completion_email, ["user_email", "task_title"]),
        (logging_config.setup_logging, []),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_others_import_keeps_its_name_and_parameters(function: object, parameters: list[str]) -> None:
    assert callable(function)
    taken = list(inspect.signature(function).parameters.values())
    assert [each.name for each in taken[: len(parameters)]] == parameters
    if parameters:
        assert all(each.default is not inspect.Parameter.empty for each in taken[len(parameters) :])


def test_the_names_of_the_database_and_its_tables_are_kept() -> None:
    assert models.User.__tablename__ == "users"
    assert models.Task.__tablename__ == "tasks"
    assert issubclass(models.Task, database.Base)
    assert database.engine.dialect.name == "sqlite"
    assert logging_config.logger.name == "task_platform"
    with database.SessionLocal() as session:
        assert session.get_bind() is not None


# Words that, at the beginning of a comment or docstring, hold its subject back.
HELD_BACK = re.compile(
    r'(?m)(?:(?:^|\s)(?:#|//)|/\*\*?|""") ?(?:Of|Who|Whom|Whose|What|Where|That|None|Such)\b'
)


def test_comments_begin_with_a_verb_or_a_noun() -> None:
    paths = {ROOT / ".ci/run", ROOT / "justfile", *ROOT.glob("deploy/*.sh"), *ROOT.rglob("*.py")}
    for folder in ("app", "dashboard", "shared"):
        paths |= {path for path in ROOT.glob(f"static/{folder}/*") if path.suffix in {".js", ".css"}}
    texts = {
        str(path.relative_to(ROOT)): path.read_text()
        for path in paths
        if not {".venv", "venv"} & set(path.relative_to(ROOT).parts)
    }
    places = [
        f"{path}:{text[: each.end()].count(chr(10)) + 1}"
        for path, text in texts.items()
        for each in HELD_BACK.finditer(text)
    ]
    assert sorted(places) == []


def test_the_pages_for_developers_name_what_there_is() -> None:
    pages = {name: (ROOT / name).read_text() for name in ("docs/architecture.md", "CONTRIBUTING.md")}
    named = {
        (page, path) for page, text in pages.items() for path in re.findall(r"`([a-z_]+/[\w/]*[\w.]*)`", text)
    }
    assert sorted((page, path) for page, path in named if not (ROOT / path).exists()) == []
    rooms = {f"services/{path.parent.name}/" for path in (ROOT / "services").glob("*/__init__.py")}
    rooms |= {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
    assert {room for room in rooms if f"`{room}`" not in pages["docs/architecture.md"]} == set()
