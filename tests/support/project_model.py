"""Shared projects in plain Python: the right answer to each call, and the tasks that each account sees then."""

from dataclasses import dataclass, field
from typing import Any

RANKS = {None: 0, "viewer": 1, "member": 2, "manager": 3}
STATUSES = ("pending", "in_progress", "completed")
# Every state that any project may have, with its status and, for some, a limit that blocks.
POOL: dict[str, dict[str, Any]] = {
    "todo": {"status": "pending"},
    "later": {"status": "pending"},
    "doing": {"status": "in_progress", "wip_limit": 2, "wip_policy": "block"},
    "review": {"status": "in_progress", "wip_limit": 1, "wip_policy": "warn"},
    "done": {"status": "completed"},
    "dropped": {"status": "completed"},
}
# The answer to a call: its status, and the code of its problem or an empty text.
Expected = tuple[int, str]
OK, CREATED, GONE = (200, ""), (201, ""), (204, "")
NO_TASK, NO_PROJECT, NO_USER = (404, "task_not_found"), (404, "project_not_found"), (404, "user_not_found")
ROLE, ARCHIVED, BAD = (403, "project_role"), (409, "project_archived"), (422, "invalid_input")


@dataclass
class Task:
    owner: int
    title: str
    project: int | None
    state: str
    status: str
    blocked: str | None = None
    comments: dict[int, int] = field(default_factory=dict)


@dataclass
class Project:
    states: list[str]
    members: dict[int, str]
    archived: bool = False

    def first(self, status: str) -> str:
        return next(key for key in self.states if POOL[key]["status"] == status)


