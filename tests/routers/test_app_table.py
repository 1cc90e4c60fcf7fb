"""Each thing that the page of tasks offers is driven by a test at both widths."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from tests.routers import test_app as page
from tests.routers import test_app_beyond as beyond
from tests.routers import test_app_board as board
from tests.routers import test_app_editing as editing
from tests.routers import test_app_files as files
from tests.routers import test_app_pasted as pasted

# The things on offer, each with the test that drives it at 1280 and at 390 pixels.
OFFERED: dict[str, Callable[..., Any]] = {
    "making an account, logging in, a forgotten password": page.test_from_nothing_to_a_completed_task,
    "adding a task by one line": page.test_from_nothing_to_a_completed_task,
    "what is understood of a line, and completed": page.test_a_line_is_understood_and_completed,
    "many pasted lines, a task each": pasted.test_many_pasted_lines_are_many_tasks,
    "completing and deleting, taken back": page.test_from_nothing_to_a_completed_task,
    "the list, by keys alone": page.test_from_nothing_to_a_completed_task,
    "the help for keys": page.test_from_nothing_to_a_completed_task,
    "changing a task in place, and somebody else was first": page.test_a_task_is_changed_in_place_and_others_are_heeded,
    "a title in its row, by keys": editing.test_a_title_is_edited_in_its_row,
    "a title, a priority, a due date and a project in the row, by mouse": editing.test_a_row_is_edited_by_mouse,
    "a title in the row, and somebody else was first": editing.test_others_are_heeded_while_a_row_is_edited,
    "a title in the row that could not be saved": editing.test_a_title_that_could_not_be_saved_stays_in_its_row,
    "a day from the calendar": editing.test_a_day_is_picked_from_the_calendar_and_its_time_stays,
    "history": page.test_a_task_is_changed_in_place_and_others_are_heeded,
    "assigning": page.test_a_task_is_changed_in_place_and_others_are_heeded,
    "assigning, taken back": beyond.test_assigning_is_taken_back,
    "moving to a project, taken back": beyond.test_moving_is_taken_back,
    "changing what is marked": page.test_many_are_marked_and_changed_at_once,
    "filters in the address": page.test_many_are_marked_and_changed_at_once,
    "views": page.test_webhooks_calendars_and_views_are_made_and_taken_back,
    "the board with limits": page.test_two_people_see_each_other_work,
    "a board of thousands of cards": board.test_a_board_of_thousands_of_cards,
    "live changes": page.test_two_people_see_each_other_work,
    "blocks": page.test_two_people_see_each_other_work,
    "comments": beyond.test_comments_are_written_changed_and_deleted,
    "states of a project": page.test_a_project_has_members_and_states_with_limits,
    "members": beyond.test_members_come_change_their_roles_and_go,
    "members that others change meanwhile": beyond.test_members_that_others_add_disturb_nobody,
    "a line that outlives the session": beyond.test_a_line_outlives_the_session,
    "leaving a project": page.test_who_leaves_a_project_hands_over_their_tasks,
    "the archive": beyond.test_an_archived_project_is_read_and_taken_out_again,
    "the tasks of the archive": beyond.test_the_tasks_of_archived_projects_are_found_if_they_are_asked_for,
    "import of Todoist, GitHub, Jira, Trello, Vikunja, a sheet": files.test_files_of_other_programs_are_seen_before_they_are_taken,
    "the meaning of columns": files.test_the_meaning_of_a_column_can_be_changed_and_a_bad_file_says_why,
    "export, its content": files.test_an_export_has_what_was_asked_for,
    "notifications": page.test_settings_are_there_for_tokens_sessions_and_notifications,
    "program tokens": page.test_settings_are_there_for_tokens_sessions_and_notifications,
    "sessions": page.test_settings_are_there_for_tokens_sessions_and_notifications,
    "webhooks": page.test_webhooks_calendars_and_views_are_made_and_taken_back,
    "the last deliveries of a webhook": beyond.test_a_webhook_shows_its_last_deliveries,
    "tables on a phone": beyond.test_tables_fit_at_both_widths,
    "calendars": page.test_webhooks_calendars_and_views_are_made_and_taken_back,
    "the palette": beyond.test_the_palette_finds_actions_places_and_tasks,
    "what is due in a week": beyond.test_the_palette_finds_actions_places_and_tasks,
}  # fmt: skip


@pytest.mark.parametrize("thing", OFFERED)
def test_each_thing_is_driven_at_both_widths(thing: str) -> None:
    # The fixture `browser` runs a test once at each width.
    assert "browser" in inspect.signature(OFFERED[thing]).parameters, thing


def test_no_test_at_both_widths_is_left_out() -> None:
    both = {
        each
        for module in (page, beyond, board, editing, files, pasted)
        for name, each in vars(module).items()
        if name.startswith("test_") and "browser" in inspect.signature(each).parameters
    }
    assert both == {*OFFERED.values()}
    assert [each["width"] for each in (page.DESK, page.PHONE)] == [1280, 390]
