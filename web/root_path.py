"""Serving below a path of another address, as behind a proxy that has `/tasks-api/` lead here."""

from starlette.types import Message, Scope, Send

# The first parts of this program's own paths: a root path that begins with one of them can't be told from it.
OWN_PATHS = frozenset(
    {
        "account",
        "analytics",
        "app",
        "audit",
        "auth",
        "calendar",
        "calendars",
        "dashboard",
        "docs",
        "events",
        "guide",
        "health",
        "metrics",
        "notifications",
        "projects",
        "ready",
        "redoc",
        "tasks",
        "users",
        "views",
        "webhooks",
    }
)


class RootPath:
    """The path in front of all paths, whether the proxy takes it off or hands it on.

    If it resembles a path of the program's own, the proxy must take it off: `/tasks/5` below `/tasks` is task 5.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._is_taken_off = root.split("/")[1] in OWN_PATHS

    def enter(self, scope: Scope, send: Send) -> Send:
        """Have the path begin with the root path, as ASGI wants it, and `Location`, which is written without it."""
        # The server may have been told of a root path by an option of its own.
        if not scope.get("root_path"):
            scope["root_path"] = self._root
            if not self._has_root(scope["path"]):
                scope["path"] = self._root + scope["path"]

        async def send_with_root(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (
                        name,
                        self._root.encode() + value
                        if name == b"location" and self._is_bare(value)
                        else value,
                    )
                    for name, value in message["headers"]
                ]
            await send(message)

        return send_with_root

    def _is_bare(self, location: bytes) -> bool:
        return location.startswith(b"/") and not self._has_root(location.decode("latin-1"))

    def _has_root(self, path: str) -> bool:
        return not self._is_taken_off and (path == self._root or path.startswith(f"{self._root}/"))
