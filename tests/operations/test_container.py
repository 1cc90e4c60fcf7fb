"""The image and the compose file, as far as they can be tried without a container engine."""

import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.metadata import distribution
from json import loads
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from packaging.requirements import Requirement

from benchmarks.servers import free_port
from config import Settings, database_url
from tests.support.waiting import SECONDS, wait_until

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
# The entrypoint and the server read these, not the program.
FOR_THE_CONTAINER = {"PORT", "MIGRATE_ON_START", "WEB_CONCURRENCY"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def dockerfile() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with its arguments."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def image_environment() -> dict[str, str]:
    """The variables that ENV sets in the last stage."""
    last = max(number for number, (name, _) in enumerate(dockerfile()) if name == "FROM")
    words = [shlex.split(rest) for name, rest in dockerfile()[last:] if name == "ENV"]
    return dict(word.split("=", 1) for line in words for word in line)


def tracked_files() -> list[Path]:
    """The files of the project, by git's word."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("the files that belong to the project are known from git alone")
    return [path for path in map(Path, listed.stdout.splitlines()) if (ROOT / path).is_file()]


def build_context() -> list[Path]:
    """The files that .dockerignore lets into the image: the last pattern that fits one decides."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]

    def wanted(path: Path) -> bool:
        verdict = True
        for pattern in patterns:
            if _fits(pattern.removeprefix("!"), path):
                verdict = pattern.startswith("!")
        return verdict

    return [path for path in tracked_files() if wanted(path)]


def _fits(pattern: str, path: Path) -> bool:
    """Whether the pattern names the path or a folder that it is in."""
    for candidate in (path, *path.parents[:-1]):
        if pattern.startswith("**/"):
            if fnmatchcase(candidate.name, pattern.removeprefix("**/")):
                return True
        elif len(candidate.parts) == pattern.count("/") + 1 and all(
            map(fnmatchcase, candidate.parts, pattern.split("/"))
        ):
            return True
    return False


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """A folder with the content of the image's /app."""
    app = tmp_path / "app"
    for path in build_context():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, app / path)
    return app


def environment(data: Path, **more: str) -> dict[str, str]:
    """The image's environment, with another folder in the place of /data, and this Python first."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    image = {name: value.replace("/data", str(data)) for name, value in image_environment().items()}
    return {**image, "PATH": path, **more}


@pytest.fixture
def container(app_folder: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    """The process that `docker run` without arguments starts, and its environment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    given = environment(tmp_path / "data", PORT=port, BCRYPT_ROUNDS="4")
    command = [loads(rest) for name, rest in dockerfile() if name == "CMD"][-1]
    process = subprocess.Popen([app_folder / "deploy/entrypoint.sh", *command], cwd=app_folder, env=given)
    yield process, given
    process.kill()
    process.wait()


def healthy(app_folder: Path, given: dict[str, str]) -> bool:
    check = [sys.executable, "-I", str(app_folder / "deploy/healthcheck.py")]
    return subprocess.run(check, env=given, capture_output=True, check=False).returncode == 0


def wait_until_healthy(process: "subprocess.Popen[bytes]", app_folder: Path, given: dict[str, str]) -> None:
    def is_healthy() -> bool:
        assert process.poll() is None
        return healthy(app_folder, given)

    wait_until(is_healthy)


