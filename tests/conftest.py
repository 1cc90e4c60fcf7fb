"""The settings of the tests. Their fixtures are in `tests/support/fixtures.py`."""

import contextlib
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

_HOME = tempfile.mkdtemp(prefix="task-platform-tests-")
# The settings are read when the program is imported, so they are set before.
os.environ.update(
    {
        "DATABASE_URL": f"sqlite:///{_HOME}/tasks.db",
        "DATA_DIR": _HOME,
        "CACHE_DIR": _HOME,
        "LOG_FILE": f"{_HOME}/app.log",
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough",
        "BCRYPT_ROUNDS": "4",
        "DATABASE_POOL_SIZE": "4",
        # A busy machine may exceed the usual limit. A write that goes on after the answer of a timeout would reach
        # the next test.
        "REQUEST_TIMEOUT_SECONDS": "3600",
        # These tests do not show which writes survive a power cut.
        "SQLITE_SYNCHRONOUS": "OFF",
    }
)
# Tests talk to servers of their own only. The libraries would ask these proxies for them.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
# Each worker would compile the tests and rewrite their assertions again, a twentieth of the time of a run, in a shell
# with PYTHONDONTWRITEBYTECODE.
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, and with them the program, unless this process only hands out tests to others."""
    if "not thorough" not in config.getoption("markexpr"):
        # Its import takes a second in each process, and only the thorough fuzzing needs it.
        config.pluginmanager.import_plugin("schemathesis.pytest.plugin")
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.getoption("collectonly") or config.getoption("dist", "no") == "no":
        # Nothing of what is imported becomes garbage; `fixtures.py` switches this on again.
        gc.disable()
        # The program reads no `.env` that a developer has in the checkout.
        with contextlib.chdir(_HOME):
            config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the thorough files where they would be deselected, unless they are named.

    Importing them and making their tests takes a tenth of a worker's start, and making those of the fuzzing takes
    several seconds.
    """
    if "not thorough" not in config.getoption("markexpr") or collection_path.suffix != ".py":
        return None
    if any(collection_path.name in argument for argument in config.args):
        return None
    is_thorough = "\npytestmark = pytest.mark.thorough\n" in collection_path.read_text(encoding="utf-8")
    return True if is_thorough else None


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(_HOME, ignore_errors=True)
