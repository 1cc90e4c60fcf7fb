"""What `/docs` says: the first three calls, the tags, the shapes of bodies and errors."""

from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import auth
from schemas.tasks import TaskImport
from services.flow import definitions
from web.webhook_documents import webhooks_described

DESCRIPTION = """
People and programs keep their work here, and ask how it flows.

**The first three calls**

1. `POST /auth/register` with a username, an email and a password makes an account.
2. `POST /auth/login` with the username and the password answers an `access_token`. On this page: press
   **Authorize** and type them there.
3. `POST /tasks` with `{"title": "Write the report"}` makes a task; `PUT /tasks/{id}` with
   `{"status": "completed"}` completes it, and `GET /analytics/user-completion-stats` counts it.

Send the token as `Authorization: Bearer <access_token>`. Times are in UTC. Lists have the address of their next
page in the header `Link`. Errors are `application/problem+json`: `detail` is for people, `code` for programs.
"""

TAGS = [
    {"name": "auth", "description": "Accounts, logging in, and tokens for programs"},
    {"name": "users", "description": "Finding people to assign tasks to; for admins, looking after accounts"},
    {"name": "tasks", "description": "Making, finding, changing and moving tasks"},
    {"name": "analytics", "description": "Figures about tasks"},
    {"name": "flow", "description": definitions.markdown()},
    {"name": "events", "description": "What happened: read again, waited for, or streamed"},
    {"name": "webhooks", "description": "Telling other programs what happens, as it happens"},
    {"name": "notifications", "description": "What people are told, and how"},
    {"name": "system", "description": "The program itself"},
]


def install_openapi(app: FastAPI, problem: type[BaseModel]) -> None:
    """Complete the document with the shapes that no endpoint names as its model."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            _, definitions = models_json_schema(
                [(problem, "serialization"), (TaskImport, "validation")],
                ref_template="#/components/schemas/{model}",
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(definitions["$defs"])
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            document["components"].setdefault("securitySchemes", {})[auth.bearer.scheme_name] = (
                jsonable_encoder(auth.bearer.model, by_alias=True, exclude_none=True)
            )
            document["webhooks"] = webhooks_described(schemas)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
