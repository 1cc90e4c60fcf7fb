"""The OpenAPI document, which generated clients and the documentation pages are made of."""

import json
import re
import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from main import app
from schemas.events import Event
from schemas.problems import Problem
from services.accounts import program_token
from services.calendars import calendar
from services.webhooks import webhook
from tests.support.api import Api
from tests.support.openapi_check import resolved
from web.events import stream_hub
from web.openapi import examples
from web.openapi.shape import every_schema

pytestmark = pytest.mark.one_database

DOCUMENT: dict[str, Any] = app.openapi()
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
# Generated clients contain these names, so they may not change.
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


def answers_a_list(operation: dict[str, Any]) -> bool:
    content = resolved(DOCUMENT, operation["responses"]["200"]).get("content", {})
    schema: dict[str, Any] = content.get("application/json", {}).get("schema", {})
    return "array" in schema.get("type", "")


def test_every_list_comes_in_pages() -> None:
    paging = {
        path: {resolved(DOCUMENT, each)["name"] for each in operation.get("parameters", ())}
        & {"limit", "skip"}
        for (method, path), operation in OPERATIONS.items()
        if method == "GET" and answers_a_list(operation)
    }
    # Nobody can skip a number of rows in these two.
    assert paging.pop("/events") == paging.pop("/tasks/export") == {"limit"}
    assert {path: names for path, names in paging.items() if names != {"limit", "skip"}} == {}


@pytest.mark.parametrize("key", OPERATIONS, ids=" ".join)
def test_every_operation_says_what_it_does_and_which_errors_it_gives(key: tuple[str, str]) -> None:
    operation = OPERATIONS[key]
    assert operation["summary"]
    assert operation["tags"]
    declared = operation["responses"]
    errors = {status for status in declared if status >= "400"}
    assert {"422", "500", "503"} <= errors
    for status in errors - {"503"}:
        assert list(resolved(DOCUMENT, declared[status])["content"]) == ["application/problem+json"], status
    if operation["security"]:
        assert "401" in errors
    if "requestBody" in operation:
        assert {"413", "415"} <= errors
    else:
        assert "415" not in errors


def test_summaries_are_sentences_of_their_own() -> None:
    summaries = [operation["summary"] for operation in OPERATIONS.values()]
    assert sorted(summaries) == sorted(set(summaries))
    for operation in OPERATIONS.values():
        assert operation["summary"].lower() != operation["operationId"].replace("_", " ")
        assert not operation["summary"].endswith(".")
        assert not operation.get("description", "").startswith(operation["summary"])


def test_the_groups_stand_in_the_order_of_a_first_day_and_the_glossary_at_the_end() -> None:
    groups = [tag["name"] for tag in DOCUMENT["tags"]]
    assert (groups[0], groups[-1]) == ("tasks", "glossary")
    assert groups.index("tasks") < groups.index("auth") < groups.index("system")
    found = list(dict.fromkeys(operation["tags"][0] for operation in OPERATIONS.values()))
    assert found == [group for group in groups if group in found]
    assert max(len(tag["description"]) for tag in DOCUMENT["tags"]) < 300


def parameters() -> list[tuple[str, dict[str, Any]]]:
    """Each parameter with the operation that takes it."""
    return [
        (operation["operationId"], resolved(DOCUMENT, each))
        for operation in OPERATIONS.values()
        for each in operation.get("parameters", ())
    ]


def test_parameters_are_without_null_and_without_noise() -> None:
    for operation, parameter in parameters():
        written = json.dumps(parameter)
        assert '"null"' not in written, (operation, parameter["name"])
        assert "title" not in parameter["schema"]
        assert "9223372036854775807" not in written
        assert parameter["schema"].get("description") != parameter.get("description") or not parameter.get(
            "description"
        )
    for schema in every_schema(DOCUMENT):
        assert not isinstance(schema.get("title"), str)
        assert not {"ge", "le", "gt", "lt"} & {*schema}
        assert max(abs(schema.get("maximum", 0)), abs(schema.get("minimum", 0))) < 2**53


def test_each_parameter_of_a_query_is_explained() -> None:
    unexplained = [
        (operation, parameter["name"])
        for operation, parameter in parameters()
        if parameter["in"] == "query" and not parameter.get("description")
    ]
    assert unexplained == []


