"""The codes of errors, collected from the code, and the guide's chapter that explains each of them.

`python -m web.error_codes` writes the chapter. `tests/contract/test_error_codes.py` fails if a code has no
explanation here, or if the chapter is out of date.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

from web.problems import CODES_BY_STATUS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "12-errors.md"
_FOLDERS = ("configuration", "storage", "security", "schemas", "services", "web", "routers")
_ROOT_OF_ERRORS = "AppError"
# Operators see these codes at the command line, and the API never answers them.
_NOT_ANSWERED = {"backup_refused"}


def _constant(node: ast.expr | None) -> str | int | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str | int) else None


def _members(definition: ast.ClassDef) -> dict[str, str | int | None]:
    """The values of a class's attributes, also from `status, code = 404, "not_found"`."""
    found: dict[str, str | int | None] = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = _constant(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            assert isinstance(node.value, ast.Tuple)
            for name, value in zip(node.targets[0].elts, node.value.elts, strict=True):
                assert isinstance(name, ast.Name)
                found[name.id] = _constant(value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _constant(node.value)
    return found


def _kinds(nodes: list[ast.AST]) -> dict[str, tuple[int, str]]:
    """The classes of errors by name, each with its status and its own code."""
    kinds: dict[str, tuple[int, str]] = {}
    definitions = [node for node in nodes if isinstance(node, ast.ClassDef)]
    before = -1
    while len(kinds) > before:
        before = len(kinds)
        for definition in definitions:
            bases = [base.id for base in definition.bases if isinstance(base, ast.Name)]
            base = next((kinds[name] for name in bases if name in kinds), None)
            if definition.name == _ROOT_OF_ERRORS or base is not None:
                status, code = base or (500, "")
                members = _members(definition)
                kinds[definition.name] = (
                    int(members.get("status") or status),
                    str(members.get("code") or code),
                )
    return kinds


def _raised(nodes: list[ast.AST], kinds: dict[str, tuple[int, str]]) -> Iterator[tuple[str, int]]:
    """The codes that errors are raised with, each with the status of the error."""
    for node in nodes:
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id in kinds:
            yield kinds[node.exc.id][::-1]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            status, own_code = kinds[node.func.id]
            given = next((each.value for each in node.keywords if each.arg == "code"), None)
            code = own_code if given is None else _constant(given)
            if not isinstance(code, str):
                message = (
                    f"Write the code of {node.func.id} in line {node.lineno} as a text, so that it is found"
                )
                raise TypeError(message)
            yield code, status


@functools.cache
def collect() -> dict[str, list[int]]:
    """The codes that the program answers with, each with its statuses."""
    paths = sorted(
        path
        for pattern in ("*.py", *(f"{folder}/**/*.py" for folder in _FOLDERS))
        for path in ROOT.glob(pattern)
    )
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    kinds = _kinds(nodes)
    found: dict[str, set[int]] = {}
    pairs = [(code, status) for status, code in CODES_BY_STATUS.items()]
    for code, status in [*_raised(nodes, kinds), kinds[_ROOT_OF_ERRORS][::-1], *pairs]:
        if code not in _NOT_ANSWERED:
            found.setdefault(code, set()).add(status)
    return {code: sorted(statuses) for code, statuses in sorted(found.items())}


# One sentence for the cause of each error, and one for the client's next step.
EXPLAINED: dict[str, tuple[str, str]] = {
    "account_inactive": (
        "An admin has deactivated the account.",
        "Ask an admin to activate it; sending the request again does not help.",
    ),
    "admin_required": (
        "The call is for admins, or for a token with the scope `admin`.",
        "Ask an admin, or use the call for your own tasks.",
    ),
    "answers_unread": (
        "Other large answers to you have not been read to their end.",
        "Read them or close their connections, or ask for fewer rows by `limit`; try again after `Retry-After`.",
    ),
    "calendar_not_found": (
        "There is no such calendar of yours, or its address has been deleted.",
        "List yours with `GET /calendars`.",
    ),
    "cannot_assign": (
        "Only the owner may assign a task, and in a project its members.",
        "Ask the owner to assign the task.",
    ),
    "comment_not_found": ("The task has no such comment.", "List them with `GET /tasks/{id}/comments`."),
    "content_too_large": (
        "The body is larger than `detail` says.",
        "Send less: split an import or a batch into parts.",
    ),
    "database_read_only": (
        "The database accepts no changes at present.",
        "Try again after `Retry-After`; reading works meanwhile.",
    ),
    "database_unavailable": (
        "The database can't be reached, or is too busy.",
        "Send the request again after `Retry-After`, with its `Idempotency-Key`.",
    ),
    "delivery_not_found": (
        "The webhook has no such delivery, or the delivery was deleted for its age.",
        "List them with `GET /webhooks/{id}/deliveries`.",
    ),
    "email_not_verified": (
        "The account's email has to be confirmed before the first login.",
        "Follow the link that was mailed, or have it sent again by `POST /auth/email/resend`.",
    ),
    "email_taken": ("Another account has this email.", "Log in, or reset the password of that account."),
    "events_expired": (
        "`after` or `Last-Event-ID` is older than the feed.",
        "Go to the end of the feed, read the lists again, and follow the feed from there.",
    ),
    "forbidden": (
        "`/metrics` is closed to this address.",
        "Ask the operator for `METRICS_TOKEN` or a place in `METRICS_ALLOWED`.",
    ),
    "hashing_busy": (
        "Too many people are logging in at once.",
        "Try again after `Retry-After`.",
    ),
    "idempotency_key_reused": (
        "The `Idempotency-Key` was sent before with another body or query.",
        "Make a new key for each new change.",
    ),
    "insufficient_storage": (
        "The server's disk is full; nothing was changed.",
        "Tell the operator, and send the request again later.",
    ),
    "internal_error": (
        "Something went wrong in the program.",
        "Tell the operator the `request_id`: the log says more under it.",
    ),
    "invalid_credentials": (
        "The username or the password is wrong.",
        "Ask the person for both again; do not repeat the request.",
    ),
    "invalid_filter": (
        "The filter can't be parsed, or uses a field or an operator that a filter does not have.",
        "Show `position`, the character of the mistake, to the person who wrote the filter.",
    ),
    "invalid_input": (
        "The body, the query, a header or the path has a mistake.",
        "Correct each place in `errors`: `#/title` in the body, `?limit` in the query, `/{task_id}` in the path, "
        "`header.If-Match` among the headers.",
    ),
    "invalid_link": (
        "A link from a mail (400) or to a picture (403) has expired, was used, or was not made by this program.",
        "Ask for a new link.",
    ),
    "invalid_refresh_token": (
        "The refresh token has expired, was used, or its session has ended.",
        "Log in again.",
    ),
    "invalid_token": (
        "The token has expired, was revoked, or was not made by this program.",
        "Exchange the refresh token, or log in again.",
    ),
    "last_admin": (
        "The account is the last active admin.",
        "Make somebody else an admin first.",
    ),
    "last_manager": (
        "The account is the last manager of a project that has other members.",
        "Make another member a manager first.",
    ),
    "member_has_tasks": (
        "The leaving member owns tasks in the project.",
        "Name in `transfer_to` the member who gets the tasks.",
    ),
    "method_not_allowed": (
        "The path does not support this method.",
        "Use a method that the header `Allow` names.",
    ),
    "missing_scope": (
        "The program's token lacks the scope that `detail` names.",
        "Make a token with this scope.",
    ),
    "no_session": (
        "A token without a session can't be logged out.",
        "Let it expire, or delete the program's token with `DELETE /auth/tokens/{id}`.",
    ),
    "not_acceptable": (
        "The call answers in none of the media types in `Accept`.",
        "Ask for a media type that `detail` names, or leave `Accept` out.",
    ),
    "not_authenticated": (
        "The request has no token.",
        "Send `Authorization: Bearer` with an access token or a program's token.",
    ),
    "not_author": (
        "The comment is somebody else's.",
        "Leave it to its author; a manager of the project or an admin may delete it.",
    ),
    "not_found": ("There is nothing at this path.", "Look the path up at `/docs`."),
    "not_logged_in": ("The browser has no login for the program's pages.", "Log in on the page."),
    "not_maker": (
        "Only the account that created a view may take it out of a project.",
        "Ask that person, or create a view of your own.",
    ),
    "not_ready": (
        "`/ready` has found a part of the program that does not work.",
        "Read in `detail` which part; send no traffic here until the answer is 200.",
    ),
    "notification_not_found": (
        "There is no such notification of yours.",
        "List yours with `GET /notifications`.",
    ),
    "other_origin": (
        "A browser on another site sent a call that only the program's own pages may make.",
        "Use `POST /auth/login`.",
    ),
    "owner_not_member": (
        "A task in a project is owned by one of its members.",
        "Add the owner to the project first, or assign the task to a member.",
    ),
    "precondition_failed": (
        "Somebody else changed the resource after the version that `If-Match` names.",
        "Read it again, and repeat the change with the new `ETag` if it still makes sense.",
    ),
    "project_archived": (
        "The project is archived, so its tasks can only be read.",
        'Ask a manager to restore it by `PATCH /projects/{id}` with `{"archived": false}`.',
    ),
    "project_not_found": (
        "There is no such project, or you are not a member.",
        "List yours with `GET /projects`.",
    ),
    "project_role": (
        "Your role in the project does not allow this; `detail` names the role that does.",
        "Ask a manager of the project.",
    ),
    "rate_limited": (
        "The caller sends more requests than `RateLimit-Policy` allows.",
        "Wait as long as `Retry-After` says.",
    ),
    "registration_closed": ("People can't create accounts themselves here.", "Ask an admin for an account."),
    "request_timeout": (
        "The request took longer than the operator allows.",
        "Ask for less at once, or send the request again with its `Idempotency-Key`.",
    ),
    "session_ended": ("The session was ended, by you or by an admin.", "Log in again."),
    "session_not_found": ("There is no such session of yours.", "List yours with `GET /auth/sessions`."),
    "session_required": (
        "The call is for people who logged in, and takes no program's token.",
        "Send an access token from `POST /auth/login`.",
    ),
    "stale_copy": (
        "The request sent back the whole task, project, comment, view or webhook as it was before another change.",
        "Read it again, and send only the fields that you change.",
    ),
    "state_in_use": (
        "A state that the change removes, or gives another status, has tasks.",
        "Name in `replaced_states` the state that gets the tasks, or move them first.",
    ),
    "task_completed": (
        "A completed task can't be blocked.",
        "Reopen it first.",
    ),
    "task_not_found": (
        "There is no such task, or you may not see it.",
        "List yours with `GET /tasks`.",
    ),
    "token_not_found": ("There is no such token of yours.", "List yours with `GET /auth/tokens`."),
    "too_little_history": (
        "A forecast needs at least 4 weeks and 10 completed tasks.",
        "Ask for a longer period or a wider filter.",
    ),
    "too_many_attempts": (
        "Too many logins were tried or mails requested for this account or from this address.",
        "Wait as long as `Retry-After` says.",
    ),
    "too_many_calendars": ("The account has the largest number of calendars.", "Delete one first."),
    "too_many_registrations": (
        "Too many accounts were created from this address.",
        "Wait as long as `Retry-After` says.",
    ),
    "too_many_streams": ("The account has the largest number of open streams.", "End a stream first."),
    "too_many_tokens": ("The account has the largest number of program tokens.", "Delete a token first."),
    "too_many_webhooks": ("The account has the largest number of webhooks.", "Delete a webhook first."),
    "unexpected_number": (
        "The filter finds another number of tasks than `expected`; nothing was changed.",
        "List the tasks of the filter, and send the right number.",
    ),
    "unknown_host": (
        "The host in the address is not one of `ALLOWED_HOSTS`.",
        "Use the address that the operator named.",
    ),
    "unsupported_media_type": (
        "The endpoint does not accept this `Content-Type` or `Content-Encoding`.",
        "Send a type that `detail` names, uncompressed.",
    ),
    "user_not_found": (
        "There is no such user; with status 401, the token's own account is gone.",
        "Look the id up with `GET /users/lookup`, or make a new account.",
    ),
    "username_taken": ("Another account has this username.", "Choose another one."),
    "view_not_found": (
        "There is no such view, or you may not see it.",
        "List yours with `GET /views`.",
    ),
    "webhook_disabled": ("The webhook is disabled.", 'Enable it by `PATCH` with `{"enabled": true}`.'),
    "webhook_not_found": ("There is no such webhook of yours.", "List yours with `GET /webhooks`."),
    "wip_limit_reached": (
        "The state holds as many tasks as its limit allows.",
        "Finish or move one of its tasks first.",
    ),
    "wrong_password": (
        "The password that confirms the change is wrong.",
        "Ask for the password again; `POST /auth/password/forgot` resets a forgotten password.",
    ),
}

HEADING = "## All codes\n"
_TABLE = "\n| code | status | when | what to do |\n|---|---|---|---|\n"


def page() -> str:
    """The chapter: its text before the table, which stays, and the codes in alphabetical order."""
    before, heading, _ = PAGE.read_text(encoding="utf-8").partition(HEADING)
    rows = (
        f"| `{code}` | {', '.join(map(str, statuses))} | {' | '.join(EXPLAINED[code])} |\n"
        for code, statuses in collect().items()
    )
    return before + heading + _TABLE + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
