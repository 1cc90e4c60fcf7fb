"""Views: saved filters of an account or a project."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from auth import CurrentUser
from routers.parameters import PathId
from schemas.views import ViewCreate, ViewFilters, ViewRead, ViewUpdate
from services.query import view as view_service
from web.routing import Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/views", tags=["views"], reads="tasks:read", writes="tasks:write")


@router.post("", response_model=ViewRead, status_code=201, errors=[404])
def create_view(db: WriteSession, user: CurrentUser, body: ViewCreate, response: Response) -> dict[str, Any]:
    """Save a filter under a name.

    With `project_id` all members of the project see the view. Members and managers may create one, viewers
    may not.
    """
    view = view_service.create_view(db, user, body.model_dump())
    response.headers["Location"] = f"/views/{view['id']}"
    return view


@router.get("", response_model=list[ViewRead], errors=[404])
def list_views(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[ViewFilters, Query()],
    request: Request,
    response: Response,
) -> list[dict[str, Any]]:
    """List the caller's own views and those of the caller's projects, newest first."""
    return link_next(request, response, view_service.list_views(db, user, filters))


@router.get("/{view_id}", response_model=ViewRead, errors=[404])
def read_view(db: ReadSession, user: CurrentUser, view_id: PathId) -> dict[str, Any]:
    """Get a view."""
    return view_service.get_view(db, user, view_id)


@router.patch("/{view_id}", response_model=ViewRead, errors=[404, 409])
def update_view(db: WriteSession, user: CurrentUser, view_id: PathId, body: ViewUpdate) -> dict[str, Any]:
    """Change a view: only the fields that are sent.

    A project's view may be changed by the account that created it and by the project's managers.
    """
    return view_service.update_view(db, user, view_id, body.sent())


@router.delete("/{view_id}", status_code=204, errors=[404])
def delete_view(db: WriteSession, user: CurrentUser, view_id: PathId) -> Response:
    """Delete a view and the calendars that show it."""
    view_service.delete_view(db, user, view_id)
    return Response(status_code=204)
