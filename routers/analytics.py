"""Statistics about the caller's tasks and, for admins, about the tasks of all accounts."""

from typing import Annotated, Any

from fastapi import Query, Request, Response

from auth import AdminUser, CurrentUser
from logging_config import logger
from schemas.analytics import CompletionTimeStats, ProjectStats, SystemSummary, UserStats
from schemas.common import LongPage, Page
from services import analytics_service
from web.routing import Router, link_next
from web.transaction import ReadSession, SnapshotSession

router = Router(prefix="/analytics", tags=["analytics"], reads="analytics:read")


@router.get("/user-completion-stats", response_model=UserStats, on_loop=True)
def user_completion_stats(db: ReadSession, user: CurrentUser) -> dict[str, Any]:
    """Count the caller's tasks by status."""
    logger.info("User %s requested completion stats", user.username)
    stats = analytics_service.get_user_stats(db, user.id, user.username)
    logger.info("Returned stats for user %s: %s", user.username, stats)
    return stats


@router.get("/all-users-stats", response_model=list[UserStats])
def all_users_stats(
    db: ReadSession, user: AdminUser, page: Annotated[Page, Query()], request: Request, response: Response
) -> list[dict[str, Any]]:
    """Count the tasks of each account by status, ordered by account id (admins)."""
    logger.info("User %s requested all users stats", user.username)
    stats = analytics_service.get_all_users_stats(db, limit=page.limit, skip=page.skip, cursor=page.cursor)
    logger.info("Returned stats of %d users for user %s", len(stats.rows), user.username)
    return link_next(request, response, stats)


@router.get("/project-stats", response_model=list[ProjectStats], on_loop=True)
def project_stats(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[LongPage, Query()],
    request: Request,
    response: Response,
) -> list[dict[str, Any]]:
    """Count the tasks in each of the caller's projects by status, ordered by project name."""
    logger.info("User %s requested project stats", user.username)
    stats = analytics_service.get_project_stats_page(db, user.id, page)
    logger.info("Returned stats of %d projects for user %s", len(stats.rows), user.username)
    return link_next(request, response, stats)


@router.get("/completion-time-stats", response_model=CompletionTimeStats)
def completion_time_stats(db: SnapshotSession, user: CurrentUser) -> dict[str, Any]:
    """Get the time that the caller's completed tasks took, from creation to completion."""
    logger.info("User %s requested completion time stats", user.username)
    stats = analytics_service.get_completion_time_stats(db, user.id)
    logger.info("Returned completion time stats for user %s: %s", user.username, stats)
    return stats


@router.get("/system-summary", response_model=SystemSummary)
def system_summary(db: ReadSession, user: AdminUser) -> dict[str, Any]:
    """Count the tasks of all accounts (admins)."""
    logger.info("User %s requested system summary", user.username)
    summary = analytics_service.get_system_summary(db)
    logger.info("Returned system summary for user %s: %s", user.username, summary)
    return summary
