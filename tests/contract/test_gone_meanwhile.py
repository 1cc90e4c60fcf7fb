"""Reads of several statements are answered whatever is deleted between these."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy.orm import Session

from database import database
from models import Caller
from security.callers import CALLER_BY_ID
from services import background_tasks, completion_times
from services.accounts import removal
from services.flow import history as flow_history
from services.portions import Portions
from services.projects import member, project
from tests.routers.test_projects import STATES
from tests.security.test_project_permissions import World, rows
from tests.support.api import Api
from tests.support.between import before_statement
from tests.support.snapshot import Snapshot

# This takes several seconds, because every read is answered as many times as it has statements.
pytestmark = pytest.mark.thorough

READS = [line for line in rows() if line.startswith("GET ")]


def delete_project(world: World, db: Session) -> None:
    caller = Caller(*db.execute(CALLER_BY_ID, {"user_id": world.people["manager"].id}).one())
    project.delete_project(db, caller, world.ids["project_id"], "delete", Portions(lambda: None))


def delete_account(world: World, db: Session) -> None:
    caller = Caller(*db.execute(CALLER_BY_ID, {"user_id": world.people["theirs"].id}).one())
    removal.delete_account(db, caller, caller, None, Portions(lambda: None))


def leave_project(world: World, db: Session) -> None:
    caller = Caller(*db.execute(CALLER_BY_ID, {"user_id": world.people["theirs"].id}).one())
    member.remove_member(db, caller, world.ids["project_id"], caller.id, world.people["manager"].id)


def change_states(world: World, db: Session) -> None:
    caller = Caller(*db.execute(CALLER_BY_ID, {"user_id": world.people["manager"].id}).one())
    usual = {"wip_limit": None, "wip_policy": "warn", "waiting": False}
    states = [{**usual, **state, "key": f"new_{state['key']}"} for state in STATES]
    replaced = {state["key"]: f"new_{state['key']}" for state in STATES}
    values = {"states": states, "replaced_states": replaced}
    project.update_project(db, caller, world.ids["project_id"], values, None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("change", [delete_project, delete_account, leave_project, change_states])
def test_a_read_is_answered_if_things_are_gone_in_the_middle(
    api: Api, database_url: str, change: Callable[[World, Session], None]
) -> None:
    wrong, world = [], World(api)
    background_tasks.stop()
    snapshot = Snapshot(database_url)
    for line in READS:
        for number in range(1, 20):
            completion_times.kept.clear()
            flow_history.clear()
            with before_statement(number, lambda: database.write(partial(change, world))) as statements:
                answer = world.call("theirs", line)
            if len(statements) < number:
                break
            background_tasks.stop()
            snapshot.restore()
            if answer.status_code >= 500:
                wrong.append(f"{line}: {answer.status_code} before {statements[-1]}")
            if answer.status_code == 200 and '"states":[]' in answer.text:
                wrong.append(f"{line}: {answer.text}")
    snapshot.close()
    assert wrong == []