class Model:
    """The accounts, of which one is an admin, their projects and tasks."""

    def __init__(self, accounts: list[int], admin: int) -> None:
        self.accounts, self.admin = accounts, admin
        self.projects: dict[int, Project] = {}
        self.tasks: dict[int, Task] = {}

    # -- rights ------------------------------------------------------------------------------------

    def rank(self, user: int, project: int | None) -> int:
        found = self.projects.get(project) if project is not None else None
        if found is None:
            return 0
        return 3 if user == self.admin else RANKS[found.members.get(user)]

    def can_own(self, user: int, project: int) -> bool:
        return self.projects[project].members.get(user) in ("member", "manager")

    def refusal(self, user: int, task_id: int, least: int = 2) -> Expected | None:
        """The refusal if somebody has not the `least` rank for a task; 1 is the right to see the task."""
        task = self.tasks.get(task_id)
        if task is None:
            return NO_TASK
        if task.project is None:
            return None if user in (task.owner, self.admin) else NO_TASK
        rank = self.rank(user, task.project)
        if not rank:
            return NO_TASK
        if rank < least:
            return ROLE
        return ARCHIVED if least > 1 and self.projects[task.project].archived else None

    def entry(self, user: int, project: int) -> Expected | None:
        """The refusal if somebody may not put tasks into a project."""
        rank = self.rank(user, project)
        if not rank:
            return NO_PROJECT
        if rank < 2:
            return ROLE
        return ARCHIVED if self.projects[project].archived else None

    def is_full(self, project: int, key: str) -> bool:
        limit = POOL[key].get("wip_limit") if POOL[key].get("wip_policy") == "block" else None
        there = sum(task.project == project and task.state == key for task in self.tasks.values())
        return limit is not None and there >= limit

    def visible(self, user: int, project: int) -> set[int] | None:
        """The tasks of a project that somebody sees; None if they do not see the project."""
        if not self.rank(user, project):
            return None
        return {task_id for task_id, task in self.tasks.items() if task.project == project}

    # -- tasks -------------------------------------------------------------------------------------

    def create_task(  # noqa: PLR0911  # a return for each rule
        self, user: int, title: str, project: int | None, state: str | None, owner: int | None
    ) -> tuple[Expected, Task | None]:
        if project is None:
            if owner not in (None, user) or state not in (None, *STATUSES):
                return BAD, None
            status = state or "pending"
            return CREATED, Task(user, title, None, status, status)
        if (refused := self.entry(user, project)) is not None:
            return refused, None
        there = self.projects[project]
        if owner is None:
            if user not in there.members:
                return BAD, None
            owner = user
        if not self.can_own(owner, project):
            return NO_USER, None
        key = there.first("pending") if state is None else state
        if key not in there.states:
            return BAD, None
        if self.is_full(project, key):
            return (409, "wip_limit_reached"), None
        return CREATED, Task(owner, title, project, key, POOL[key]["status"])

    def update_task(  # noqa: PLR0911  # a return for each rule
        self, user: int, task_id: int, sent: dict[str, Any]
    ) -> Expected:
        """`sent` has a title, a state, a status, or a project and perhaps a state."""
        if (refused := self.refusal(user, task_id)) is not None:
            return refused
        task = self.tasks[task_id]
        sent = {name: value for name, value in sent.items() if value != self._value(task, name)}
        project = task.project
        if "project_id" in sent:
            project = sent["project_id"]
            if project is None:
                if user != task.owner and self.rank(user, task.project) < 3:
                    return ROLE
            else:
                if (refused := self.entry(user, project)) is not None:
                    return refused
                if not self.can_own(task.owner, project):
                    return (409, "owner_not_member")
        key = self._state_after(task, project, sent)
        if key is None:
            return BAD
        if (
            project is not None
            and (project, key) != (task.project, task.state)
            and self.is_full(project, key)
        ):
            return (409, "wip_limit_reached")
        task.project, task.title = project, sent.get("title", task.title)
        self._enter(task, key)
        return OK

    @staticmethod
    def _value(task: Task, name: str) -> Any:
        return task.project if name == "project_id" else getattr(task, name)

    def _state_after(self, task: Task, project: int | None, sent: dict[str, Any]) -> str | None:
        """The state that a task goes to; None if there is no such state."""
        there = None if project is None else self.projects[project]
        states = list(STATUSES) if there is None else there.states
        if "state" in sent:
            return sent["state"] if sent["state"] in states else None
        status = sent.get("status", task.status)
        if project == task.project and status == task.status:
            return task.state
        return status if there is None else there.first(status)

    @staticmethod
    def _enter(task: Task, key: str) -> None:
        task.state = key
        task.status = key if task.project is None else POOL[key]["status"]
        if task.status == "completed":
            task.blocked = None

    def delete_task(self, user: int, task_id: int) -> Expected:
        task = self.tasks.get(task_id)
        least = 2 if task is not None and task.owner == user else 3
        if (refused := self.refusal(user, task_id, least)) is not None:
            return refused
        del self.tasks[task_id]
        return OK

    def assign(self, user: int, task_id: int, to: int) -> Expected:
        task = self.tasks.get(task_id)
        if task is None:
            return NO_TASK
        if task.project is None:
            if user not in (task.owner, self.admin):
                return (403, "cannot_assign")
            may_get = to in self.accounts
        else:
            if (refused := self.refusal(user, task_id)) is not None:
                return refused
            may_get = self.can_own(to, task.project)
        if not may_get:
            return NO_USER
        task.owner = to
        return OK

    def block(self, user: int, task_id: int, reason: str | None) -> Expected:
        if (refused := self.refusal(user, task_id)) is not None:
            return refused
        task = self.tasks[task_id]
        if reason is not None and task.status == "completed":
            return (409, "task_completed")
        task.blocked = reason
        return OK

    # -- comments ----------------------------------------------------------------------------------

    def change_comment(self, user: int, task_id: int, comment_id: int, *, delete: bool) -> Expected:
        if (refused := self.refusal(user, task_id)) is not None:
            return refused
        task = self.tasks[task_id]
        author = task.comments.get(comment_id)
        if author is None:
            return (404, "comment_not_found")
        if not delete:
            return OK if author == user else (403, "not_author")
        if user not in (author, self.admin):
            if task.project is None:
                return (403, "not_author")
            if self.rank(user, task.project) < 3:
                return ROLE
        del task.comments[comment_id]
        return GONE

    # -- projects ----------------------------------------------------------------------------------

    def settings(self, user: int, project: int) -> Expected | None:
        """The refusal if somebody may not change a project."""
        rank = self.rank(user, project)
        if not rank:
            return NO_PROJECT
        return ROLE if rank < 3 else None

    def put_member(self, user: int, project: int, who: int, role: str, heir: int | None) -> Expected:
        if (refused := self.settings(user, project)) is not None:
            return refused
        members = self.projects[project].members
        if who not in self.accounts:
            return NO_USER
        if members.get(who) == role:
            return OK
        if who in members:
            if members[who] == "manager" and self._is_last(project, who):
                return (409, "last_manager")
            if role == "viewer" and (refused := self._hand_over(project, who, heir)) is not None:
                return refused
        members[who] = role
        return OK

    def remove_member(self, user: int, project: int, who: int, heir: int | None) -> Expected:
        rank = self.rank(user, project)
        if not rank:
            return NO_PROJECT
        if rank < 3 and who != user:
            return ROLE
        members = self.projects[project].members
        if who not in members:
            return NO_USER
        if members[who] == "manager" and self._is_last(project, who):
            return (409, "last_manager")
        if (refused := self._hand_over(project, who, heir)) is not None:
            return refused
        del members[who]
        return GONE

    def _is_last(self, project: int, who: int) -> bool:
        return [user for user, role in self.projects[project].members.items() if role == "manager"] == [who]

    def _hand_over(self, project: int, who: int, heir: int | None) -> Expected | None:
        if heir is not None and (heir == who or not self.can_own(heir, project)):
            return NO_USER
        theirs = [task for task in self.tasks.values() if (task.project, task.owner) == (project, who)]
        if theirs and heir is None:
            return (409, "member_has_tasks")
        for task in theirs:
            assert heir is not None
            task.owner = heir
        return None

    def change_states(self, user: int, project: int, keys: list[str], replaced: dict[str, str]) -> Expected:
        if (refused := self.settings(user, project)) is not None:
            return refused
        there = self.projects[project]
        gone = [key for key in there.states if key not in keys]
        if any(old not in gone or new not in keys for old, new in replaced.items()):
            return BAD
        here = [task for task in self.tasks.values() if task.project == project]
        if any(task.state in gone and task.state not in replaced for task in here):
            return (409, "state_in_use")
        for task in here:
            if task.state in gone:
                self._enter(task, replaced[task.state])
        there.states = keys
        return OK

    def delete_project(self, user: int, project: int, *, release: bool) -> Expected:
        if (refused := self.settings(user, project)) is not None:
            return refused
        for task_id, task in list(self.tasks.items()):
            if task.project == project and release:
                task.project, task.state = None, task.status
            elif task.project == project:
                del self.tasks[task_id]
        del self.projects[project]
        return GONE
