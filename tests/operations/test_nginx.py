"""The nginx of the deployment with its own configuration: a real nginx on ports of the test's own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from benchmarks.servers import free_port
from tests.support.nginx import nginx
from tests.support.serving import served

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@contextmanager
def nginx_before(api: str, folder: Path) -> Iterator[str]:
    """The deployment's nginx in front of this API; yields its address."""
    port = free_port()
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    for ours, here in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("http://api:8000", api),
        ("/var/log/nginx", str(folder)),
    ):
        assert ours in site
        site = site.replace(ours, here)
    with nginx(folder, port, site) as url:
        yield url


async def say_the_query(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.url.path}?{request.url.query}")


def test_no_secret_of_an_address_is_in_the_logs(tmp_path: Path) -> None:
    secret = "S3cr3t"
    addresses = [
        f"/analytics/pictures/burnup?signature={secret}",
        f"/analytics/pictures/burnup?a=1&%73ignatur%65={secret}&z=2",
        f"/analytics/%70ictures/burnup?SIGNATURE={secret}",
        f"/calendar/{secret}.ics",
        f"/%63alendar/{secret}.ics?x=1",
        f"/calenda%72/{secret}.ics",
    ]
    app = Starlette(routes=[Route("/{path:path}", say_the_query)])
    with served(app) as api, nginx_before(api, tmp_path) as nginx:
        for address in addresses:
            answer = httpx.get(nginx + address)
            assert (answer.status_code, secret in answer.text) == (200, True)
        httpx.get(f"{nginx}/tasks?status=pending&filter=signature")
        for sent in ("status=pending&access_token", "Password", "a=1;api_key", "pwd"):
            httpx.get(f"{nginx}/tasks?{sent}={secret}&limit=1")
    with nginx_before("http://127.0.0.1:9", tmp_path) as nginx:
        assert {httpx.get(nginx + address).status_code for address in addresses} == {503}
        assert httpx.get(f"{nginx}/tasks").status_code == 503
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert '"GET /tasks?status=pending&filter=signature HTTP/1.1" 200' in logs["access.log"]
    assert logs["access.log"].count('"GET /tasks?... HTTP/1.1" 200') == 4
    assert logs["access.log"].count('"GET /calendar/... HTTP/1.1" 200') == 3
    assert "/tasks" in logs["error.log"]
    for name, log in logs.items():
        assert secret not in log, name
