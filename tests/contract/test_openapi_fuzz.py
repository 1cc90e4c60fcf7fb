"""An admin calls every operation of the OpenAPI document with random input that is made from the document.

Each operation gets a few examples, to be quick; `FUZZ_EXAMPLES=100` looks harder.
"""

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from main import app
from routers.transfer import NDJSON_TYPES
from tests.support.api import Api, Person

pytestmark = pytest.mark.thorough

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
numbers = count()
for media_type in NDJSON_TYPES:
    schemathesis.serializer.alias(media_type, "text/plain")


def operations(*, boundaries: bool) -> BaseSchema:
    """The operations to fuzz; with `boundaries` also with each value at and beyond its limits."""
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    document.config.phases.coverage.enabled = boundaries
    # The first takes five seconds for any input, and the second goes on for ever.
    return document.exclude(path=["/test-background", "/events/stream"])


@pytest.fixture(scope="module")
def people(shared_api: Api) -> Api:
    """A database with tasks of every kind in it."""
    owner = shared_api.person("owner")
    for status in ("pending", "in_progress", "completed"):
        owner.task(status=status, tags=["a"], due_at="2030-01-01T00:00:00Z")
    owner.put(f"/tasks/1/assign?assigned_user_id={owner.id}")
    return shared_api


@pytest.fixture
def admin(people: Api) -> Person:
    """A new admin for each operation, because some operations end the account or its sessions."""
    return people.person(f"admin-{next(numbers)}", admin=True)


@pytest.fixture(scope="module")
def session(people: Api) -> Iterator[Any]:
    """One client for all calls, which does not look for a proxy in the environment at each call."""
    with asgi.get_client(app) as client:  # type: ignore[arg-type]  # as document has it
        client.trust_env = False
        yield client


fuzzing = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "3")),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True)
@operations(boundaries=True).parametrize()
@fuzzing
def test_no_5xx_no_undocumented_status_no_schema_violation(case: Any, admin: Person, session: Any) -> None:
    check(case, admin, session)


@pytest.mark.parametrize("shared_api", ["postgres"], indirect=True)
@operations(boundaries=False).parametrize()
@fuzzing
def test_the_same_on_postgres(case: Any, admin: Person, session: Any) -> None:
    check(case, admin, session)


def check(case: Any, admin: Person, session: Any) -> None:
    """Make the call, and look at the answer."""
    case.call_and_validate(
        session=session,
        headers={"Authorization": f"Bearer {admin.token}"},
        checks=CHECKS,
        # A busy machine takes longer than the usual ten seconds.
        timeout=60,
    )
