"""Below a path of another address, behind a real nginx that takes the path off or hands it on."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from benchmarks.servers import free_port
from tests.support.nginx import nginx
from tests.support.server import ServerProcess

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
]

SITE = """
access_log off;
server {{
  listen 127.0.0.1:{port};
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Proto $scheme;
  location /tasks-api/ {{ proxy_pass {api}/; }}
  location /handed-on/ {{ proxy_pass {other}; }}
}}
"""


def check(client: httpx.Client, root: str) -> None:
    account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
    assert client.post(f"{root}/auth/register", json=account).status_code == 200
    token = client.post(f"{root}/auth/login", data=account).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    made = client.post(f"{root}/tasks/", json={"title": "One"})
    assert made.headers["location"] == f"{root}/tasks/{made.json()['id']}"
    assert client.get(made.headers["location"]).json() == made.json()
    client.post(f"{root}/tasks", json={"title": "Two"})
    following = client.get(f"{root}/tasks?limit=1").links["next"]["url"]
    assert following.startswith(f"{str(client.base_url).rstrip('/')}{root}/tasks?")
    assert [task["title"] for task in client.get(following).json()] == ["One"]
    client.patch(made.headers["location"], json={"status": "completed"})
    listed = client.get(f"{root}/analytics/throughput").json()["links"]["completed"]
    assert [task["title"] for task in client.get(listed).json()] == ["One"]
    shared = client.post(f"{root}/analytics/pictures", json={"chart": "throughput", "expires_in_days": 1})
    assert shared.status_code in (200, 201), shared.text
    picture = client.get(shared.json()["url"], headers={"Authorization": ""})
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert client.get(f"{root}/").json() == {"message": "Task API is running"}
    assert client.get(f"{root}/openapi.json").json()["servers"] == [{"url": root}]
    for page in ("/", "/docs", "/redoc", "/dashboard", "/app", "/reset-password", "/verify-email"):
        address = f"{str(client.base_url).rstrip('/')}{root}{page}"
        shown = client.get(address, headers={"Accept": "text/html"})
        assert shown.status_code == 200, page
        for asset in re.findall(r'(?:src|href)="([^"#]+)"', shown.text):
            found = httpx.URL(address).join(asset)
            assert found.path.startswith(f"{root}/"), (page, asset)
            assert client.get(found, headers={"Accept": "*/*"}).status_code == 200, (page, asset)


def test_pages_links_and_locations_lead_below_the_path(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "nginx")]
    for folder in folders:
        folder.mkdir()
    # nginx takes the path off for the first server, which knows it by PUBLIC_URL. It hands the path on to the
    # second, which knows it by ROOT_PATH.
    first = ServerProcess(folders[0], PUBLIC_URL="https://example.com/tasks-api", TRUSTED_PROXIES="127.0.0.1")
    second = ServerProcess(folders[1], ROOT_PATH="/handed-on/", TRUSTED_PROXIES="127.0.0.1")
    port = free_port()
    site = SITE.format(port=port, api=first.url, other=second.url)
    with first, second, nginx(folders[2], port, site) as front:
        for root in ("/tasks-api", "/handed-on"):
            with httpx.Client(base_url=front) as client:
                check(client, root)
        # A probe on the same machine comes without the proxy.
        assert httpx.get(f"{first.url}/health").status_code == 200