def test_a_default_that_depends_on_another_field_is_not_sent_by_generated_clients(api: Api) -> None:
    """They send each default of the document, here beside the project and the state that it contradicts."""
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    for schema in ("TaskCreate", "TaskImport"):
        properties = DOCUMENT["components"]["schemas"][schema]["properties"]
        defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
        task = {**defaults, "title": "Measure", "state": "in_progress"}
        if schema == "TaskCreate":
            answer = ada.post("/tasks", json={**task, "project_id": project})
        else:
            answer = ada.post(f"/tasks/import?project_id={project}", json=[task])
        assert answer.status_code == 201, answer.text


def test_lists_of_allowed_values_are_written_once_and_have_names() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"TaskStatus", "Role", "Scope", "SortBy", "Interval"} <= {*schemas}
    inline = [tuple(each["enum"]) for each in every_schema(DOCUMENT) if len(each.get("enum", ())) > 1]
    assert sorted(inline) == sorted(set(inline))


def test_no_schema_has_a_property_of_its_own_name() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert name.lower() not in {each.replace("_", "").lower() for each in schema.get("properties", {})}
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)


def test_read_only_fields_say_so() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    update = {name for name, each in schemas["TaskUpdate"]["properties"].items() if each.get("readOnly")}
    assert update >= {"id", "created_at", "updated_at", "completed_at", "user_id"}
    assert not update & {"title", "status", "tags", "due_at"}
    read = {name for name, each in schemas["TaskRead"]["properties"].items() if each.get("readOnly")}
    assert update >= read >= {"id", "created_at", "updated_at", "completed_at", "user_id"}


def test_headers_are_declared_where_they_come() -> None:
    def headers(method: str, path: str, status: str) -> set[str]:
        return {*resolved(DOCUMENT, OPERATIONS[method, path]["responses"][status])["headers"]}

    assert headers("GET", "/tasks", "200") >= {"Link", "X-Total-Count", "X-Request-ID"}
    assert headers("POST", "/tasks", "201") >= {"Location", "ETag", "Idempotency-Replayed"}
    assert headers("GET", "/tasks/{task_id}", "200") >= {"ETag"}
    assert headers("GET", "/tasks/{task_id}", "304") >= {"ETag"}
    assert headers("PATCH", "/tasks/{task_id}", "200") >= {"ETag"}
    assert headers("GET", "/tasks", "503") >= {"Retry-After"}
    assert headers("POST", "/auth/login", "429") >= {"Retry-After"}
    assert headers("GET", "/tasks", "401") >= {"WWW-Authenticate"}
    assert headers("GET", "/tasks/export", "200") >= {"Link"}
    every = DOCUMENT["components"]["headers"]
    assert all(each["description"] and each["schema"] for each in every.values())


def test_a_programs_token_and_a_password_both_authorize() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {*DOCUMENT["components"]["schemas"]["LoginForm"]["properties"]} == {"username", "password"}
    # ReDoc cuts longer names on a phone.
    assert list(schemes) == ["Login", "Token"]
    assert [each.get("scheme", each["type"]) for each in schemes.values()] == ["oauth2", "bearer"]
    for operation in OPERATIONS.values():
        if operation["security"]:
            assert [next(iter(each)) for each in operation["security"]] == list(schemes)


def test_the_document_is_short_for_what_it_says() -> None:
    """An operation takes half of the 4,128 characters that it took when each repeated what many share."""
    size = len(json.dumps(DOCUMENT, separators=(",", ":"), ensure_ascii=False))
    assert size / len(OPERATIONS) < 2300, size
    described = len(OPERATIONS) + len(DOCUMENT["webhooks"])
    assert size / described < 4128 / 2, size


def test_only_these_are_open_to_everybody() -> None:
    opened = {path for (_, path), operation in OPERATIONS.items() if not operation["security"]}
    assert {"/", "/health", "/auth/login", "/auth/register", "/sample-task", "/test-background"} <= opened
    assert not {path for path in opened if path.startswith(("/tasks", "/users", "/audit", "/notifications"))}


