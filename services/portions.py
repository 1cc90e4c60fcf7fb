"""Work on very many tasks, in several transactions: nobody waits for more than a portion of it.

On SQLite all writes wait for a transaction that writes. On Postgres the feed of events waits for it.

A function that takes `portions` raises Unfinished when it has changed as many tasks as one transaction should.
If the process dies in between, the portions that it has committed are kept, and the rest is as before. The same request
then does the rest.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from database import database

T = TypeVar("T")
# The tasks that one transaction changes or deletes.
TASKS = 1000
# The rows of history that one transaction looks through.
ROWS = 50_000


class Unfinished(Exception):
    """Ends a portion: what the transaction has written is committed, and the work is called again in another one.

    The numbers are counted after the commit, because the database may require that a transaction is repeated.
    """

    def __init__(self, *, removed: int = 0, forgotten: int = 0) -> None:
        super().__init__(removed, forgotten)
        self.removed, self.forgotten = removed, forgotten


class Portions:
    """The portions of one request, and what they tell the later ones."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        """`go_on` is called before the request goes on in another transaction."""
        self.tasks, self.rows, self._go_on = TASKS, ROWS, go_on
        # The accounts whose tasks have changed.
        self.owners: set[int] = set()
        # The private tasks that an account has lost, and the id of the history up to which its texts are forgotten.
        self.removed = self.forgotten = 0
        self._counted = 0

    async def write(self, work: Callable[[Session], T], *, is_long: bool = True) -> T:
        """Call `work` in one transaction after another until it no longer raises Unfinished, and return its result.

        Others have their turn between two transactions.
        """
        while True:
            is_done, result = await database.write_async(lambda db: self._portion(db, work), is_long=is_long)
            if is_done:
                return result  # type: ignore[no-any-return]
            self.removed += result.removed
            self.forgotten += result.forgotten
            self._go_on()

    def _portion(self, db: Session, work: Callable[[Session], Any]) -> tuple[bool, Any]:
        # The database may require that a transaction is repeated, so it counts from the beginning.
        self._counted = 0
        try:
            return True, work(db)
        except Unfinished as unfinished:
            return False, unfinished

    def count(self, tasks: int) -> None:
        """Count tasks that this transaction has changed; raises Unfinished if they are as many as there should be."""
        self._counted += tasks
        if self._counted >= self.tasks:
            raise Unfinished
