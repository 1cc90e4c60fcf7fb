"""The nginx of the deployment, as it is configured: a real one, on ports of its own."""

import shutil
import socket
import subprocess
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
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until

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
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ {paths}\n{site}\n}}"
    )
    process = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"])
    try:
        wait_for_nginx(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_for_nginx(process: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until it accepts connections."""

    def listens() -> bool:
        assert process.poll() is None, "nginx did not start: its output has the reason"
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)


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
    with nginx_before("http://127.0.0.1:9", tmp_path) as nginx:
        assert {httpx.get(nginx + address).status_code for address in addresses} == {503}
        assert httpx.get(f"{nginx}/tasks").status_code == 503
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert '"GET /tasks?status=pending&filter=signature HTTP/1.1" 200' in logs["access.log"]
    assert logs["access.log"].count('"GET /calendar/... HTTP/1.1" 200') == 3
    assert "/tasks" in logs["error.log"]
    for name, log in logs.items():
        assert secret not in log, name