def shows_an_example(schema: dict[str, Any]) -> bool:
    """Whether a reader can see what a value looks like."""
    if "$ref" in schema:
        return shows_an_example(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if {"examples", "example", "enum", "const", "default"} & set(schema):
        return True
    types = schema.get("type")
    kinds = {*types} if isinstance(types, list) else {types}
    kinds |= {each["type"] for each in schema.get("anyOf", []) if "type" in each}
    if kinds & {"boolean", "null"} or schema.get("format") in {"date-time", "date", "binary"}:
        return True
    if any(shows_an_example(each) for each in (*schema.get("anyOf", []), *schema.get("allOf", []))):
        return True
    if "array" in kinds:
        return shows_an_example(schema["items"])
    return any(shows_an_example(each) for each in schema.get("properties", {}).values())


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_has_examples(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema.get("description") or "enum" in schema or name == "LoginForm"
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
            for status, said in operation["responses"].items():
                declared = resolved(DOCUMENT, said)
                content = declared.get("content", {}).get("application/problem+json")
                if content is None:
                    continue
                shown = [each["value"] for each in content.get("examples", {}).values()]
                for example in [Problem.model_validate(each) for each in shown or [content["example"]]]:
                    assert str(example.status) == status, (method, path)
                    assert example.title == declared["description"]
                    seen.add(status)
    assert {"401", "404", "422", "500", "503", "507"} <= seen


def test_the_examples_of_full_accounts_have_the_numbers_of_the_program() -> None:
    limits = {
        "too_many_tokens": program_token.MOST_TOKENS,
        "too_many_calendars": calendar.MOST_CALENDARS,
        "too_many_webhooks": webhook.MOST_WEBHOOKS,
        "too_many_streams": stream_hub.MOST_OF_AN_ACCOUNT,
    }
    text = json.dumps(DOCUMENT)
    for code, limit in limits.items():
        example = re.search(
            rf'"code": "{code}", "detail": "([^"]*)"|"detail": "([^"]*)", "code": "{code}"', text
        )
        assert example is not None, code
        assert re.findall(r"\d+", example[0]) == [str(limit)], code


def test_answers_stand_in_their_operations() -> None:
    """Errors are components. Readers of the document look for an operation's answer in the operation itself."""
    for (method, path), operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            assert status >= "300" or "X-Request-ID" in response["headers"], (method, path)


def test_webhooks_show_an_event() -> None:
    for kind, item in DOCUMENT["webhooks"].items():
        sent = item["post"]["requestBody"]["content"]["application/json"]
        if kind != "webhook.ping":
            (example,) = sent["examples"].values()
            assert Event.model_validate(resolved(DOCUMENT, example)["value"]).data.changes


def test_the_document_is_made_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making it takes a second, in which the event loop would serve nobody."""
    makers, make = [], app.openapi
    monkeypatch.setattr(app, "openapi_schema", None)

    def noting() -> Any:
        if app.openapi_schema is None:
            makers.append(threading.current_thread().name)
        return make()

    monkeypatch.setattr(app, "openapi", noting)
    first = client.get("/openapi.json")
    assert (first.status_code, len(makers)) == (200, 1)
    assert makers[0].startswith("AnyIO worker thread")
    assert client.get("/openapi.json").content == first.content


WRONG = {"limit": "0", "tz": "Mars/Base", "colour": "red"}


def with_mistake(operation: dict[str, Any], mistake: dict[str, Any]) -> dict[str, Any]:
    """The options of a request with this mistake, and with the parameters that the operation requires."""
    taken = [resolved(DOCUMENT, each) for each in operation.get("parameters", ())]
    query = {
        each["name"]: each["example"] for each in taken if each.get("required") and each["in"] == "query"
    }
    place, name = mistake["pointer"][:1], mistake["pointer"].strip("#/?")
    if mistake["detail"] == "Field required":
        query.pop(name, None)
    elif place == "?":
        query[name] = WRONG[name]
    options: dict[str, Any] = {"params": query}
    if place == "h":
        options["headers"] = {name.removeprefix("header."): ""}
    elif place == "#":
        options["data" if name else "json"] = {"colour": "red"} if name else []
    return options


def test_each_operation_answers_the_bad_input_that_it_shows(api: Api) -> None:
    root = api.person("root", admin=True)
    tried = 0
    for (method, path), operation in OPERATIONS.items():
        if "422" not in operation["responses"] or examples.errors(operation["operationId"], "422"):
            continue
        declared = resolved(DOCUMENT, operation["responses"]["422"])
        example = declared["content"]["application/problem+json"]["example"]
        taken = [resolved(DOCUMENT, each) for each in operation.get("parameters", ())]
        values = {each["name"]: each["example"] for each in taken if each["in"] == "path"}
        options = with_mistake(operation, example["errors"][0])
        answer = root.call(method, path.format(**values), **options)
        assert answer.json() | {"request_id": example["request_id"]} == example, (method, path)
        tried += 1
    assert tried > 90