def test_bare_container_serves_keeps_all_in_its_data_folder_and_ends_by_sigterm(
    container: tuple[subprocess.Popen[bytes], dict[str, str]], app_folder: Path, tmp_path: Path
) -> None:
    process, given = container
    before = {path.relative_to(app_folder) for path in app_folder.rglob("*")}
    wait_until_healthy(process, app_folder, given)

    url = f"http://127.0.0.1:{given['PORT']}"
    person = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
    httpx.post(f"{url}/auth/register", json=person).raise_for_status()
    token = httpx.post(f"{url}/auth/login", data=person).raise_for_status().json()["access_token"]
    mine = {"Authorization": f"Bearer {token}"}
    httpx.post(f"{url}/tasks", json={"title": "Ship it"}, headers=mine).raise_for_status()
    for path in ("/docs", "/redoc", "/openapi.json"):
        httpx.get(f"{url}{path}").raise_for_status()

    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) in {0, -signal.SIGTERM}
    assert not healthy(app_folder, given)
    kept = {path.name for path in (tmp_path / "data").iterdir()}
    assert {"tasks.db", "secret_key", "app.log", "cache"} <= kept
    assert {path.relative_to(app_folder) for path in app_folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIGRATE_ON_START", "perhaps"),
        ("WEB_CONCURRENCY", "two"),
        ("WEB_CONCURRENCY", "0"),
        ("PORT", "http"),
        ("PORT", "70000"),
        ("CACHE_DIR", "/dev/null/cache"),
    ],
)
def test_entrypoint_refuses_what_the_server_reads_itself_in_one_line(
    app_folder: Path, tmp_path: Path, name: str, value: str
) -> None:
    given = environment(tmp_path, **{name: value})
    done = subprocess.run(
        [app_folder / "deploy/entrypoint.sh", "uvicorn"], cwd=app_folder, env=given,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if not line.startswith("mkdir:")]
    assert len(said) == 1
    assert re.fullmatch(rf"The program can't start\. {name}: .*{value}.*", said[0])


@pytest.mark.parametrize("processes", ["1", "2"])
def test_container_listens_on_both_versions_of_ip_with_every_line_in_one_format(
    app_folder: Path, tmp_path: Path, processes: str
) -> None:
    if not Path("/proc/net/if_inet6").exists():
        pytest.skip("there is no IPv6 on this machine")
    given = environment(
        tmp_path / "data", PORT=str(free_port()), WEB_CONCURRENCY=processes, LOG_FORMAT="json"
    )
    command = [loads(rest) for name, rest in dockerfile() if name == "CMD"][-1]
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [app_folder / "deploy/entrypoint.sh", *command], cwd=app_folder, env=given,
            stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until_healthy(process, app_folder, given)
        for host in ("127.0.0.1", "[::1]"):
            assert httpx.get(f"http://{host}:{given['PORT']}/nowhere").status_code == 404
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
    lines = (tmp_path / "output").read_text().splitlines()
    assert lines.pop(0) == "Tables created successfully!"
    entries = [loads(line) for line in lines]
    addresses = {entry["address"] for entry in entries if entry["logger"] == "task_platform.access"}
    assert addresses == {"127.0.0.1", "::1"}
    assert "uvicorn.error" in {entry["logger"] for entry in entries}


def test_image_holds_all_of_the_program(app_folder: Path) -> None:
    left_out = {path for path in tracked_files() if len(path.parts) > 1} - set(build_context())
    assert {path.parts[0] for path in left_out} <= {".ci", "benchmarks", "deploy", "docs", "tests"}
    subprocess.run([sys.executable, "manage.py", "--help"], cwd=app_folder, check=True, capture_output=True)


def test_a_clone_on_windows_keeps_the_line_ends_that_shells_and_programs_read(tmp_path: Path) -> None:
    tracked_files()
    command = ["git", "-c", "core.autocrlf=true", "checkout-index", "--all", f"--prefix={tmp_path}/"]
    subprocess.run(command, cwd=ROOT, check=True)
    checked_out = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".gz"]
    assert len(checked_out) > 100
    assert [path.name for path in checked_out if b"\r\n" in path.read_bytes()] == []


def test_image_holds_nothing_but_what_runs() -> None:
    top = {path.parts[0] for path in build_context()}
    assert {"main.py", "create_tables.py", "migrations", "static"} <= top
    assert not [name for name in top if name.startswith(".")]
    assert top.isdisjoint({"tests", "benchmarks", "README.md", "requirements-dev.txt", "docker-compose.yml"})


def test_every_base_image_has_an_explicit_tag(compose: dict[str, Any]) -> None:
    stages: set[str] = set()
    images = []
    for words in [rest.split() for name, rest in dockerfile() if name == "FROM"]:
        if words[0] not in stages:
            images.append(words[0])
        stages.update(words[2:])
    named = [service["image"] for service in compose["services"].values() if "image" in service]
    images += [image for image in named if not image.startswith("${IMAGE:-task-platform:")]
    assert len(images) >= 6
    for image in images:
        assert re.fullmatch(r"[a-z]+:\d+(\.\d+)*-[a-z-]+", image), image


