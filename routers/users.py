"""Accounts: looking up an id for assigning tasks and, for admins, managing accounts."""

from typing import Annotated

from fastapi import BackgroundTasks, Query, Request, Response

from auth import AdminUser, CurrentUser
from database import AnyRow
from errors import invalid_at
from routers.parameters import PathId
from schemas.accounts import UserDetails, UserFilters, UserReference, UserUpdate
from schemas.common import Id, Message, Text
from services import background_tasks
from services.accounts import removal as removal_service
from services.accounts import user as user_service
from services.accounts import user_admin as user_admin_service
from services.portions import Portions
from web.routing import Router, link_next
from web.transaction import LongWriteSession, ReadSession, WriteSession

router = Router(prefix="/users", tags=["users"], reads="tasks:read")


@router.get("/lookup", response_model=UserReference, errors=[404], on_loop=True)
def lookup_user(
    db: ReadSession,
    user: CurrentUser,
    username: Annotated[Text, Query(max_length=254, description="The whole name")],
) -> AnyRow:
    """Get the id of the account with exactly this username, in any letter case."""
    return user_service.look_up(db, username)


@router.get("", response_model=list[UserDetails])
def list_users(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[UserFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the accounts, newest first (admins)."""
    return link_next(request, response, user_admin_service.list_users(db, filters))


@router.get("/{user_id}", response_model=UserDetails, errors=[404], on_loop=True)
def read_user(db: ReadSession, user: AdminUser, user_id: PathId) -> AnyRow:
    """Get an account (admins)."""
    return user_admin_service.get_user(db, user_id)


@router.patch("/{user_id}", response_model=UserDetails, errors=[404, 409])
def update_user(
    db: LongWriteSession,
    user: AdminUser,
    user_id: PathId,
    body: UserUpdate,
    background: BackgroundTasks,
    portions: Portions,
    transfer_to: Annotated[
        Id | None,
        Query(
            description="The account that gets the tasks in shared projects of which it is a member too",
            examples=[2],
        ),
    ] = None,
) -> AnyRow:
    """Change an account's role, or activate or deactivate it (admins).

    Deactivating an account ends its sessions, and gives its tasks in shared projects to other members. The
    last manager of a project that has other members can't be deactivated.
    """
    values = body.sent()
    account, changed = user_admin_service.update_user(db, user, user_id, values, transfer_to, portions)
    background.add_task(background_tasks.after_change, *sorted(changed))
    return account


@router.delete("/{user_id}", response_model=Message, errors=[404, 409])
def delete_user(
    db: LongWriteSession,
    user: AdminUser,
    user_id: PathId,
    background: BackgroundTasks,
    portions: Portions,
    transfer_to: Annotated[
        Id | None, Query(description="The account that gets the tasks", examples=[2])
    ] = None,
    delete_tasks: Annotated[bool, Query(description="Whether the tasks are deleted too")] = False,  # noqa: FBT002
) -> dict[str, str]:
    """Delete an account, and delete or transfer its tasks (admins).

    History keeps ids, and texts only of comments and projects that stay. Repeat it if no answer comes.
    """
    if (transfer_to is None) == (not delete_tasks):
        detail = (
            "Give either `transfer_to` or `delete_tasks=true`: the tasks need a new owner, or are deleted too"
        )
        raise invalid_at("?transfer_to", detail)
    account = user_admin_service.get_user(db, user_id)
    changed = removal_service.delete_account(db, user, account, transfer_to, portions)
    background.add_task(background_tasks.after_change, user_id)
    heirs = {transfer_to} if transfer_to is not None else set()
    background.add_task(background_tasks.after_change, *sorted(changed | heirs))
    return {"message": "User deleted"}


@router.delete("/{user_id}/sessions", response_model=Message, errors=[404])
def end_user_sessions(db: WriteSession, user: AdminUser, user_id: PathId) -> dict[str, str]:
    """End all sessions of an account (admins)."""
    ended = user_admin_service.end_sessions(db, user, user_id)
    return {"message": f"Ended {ended} sessions"}
