"""Shared projects and their members."""

from typing import Annotated, Any, Literal

from fastapi import BackgroundTasks, Query, Request, Response

from auth import CurrentUser
from database import AnyRow
from routers.parameters import IfMatch, IfNoneMatch, PathId
from schemas.common import Id, Page
from schemas.projects import MemberPut, MemberRead, ProjectCreate, ProjectFilters, ProjectRead, ProjectUpdate
from services import background_tasks, preconditions
from services.portions import Portions
from services.projects import member as member_service
from services.projects import project as project_service
from web.routing import Router, link_next
from web.transaction import LongWriteSession, ReadSession

router = Router(prefix="/projects", tags=["projects"], reads="tasks:read", writes="tasks:write")

TransferTo = Annotated[Id | None, Query(description="The member who gets the member's tasks", examples=[2])]


@router.post("", response_model=ProjectRead, status_code=201)
def create_project(
    db: LongWriteSession,
    user: CurrentUser,
    body: ProjectCreate,
    response: Response,
    background: BackgroundTasks,
) -> dict[str, Any]:
    """Create a project.

    The caller becomes its manager. Without `states` the project has three: To do, In progress and Done.
    """
    project = project_service.create_project(db, user, body.model_dump())
    response.headers["Location"] = f"/projects/{project['id']}"
    response.headers["ETag"] = project_service.etag(project)
    if body.adopt_tasks:
        background.add_task(background_tasks.after_change, user.id)
    return project


@router.get("", response_model=list[ProjectRead])
def list_projects(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[ProjectFilters, Query()],
    request: Request,
    response: Response,
) -> list[dict[str, Any]]:
    """List the projects that the caller is a member of, newest first."""
    return link_next(request, response, project_service.list_projects(db, user, filters))


@router.get(
    "/{project_id}",
    response_model=ProjectRead,
    errors=[404],
    responses={304: {"description": "Not Modified"}},
    on_loop=True,
)
def read_project(
    db: ReadSession,
    user: CurrentUser,
    project_id: PathId,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> dict[str, Any] | Response:
    """Get a project with its workflow (members and admins)."""
    project = project_service.get_project(db, user, project_id)
    tag = response.headers["ETag"] = project_service.etag(project)
    if preconditions.is_known(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return project


@router.patch("/{project_id}", response_model=ProjectRead, errors=[404, 409, 412])
def update_project(
    db: LongWriteSession,
    user: CurrentUser,
    project_id: PathId,
    body: ProjectUpdate,
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Change a project: only the fields that are sent (managers).

    A new name is written to the project's tasks.
    """
    values = body.sent()
    if body.states is not None:
        values["states"] = [state.model_dump() for state in body.states]
    project, owners = project_service.update_project(db, user, project_id, values, if_match)
    response.headers["ETag"] = project_service.etag(project)
    if owners:
        background.add_task(background_tasks.after_change, *sorted(owners))
    return project


@router.delete("/{project_id}", status_code=204, errors=[404, 412])
def delete_project(
    db: LongWriteSession,
    user: CurrentUser,
    project_id: PathId,
    tasks: Annotated[
        Literal["delete", "release"],
        Query(
            description="`delete` deletes the tasks; `release` leaves them to their owners, with the"
            " project's name as label"
        ),
    ],
    background: BackgroundTasks,
    portions: Portions,
    if_match: IfMatch = None,
) -> Response:
    """Delete a project with its tasks, or release the tasks (managers)."""
    owners = project_service.delete_project(db, user, project_id, tasks, portions, if_match)
    background.add_task(background_tasks.after_change, *sorted(owners))
    return Response(status_code=204)


@router.get("/{project_id}/members", response_model=list[MemberRead], errors=[404])
def list_members(
    db: ReadSession,
    user: CurrentUser,
    project_id: PathId,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the members of a project, newest first."""
    return link_next(request, response, member_service.list_members(db, user, project_id, page))


@router.put("/{project_id}/members/{user_id}", response_model=MemberRead, errors=[404, 409])
def put_member(
    db: LongWriteSession,
    user: CurrentUser,
    project_id: PathId,
    user_id: PathId,
    body: MemberPut,
    background: BackgroundTasks,
    portions: Portions,
    transfer_to: TransferTo = None,
) -> AnyRow:
    """Add somebody to a project, who is notified, or change their role (managers).

    A viewer owns no tasks in the project: a member who becomes a viewer gives them to the member
    `transfer_to`.
    """
    member, changed = member_service.put_member(
        db, user, project_id, user_id, body.role, transfer_to, body.sent(), portions
    )
    background.add_task(background_tasks.after_change, *sorted(changed))
    return member


@router.delete("/{project_id}/members/{user_id}", status_code=204, errors=[404, 409])
def remove_member(
    db: LongWriteSession,
    user: CurrentUser,
    project_id: PathId,
    user_id: PathId,
    background: BackgroundTasks,
    portions: Portions,
    transfer_to: TransferTo = None,
) -> Response:
    """Remove a member from a project (managers), or leave it.

    A member who owns tasks in the project gives them to the member `transfer_to`. The last manager can't
    leave.
    """
    changed = member_service.remove_member(db, user, project_id, user_id, transfer_to, portions)
    background.add_task(background_tasks.after_change, *sorted(changed))
    return Response(status_code=204)
