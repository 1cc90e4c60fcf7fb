"""Clients that other programs generate from the OpenAPI document type-check, and work against a real server.

The usual run leaves them out, because they install four generators from PyPI and npm:

    python -m pytest -m clients -n 0 tests/clients
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from main import app
from tests.support.server import ServerProcess

pytestmark = pytest.mark.clients
HERE = Path(__file__).parent
DRIVERS = HERE / "drivers"
STRICT = ("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--lib", "es2022,dom,dom.iterable")
MODULES = ("--module", "esnext", "--moduleResolution", "bundler")


def run(folder: Path, *command: str | Path) -> None:
    """Run a program; a failure shows its output."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}"


def installed(folder: Path, what: str, *command: str | Path) -> None:
    """Install, or skip the test with the reason."""
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if ended.returncode:
        pytest.skip(f"{what} can't be installed here: {ended.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield f"http://127.0.0.1:{process.port}"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the generators."""
    folder = tmp_path_factory.mktemp("python")
    run(folder, sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt")
    installed(folder, "The generators for Python", *pip)
    return python


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generators for TypeScript."""
    folder = tmp_path_factory.mktemp("node")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    shutil.copy(HERE / "package.json", folder)
    installed(
        folder,
        "The generators for TypeScript",
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    )
    return folder


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """The document in a file."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(app.openapi()))
    return path


def test_openapi_python_client(python: Path, document: Path, server: str) -> None:
    folder = document.parent
    generate = ("generate", "--path", document, "--output-path", folder / "task_client", "--meta", "none")
    run(folder, python.with_name("openapi-python-client"), *generate)
    shutil.copy(DRIVERS / "python_client.py.txt", folder / "driver.py")
    # The generator's own part, which is the same for every document.
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-task_client.client]\nignore_errors = true\n")
    run(folder, python, "-m", "mypy", "driver.py")
    run(folder, python, "driver.py", server, "python")


def test_datamodel_code_generator(python: Path, document: Path, server: str) -> None:
    folder = document.parent
    generate = ("--input", document, "--input-file-type", "openapi", "--output", "task_models.py")
    kind = ("--output-model-type", "pydantic_v2.BaseModel", "--target-python-version", "3.11")
    enums = ("--use-annotated", "--set-default-enum-member", "--capitalise-enum-members")
    (folder / "mypy.ini").write_text("[mypy]\nplugins = pydantic.mypy\n")
    run(folder, python.with_name("datamodel-codegen"), *generate, *kind, *enums)
    shutil.copy(DRIVERS / "models.py.txt", folder / "driver.py")
    run(folder, python, "-m", "mypy", "driver.py")
    run(folder, python, "driver.py", server, "models")


def checked_and_run(node: Path, driver: str, server: str) -> None:
    """Type-check a driver with the generated code, and run it."""
    shutil.copy(DRIVERS / driver, node)
    # Node has this name and browsers do not.
    (node / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
    run(node, "npx", "tsc", *STRICT, *MODULES, driver, "node.d.ts")
    run(node, "npx", "tsx", driver, server, driver.removesuffix(".ts"))


def test_openapi_typescript(node: Path, document: Path, server: str) -> None:
    run(node, "npx", "openapi-typescript", document, "-o", "schema.ts", "--default-non-nullable=false")
    checked_and_run(node, "fetch.ts", server)


def test_hey_api(node: Path, document: Path, server: str) -> None:
    run(node, "npx", "openapi-ts", "-i", document, "-o", "hey", "-c", "@hey-api/client-fetch")
    checked_and_run(node, "hey.ts", server)
