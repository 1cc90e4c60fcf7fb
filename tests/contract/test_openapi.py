"""The OpenAPI document: what generated clients and the documentation pages are made of."""

import re
from typing import Any

import pytest

from main import app
from web.problems import Problem

DOCUMENT: dict[str, Any] = app.openapi()
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# Clients are generated with these names: they stay.
NAMES = {
    ("GET", "/"): "read_root",
    ("GET", "/sample-task"): "read_sample_task",
    ("GET", "/health"): "read_health",
    ("POST", "/test-background"): "test_background",
    ("POST", "/auth/register"): "register",
    ("POST", "/auth/login"): "login",
    ("GET", "/auth/me"): "read_me",
    ("GET", "/users/lookup"): "lookup_user",
    ("POST", "/tasks"): "create_task",
    ("GET", "/tasks"): "list_tasks",
    ("GET", "/tasks/search"): "search_tasks",
    ("GET", "/tasks/all"): "list_all_tasks",
    ("GET", "/tasks/admin/filter"): "filter_all_tasks",
    ("POST", "/tasks/import"): "import_tasks",
    ("GET", "/tasks/export"): "export_tasks",
    ("GET", "/tasks/{task_id}"): "read_task",
    ("GET", "/tasks/{task_id}/history"): "read_task_history",
    ("PUT", "/tasks/{task_id}"): "update_task",
    ("PATCH", "/tasks/{task_id}"): "patch_task",
    ("DELETE", "/tasks/{task_id}"): "delete_task",
    ("PUT", "/tasks/{task_id}/assign"): "assign_task",
    ("GET", "/analytics/user-completion-stats"): "user_completion_stats",
    ("GET", "/analytics/all-users-stats"): "all_users_stats",
    ("GET", "/analytics/project-stats"): "project_stats",
    ("GET", "/analytics/completion-time-stats"): "completion_time_stats",
    ("GET", "/analytics/system-summary"): "system_summary",
}


def test_operation_ids_are_stable_and_readable() -> None:
    ids = {key: operation["operationId"] for key, operation in OPERATIONS.items()}
    assert {key: ids[key] for key in NAMES} == NAMES
    assert len(set(ids.values())) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in ids.values())


@pytest.mark.parametrize("key", OPERATIONS, ids=" ".join)
def test_every_operation_says_what_it_does_and_which_errors_it_gives(key: tuple[str, str]) -> None:
    operation = OPERATIONS[key]
    assert operation["summary"]
    assert operation["tags"]
    declared = operation["responses"]
    errors = {status for status in declared if status >= "400"}
    assert {"422", "500"} <= errors or key[1] in {"/metrics", "/ready"}
    for status in errors - {"503"}:
        assert list(declared[status]["content"]) == ["application/problem+json"], status
    if "security" in operation:
        assert "401" in errors
    if "requestBody" in operation:
        assert {"413", "415"} <= errors


def test_only_these_are_open_to_everybody() -> None:
    opened = {path for (_, path), operation in OPERATIONS.items() if "security" not in operation}
    assert {"/", "/health", "/auth/login", "/auth/register", "/sample-task", "/test-background"} <= opened
    assert not {path for path in opened if path.startswith(("/tasks", "/users", "/audit", "/notifications"))}


def shows_an_example(schema: dict[str, Any]) -> bool:
    """Whether a reader can see what a value looks like."""
    if "$ref" in schema:
        return shows_an_example(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if {"examples", "example", "enum", "const", "default"} & set(schema):
        return True
    kinds = {each["type"] for each in schema.get("anyOf", []) if "type" in each} | {schema.get("type")}
    if kinds & {"boolean", "null"} or schema.get("format") in {"date-time", "date", "binary"}:
        return True
    if any(shows_an_example(each) for each in schema.get("anyOf", [])):
        return True
    if schema.get("type") == "array":
        return shows_an_example(schema["items"])
    return any(shows_an_example(each) for each in schema.get("properties", {}).values())


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_has_examples(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema.get("description") or name.startswith("Body_")
    assert shows_an_example(schema)


def test_the_document_teaches_the_first_three_calls() -> None:
    description = DOCUMENT["info"]["description"]
    places = [description.index(call) for call in ("POST /auth/register", "POST /auth/login", "POST /tasks")]
    assert places == sorted(places)
    flow = next(iter(DOCUMENT["components"]["securitySchemes"].values()))["flows"]["password"]
    assert flow["tokenUrl"] == "auth/login"
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} <= tags


def test_the_example_of_an_error_is_one_of_its_status() -> None:
    seen = set()
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, declared in operation["responses"].items():
                content = declared.get("content", {}).get("application/problem+json")
                if content is None:
                    continue
                example = Problem.model_validate(content["example"])
                assert str(example.status) == status, (method, path)
                assert example.title == declared["description"]
                seen.add(status)
    assert {"401", "404", "422", "503"} <= seen
