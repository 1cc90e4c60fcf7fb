"""An index of routes, which finds a route by path and method at once, however many routes there are.

Starlette tries one route after the other, and with included routers twice, which took a fifth of the time of
a short request. Starlette also answers a wrong method with the methods of one route only.
"""

import re
from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from web.strict_input import StrictRoute

# The routes of one path, by method.
Methods = dict[str, StrictRoute]


class RouteIndex:
    """An ASGI application that calls the route of a request; `otherwise` serves all other paths.

    A literal path wins over a path with parameters, for every method: `DELETE /tasks/search` is 405.
    """

    def __init__(self, routes: Iterable[StrictRoute], otherwise: ASGIApp) -> None:
        self._otherwise = otherwise
        self._literal: dict[str, Methods] = {}
        patterns: dict[str, tuple[re.Pattern[str], Methods]] = {}
        for route in routes:
            if route.param_convertors:
                _, methods = patterns.setdefault(route.path_format, (route.path_regex, {}))
            else:
                methods = self._literal.setdefault(route.path, {})
            for method in route.methods or ():
                methods.setdefault(method, route)
        # The number of parts of a path finds the few patterns that may match.
        self._patterns: dict[int, list[tuple[re.Pattern[str], Methods]]] = {}
        for path, pattern in patterns.items():
            self._patterns.setdefault(path.count("/"), []).append(pattern)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._otherwise(scope, receive, send)
            return
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :] or "/"
        methods, values = self._find(path)
        if methods is None:
            await self._otherwise(scope, receive, send)
            return
        route = methods.get(scope["method"])
        if route is None:
            allowed = {*methods, "HEAD"} if "GET" in methods else methods
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        scope["route"] = route
        scope["endpoint"] = route.endpoint
        scope["path_params"] = values
        await route.app(scope, receive, send)

    def _find(self, path: str) -> tuple[Methods | None, dict[str, str]]:
        methods = self._literal.get(path)
        if methods is not None:
            return methods, {}
        for expression, found in self._patterns.get(path.count("/"), ()):
            if match := expression.match(path):
                return found, match.groupdict()
        return None, {}