def test_image_runs_as_a_number_that_is_not_root() -> None:
    # The user is a number, because Kubernetes cannot see from a name that it is not root.
    assert [rest for name, rest in dockerfile() if name == "USER"][-1] == "10001:0"


def test_only_the_proxy_and_the_mail_page_publish_a_port(compose: dict[str, Any]) -> None:
    published = {
        name: service["ports"] for name, service in compose["services"].items() if "ports" in service
    }
    assert published.keys() == {"nginx", "mail"}
    assert all(port.startswith("127.0.0.1:") for port in published["mail"])
    assert compose["networks"]["back"]["internal"]
    assert compose["services"]["database"]["networks"] == ["back"]
    assert compose["services"]["redis"]["networks"] == ["back"]


def test_api_starts_after_the_migration_and_the_migration_after_the_database(compose: dict[str, Any]) -> None:
    def waits(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in compose["services"][name]["depends_on"].items()}

    # Every new version replaces the API, and Compose restarts the services that depend on a replaced one.
    assert "depends_on" not in compose["services"]["nginx"]
    assert waits("api")["migrate"] == "service_healthy"
    assert waits("migrate")["database"] == "service_healthy"
    assert waits("database")["secrets"] == "service_healthy"


def test_image_and_compose_set_only_what_is_a_setting(compose: dict[str, Any]) -> None:
    names = {name.upper() for name in Settings.model_fields}
    known = names | {f"{name}_FILE" for name in names}
    of_the_image = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "SQLITE_TMPDIR"}
    assert image_environment().keys() <= known | FOR_THE_CONTAINER | of_the_image
    assert compose["services"]["api"]["environment"].keys() <= known | FOR_THE_CONTAINER
    assert compose["services"]["api"]["environment"]["ENVIRONMENT"] == "production"
    assert "ENVIRONMENT" not in image_environment()


def make_secrets(folder: Path, **environment: str) -> dict[str, str]:
    command = [sys.executable, str(ROOT / "deploy/make_secrets.py"), str(folder)]
    subprocess.run(command, env=environment, check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_made_once_and_are_fit_for_production(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    assert made.keys() == {"secret_key", "postgres_password", "database_url"}
    Settings(environment="production", secret_key=made["secret_key"], _env_file=None)  # type: ignore[arg-type]
    assert database_url(made["database_url"]).password == made["postgres_password"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"secret_key": 0o400, "postgres_password": 0o444, "database_url": 0o400}
    assert make_secrets(tmp_path) == made


def test_a_key_of_ones_own_takes_the_place_of_the_made_one(tmp_path: Path) -> None:
    made = make_secrets(tmp_path)
    assert make_secrets(tmp_path, SECRET_KEY="mine") == {**made, "secret_key": "mine"}
    assert make_secrets(tmp_path)["secret_key"] == "mine"


def pinned(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {normal(each.name): str(each.specifier) for each in found}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_of_the_image_is_pinned_exactly() -> None:
    pins = pinned("requirements.txt") | pinned("constraints.txt")
    assert [name for name, version in pins.items() if not version.startswith("==")] == []
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    waiting = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in {"", *wanted.extras}:
            if (wanted.name, extra) in seen:
                continue
            seen.add((wanted.name, extra))
            brought = [Requirement(line) for line in distribution(wanted.name).requires or []]
            waiting += [
                each for each in brought if each.marker is None or each.marker.evaluate({"extra": extra})
            ]
    assert {normal(name) for name, _ in seen} == pins.keys()


def test_mail_catcher_is_the_one_that_the_tests_use() -> None:
    (line,) = [rest for name, rest in dockerfile() if name == "RUN" and "aiosmtpd" in rest]
    assert line.endswith(f"aiosmtpd{pinned('requirements-dev.txt')['aiosmtpd']}")
