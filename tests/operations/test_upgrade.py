"""The script that upgrades a compose deployment, with a program in the place of `docker` that notes its calls."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in "compose ps -q api") printf "$RUNNING" ;; esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like the program's, with the script."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/upgrade.sh", tmp_path / "deploy")
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    return tmp_path


def upgrade(folder: Path, running: str) -> tuple[int, str, list[str]]:
    """The exit status, the complaint and the calls of an upgrade while these containers run, a line each."""
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "RUNNING": running,
    }
    done = subprocess.run(
        [folder / "deploy/upgrade.sh"], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr, (folder / "calls").read_text().splitlines()


def test_an_upgrade_of_nothing_says_so_and_does_nothing(folder: Path) -> None:
    status, complaint, calls = upgrade(folder, "")
    assert (status, calls) == (1, ["compose ps -q api"])
    assert complaint.startswith("No API runs here")
    assert "docker compose up -d --build" in complaint


def test_an_upgrade_starts_as_many_replicas_before_it_stops_the_old_ones(folder: Path) -> None:
    status, complaint, calls = upgrade(folder, r"one\ntwo\n")
    assert (status, complaint) == (0, "")
    assert calls == [
        "compose ps -q api",
        "compose build",
        "compose up -d --wait migrate",
        "compose up -d --no-recreate --wait --scale api=4",
        "stop one two",
        "rm one two",
        "compose up -d --wait --scale api=2",
    ]
