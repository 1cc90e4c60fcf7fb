"""Large bodies of requests, and large answers, that a process keeps at the same time, bounded in bytes together.

A body stays in memory until its request is answered, and a client may send it as slowly as a request may take. Twenty
imports at once took half a gigabyte. A request with a large body therefore waits for room before the body is read, and
ends with 503 if its time runs out first. No caller takes all of the room, so that others go on meanwhile.

A large answer stays in memory until its client has read it. It has been made when its size is known, so it does not wait
for room: it is dropped, and 503 takes its place.
"""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.types import Scope

from request_context import address_group, origin_var
from storage.threads import wake

MEBIBYTE = 1024 * 1024
# A smaller body needs no room. uvicorn itself reads this much ahead of each request.
FREE_BYTES = 64 * 1024
_TAKEN = "room_taken"


class _Waiter(NamedTuple):
    caller: str
    size: int
    granted: "asyncio.Future[None]"


class Room:
    """Room for bodies, handed out in the order of the requests, except that a caller has a share of it at most.

    It serves any event loop.
    """

    def __init__(self, most: int, share: int) -> None:
        self.most, self.share = most, share
        # The bytes that are taken, by caller.
        self.taken: dict[str, int] = {}
        self._waiting: list[_Waiter] = []
        self._lock = threading.Lock()

    async def take(self, caller: str, size: int) -> None:
        """Wait until there is room for this many bytes, and take it."""
        waiter = _Waiter(caller, size, asyncio.get_running_loop().create_future())
        with self._lock:
            self._waiting.append(waiter)
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            with self._lock:
                waits = any(each is waiter for each in self._waiting)
                self._waiting = [each for each in self._waiting if each is not waiter]
            # A large request that gives up may have kept smaller ones behind it waiting.
            self.give_back(caller, 0 if waits else size)
            raise

    def try_to_take(self, caller: str, size: int) -> bool:
        """Take room for this many bytes, if there is room now."""
        with self._lock:
            fits = self._fits_share(caller, size) and self._fits(size)
            if fits:
                self._add(caller, size)
            return fits

    def give_back(self, caller: str, size: int) -> None:
        """Give back room, and hand it to those who wait."""
        with self._lock:
            left = self.taken.pop(caller, 0) - size
            if left > 0:
                self.taken[caller] = left
        self._grant()

    def waiting(self) -> int:
        """The number of requests that wait for room."""
        return len(self._waiting)

    def _fits_share(self, caller: str, size: int) -> bool:
        """Whether the caller's share allows this; a caller that has nothing may take more than the share."""
        of_caller = self.taken.get(caller, 0)
        return not of_caller or of_caller + size <= self.share

    def _fits(self, size: int) -> bool:
        total = sum(self.taken.values())
        return not total or total + size <= self.most

    def _add(self, caller: str, size: int) -> None:
        self.taken[caller] = self.taken.get(caller, 0) + size

    def _grant(self) -> None:
        granted = []
        with self._lock:
            waiting, self._waiting = self._waiting, []
            is_full = False
            for waiter in waiting:
                fits_share = self._fits_share(waiter.caller, waiter.size)
                # Later requests do not overtake, because small ones might then keep a large one waiting for ever.
                is_full = is_full or (fits_share and not self._fits(waiter.size))
                if is_full or not fits_share:
                    self._waiting.append(waiter)
                else:
                    self._add(waiter.caller, waiter.size)
                    granted.append(waiter)
        for waiter in granted:
            try:
                wake(waiter.granted)
            except RuntimeError:  # The event loop of that request has closed, and with it the request.
                self.give_back(waiter.caller, waiter.size)


# Strangers, whose requests need no such bodies, take no room from those with a token, nor imports from other requests.
of_strangers = Room(16 * MEBIBYTE, 8 * MEBIBYTE)
of_accounts = Room(32 * MEBIBYTE, 8 * MEBIBYTE)
of_imports = Room(64 * MEBIBYTE, 32 * MEBIBYTE)
# The largest answer, 500 tasks with the longest descriptions, has 125 MiB.
of_answers = Room(512 * MEBIBYTE, 128 * MEBIBYTE)


async def take_room(scope: Scope, size: int, limit: int, claims: Mapping[str, Any] | None) -> None:
    """Wait for the room that the body of a request needs, and keep it until `leave`; `limit` is that of the endpoint."""
    room = of_strangers if claims is None else of_accounts if limit <= MEBIBYTE else of_imports
    caller = caller_of(claims)
    await room.take(caller, size)
    scope[_TAKEN] = room, caller, size


def caller_of(claims: Mapping[str, Any] | None) -> str:
    """The name under which a caller's room is counted: by the token, or by the address if the request needs none."""
    if claims is None:
        return address_group(origin_var.get().address)
    return str(claims.get("program") or claims["sub"])


def has_room(scope: Scope) -> bool:
    """Whether the request has taken room already."""
    return _TAKEN in scope


def leave(scope: Scope) -> None:
    """Give back the room of a request that is answered, if it has any."""
    if _TAKEN in scope:
        room, caller, size = scope.pop(_TAKEN)
        room.give_back(caller, size)
