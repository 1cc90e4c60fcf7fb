"""Errors of the drivers, and the errors that clients get for them."""

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from errors import DatabaseUnavailable
from storage.faults import translated_error

WITHOUT_A_STATE = [
    each
    for each in vars(psycopg.errors).values()
    if isinstance(each, type)
    and issubclass(each, (psycopg.OperationalError, psycopg.InterfaceError))
    and each.sqlstate is None
]


@pytest.mark.parametrize("kind", WITHOUT_A_STATE)
def test_a_fault_of_the_connection_is_told_as_a_database_that_can_not_be_reached(
    kind: type[psycopg.Error],
) -> None:
    """The driver raises another class for a server that does not answer in time than for one that refuses."""
    fault = kind("connection timeout expired")
    assert psycopg.errors.ConnectionTimeout in WITHOUT_A_STATE
    for error in (fault, OperationalError("SELECT 1", {}, fault)):
        assert isinstance(translated_error(error), DatabaseUnavailable)


def test_a_fault_of_a_statement_stays_what_it_is() -> None:
    fault = psycopg.errors.UndefinedTable("no such table")
    assert translated_error(fault) is fault
