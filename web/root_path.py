"""A root path in front of all paths, for example if a proxy passes `/tasks-api/` to this program."""

from starlette.requests import Request
from starlette.types import Message, Scope, Send

# First parts of this program's own paths. A root path that begins with one of them is ambiguous.
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


def root_of(request: Request) -> str:
    """The path in front of all paths without a slash at its end; empty if there is none."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


class RootPath:
    """The path in front of all paths, whether the proxy removes it or passes it on.

    A root path that resembles a path of this program must be removed by the proxy: `/tasks/5` below `/tasks`
    is task 5.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._is_taken_off = root.split("/")[1] in OWN_PATHS

    def enter(self, scope: Scope, send: Send) -> Send:
        """Make the path begin with the root path, as ASGI demands, and add the root path to `Location`."""
        # The server may have set a root path by an option of its own.
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
