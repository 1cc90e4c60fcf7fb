"""Charts by name, and links to them: a link shows one picture to anyone who has it, until it expires."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from config import settings
from errors import Forbidden, InvalidInput, input_problems, invalid_at, invalid_input
from models import Caller
from schemas.flow import (
    LONGEST_SIGNATURE,
    CumulativeQuery,
    FlowQuery,
    ForecastQuery,
    IntervalQuery,
    ListQuery,
)
from security import signing
from security.callers import CALLER_BY_ID
from services.flow import answers
from services.flow.charts import CHARTS
from services.flow.question import Question, ask
from services.query.refusal import InvalidFilter

KIND = "picture"


def _forecast(db: Session, question: Question, query: Any) -> dict[str, Any]:
    given = query.from_ is not None
    return answers.will_be_done(db, question, remaining=query.remaining, until=query.until, from_given=given)


_Answer = Callable[[Session, Question, Any], dict[str, Any]]
# The query and the answer of each chart.
ASKED: Mapping[str, tuple[type[FlowQuery], _Answer]] = {
    "throughput": (IntervalQuery, lambda db, asked, query: answers.throughput(db, asked, query.interval)),
    "cumulative-flow": (
        CumulativeQuery,
        lambda db, asked, query: answers.cumulative_flow(db, asked, query.interval, query.completed),
    ),
    "cycle-times": (
        ListQuery,
        lambda db, asked, query: answers.cycle_times(db, asked, query.limit, query.cursor),
    ),
    "time-in-status": (FlowQuery, lambda db, asked, _: answers.time_in_status(db, asked)),
    "aging": (ListQuery, lambda db, asked, query: answers.aging(db, asked, query.limit, query.cursor)),
    "forecast": (ForecastQuery, _forecast),
    "burnup": (IntervalQuery, lambda db, asked, query: answers.burnup(db, asked, query.interval)),
}


def draw(chart: str, answer: Mapping[str, Any]) -> bytes:
    """An answer as SVG."""
    return CHARTS[chart](answer).render()


def _picture(db: Session, caller: Caller, chart: str, values: Mapping[str, Any]) -> bytes:
    model, answer = ASKED[chart]
    try:
        query = model.model_validate(values)
    except ValidationError as error:
        names = [field.alias or name for name, field in model.model_fields.items()]
        problems = [
            {**each, "loc": ("body", "query", *each["loc"])} for each in error.errors(include_input=False)
        ]
        raise invalid_input(input_problems(problems, names)) from None
    try:
        return draw(chart, answer(db, ask(db, caller, query), query))
    except InvalidFilter as error:
        raise error.at("#/query/filter") from None
    except InvalidInput as error:
        # These figures are asked by parameters elsewhere.
        raise invalid_input(
            [{**each, "pointer": _in_body(each["pointer"])} for each in error.errors]
        ) from None


def _in_body(pointer: str) -> str:
    """The pointer to a field of the query in the body, where an error points to a parameter."""
    return f"#/query/{pointer.removeprefix('?')}" if pointer.startswith("?") else pointer


def make_link(
    db: Session, caller: Caller, chart: str, values: Mapping[str, Any], days: int
) -> dict[str, Any]:
    """Make a link by which anyone may see a picture until it expires; raises the errors of the question."""
    # The picture is drawn once, so that no link is made to a picture that can't be shown.
    _picture(db, caller, chart, values)
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    claims = {
        "sub": str(caller.id),
        "kind": KIND,
        "chart": chart,
        "query": dict(values),
        "exp": expires_at,
        # The version was read when the request began, so a link that is made while the password is set stops working
        # too.
        "version": caller.credentials_version,
    }
    signature = signing.sign(claims)
    if len(signature) > LONGEST_SIGNATURE:
        problem = (
            "Makes a link that is longer than servers take: shorten the query, or save its filter as a view and "
            "send `view`"
        )
        raise invalid_at("#/query", problem)
    return {
        "url": f"{settings.root}/analytics/pictures/{chart}?signature={signature}",
        "expires_at": expires_at,
    }


def open_link(db: Session, chart: str, signature: str) -> bytes:
    """The present state of the picture that a link was made for; raises Forbidden."""
    refused = Forbidden("This link has expired, or this program did not make it", code="invalid_link")
    try:
        claims = signing.verify(signature, KIND)
    except signing.InvalidTokenError:
        raise refused from None
    if claims.get("chart") != chart:
        raise refused
    row = db.execute(CALLER_BY_ID, {"user_id": int(claims["sub"])}).first()
    # The link's maker must still be active, and must not have set a new password since.
    if row is None or not row.is_active or row.credentials_version != claims.get("version", 0):
        raise refused
    return _picture(db, Caller(*row), chart, claims["query"])
