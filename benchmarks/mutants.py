"""Change a file in small ways, one at a time, and show which of these mutants no test notices.

    pip install mutmut==3.8.1
    python -m benchmarks.mutants services/paging.py tests/routers/test_users.py tests/routers/test_projects.py

The changes are mutmut's. Its own runner leaves out code outside functions, which has the limits and the SQL here. A
runner that starts Python for each mutant takes hours. This runner forks when the tests are collected: each child puts
one mutant in place of the code, and runs the tests that reach its line until one fails.

Values that tests computed from the code when they were imported stay as they are.
"""

import argparse
import contextlib
import functools
import itertools
import os
import pickle
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import coverage
import libcst as cst
import pytest
from _pytest.runner import runtestprotocol
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

from tests.support.postgres import postgres_server

# A mutant that runs for longer counts as noticed, because its requests hang.
SECONDS = 300
WARM_UP = "tests/routers/test_tasks.py"
# Types, messages and docstrings are for readers, and no test can notice them.
_FOR_READERS = (
    matchers.Annotation()
    | matchers.Decorator()
    | matchers.Expr(matchers.SimpleString())
    | matchers.Subscript(matchers.Name("Literal"))
    | matchers.Call(matchers.Name("TypeVar"))
    | matchers.SimpleString(matchers.MatchIfTrue(lambda text: " " in text))
)


class Mutant(NamedTuple):
    """A change of a file; `lines` are those of its statement, and empty outside functions."""

    name: str
    node: cst.CSTNode
    change: cst.CSTNode
    lines: range


class Changes(cst.CSTVisitor):
    """Finds the changes of a file."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: Path) -> None:
        super().__init__()
        wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
        self.module, self.mutants = wrapper.module, list[Mutant]()
        self._around: list[cst.CSTNode] = []
        wrapper.visit(self)

    def on_visit(self, node: cst.CSTNode) -> bool:
        if matchers.matches(node, _FOR_READERS):
            return False
        self._around.append(node)
        for kind, operator in mutation_operators:
            # A name that becomes None fails at its first use, and one change of a text is enough.
            if isinstance(node, kind) and kind not in (cst.Assign, cst.AnnAssign):
                self._add(node, itertools.islice(operator(node), 1 if kind is cst.BaseString else None))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._around[-1] is original_node:
            self._around.pop()

    def _add(self, node: cst.CSTNode, changes: Iterable[cst.CSTNode]) -> None:
        kinds = (cst.SimpleStatementLine, cst.Parameters)
        whole = next((each for each in self._around if isinstance(each, kinds)), node)
        if isinstance(whole, cst.Parameters):
            # The line of a default does not run at a call.
            whole = self._around[self._around.index(whole) - 1]
        inside = any(isinstance(each, cst.FunctionDef) for each in self._around)
        place, around = (self.get_metadata(PositionProvider, each) for each in (node, whole))
        lines = range(around.start.line, around.end.line + 1) if inside else range(0)
        for change in changes:
            old, new = (" ".join(self.module.code_for_node(each).split()) for each in (node, change))
            self.mutants.append(Mutant(f"{place.start.line}: {old} -> {new}", node, change, lines))


def put_in_place(module: ModuleType, source: str, *, again: bool = True) -> None:
    """Give a loaded module's functions the code of another source, and the modules that use it the new values.

    Services that import one of its functions may have called it as they were imported, so they are put in place
    again.
    """
    fresh: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(source, str(module.__file__), "exec"), fresh)  # noqa: S102  # the mutant
    services = [each for name, each in sys.modules.items() if name.startswith("services.")]
    users: dict[str, ModuleType] = {}
    for name, new in fresh.items():
        old = vars(module).get(name)
        imported = isinstance(new, type | FunctionType) and new.__module__ != module.__name__
        if name.startswith("__") or imported or new is old:
            continue
        if isinstance(old, type):
            _renew(old, new)
        elif _recoded(old, new):
            users |= {each.__name__: each for each in services if vars(each).get(name) is old}
        else:
            for user in list(sys.modules.values()):
                if getattr(user, "__dict__", {}).get(name) is old:
                    setattr(user, name, new)
    for user in users.values() if again else ():
        if user is not module:
            put_in_place(user, Path(str(user.__file__)).read_text(), again=False)


def _renew(old: type, new: type) -> None:
    for part, value in vars(new).items():
        if not _recoded(vars(old).get(part), value) and isinstance(value, str | int | tuple):
            setattr(old, part, value)


def _recoded(old: Any, new: Any) -> bool:
    if hasattr(old, "cache_clear"):
        old.cache_clear()
    old, new = (getattr(each, "fget", getattr(each, "__wrapped__", each)) for each in (old, new))
    if not isinstance(old, FunctionType) or not isinstance(new, FunctionType):
        return False
    for part in ("__code__", "__defaults__", "__kwdefaults__"):
        setattr(old, part, getattr(new, part))
    return True


def in_child(work: Callable[[], Any]) -> Any:
    """The result of the work in a process of its own, or the reason why there is no result."""
    with tempfile.TemporaryFile() as answer:
        child = os.fork()
        if not child:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.alarm(SECONDS)
            try:
                answer.write(pickle.dumps(work()))
            except Exception as error:  # noqa: BLE001  # a mutant may raise anything
                answer.write(pickle.dumps(f"does not start: {error!r}"))
            answer.flush()
            os._exit(0)
        os.waitpid(child, 0)
        answer.seek(0)
        written = answer.read()
        return pickle.loads(written) if written else "took too long, or ended the process"  # noqa: S301  # ours


def run(tests: Iterable[pytest.Item], before: Callable[[str], None] = lambda _: None) -> str | None:
    """Run tests until one fails, and return its failure."""
    for item, following in itertools.pairwise([*tests, None]):
        assert item is not None
        before(item.nodeid)
        for report in runtestprotocol(item, nextitem=following, log=False):
            if report.failed:
                crash = getattr(report.longrepr, "reprcrash", None)
                return f"{item.nodeid}: {' '.join(crash.message.split()) if crash else report.longrepr}"
    return None


def attempt(module: ModuleType, source: str, tests: Iterable[pytest.Item]) -> str | None:
    """Run tests with another source put in place, and return the first failure."""
    put_in_place(module, source)
    return run(tests)


def reached_lines(path: Path, module: ModuleType, tests: list[pytest.Item]) -> dict[str, set[int]]:
    """The lines of the file that each test reaches. All tests must pass with the file put in place as it is."""

    def trace() -> Any:
        put_in_place(module, path.read_text())
        cover = coverage.Coverage(data_file=None, include=[str(path.resolve())], config_file=False)
        cover.start()
        failed = run(tests, before=cover.switch_context)
        cover.stop()
        return failed, cover.get_data().contexts_by_lineno(str(path.resolve()))

    traced = in_child(trace)
    # A text says why there is no result, such as that no test is selected.
    failed, lines = (traced, {}) if isinstance(traced, str) else traced
    # Files that one child leaves behind must fail no test of the next one: every mutant would count as noticed.
    failed = failed or in_child(functools.partial(attempt, module, path.read_text(), tests))
    if failed:
        pytest.exit(f"Fails without any change: {failed}", returncode=1)
    return {item.nodeid: {line for line, names in lines.items() if item.nodeid in names} for item in tests}


class Trials:
    """A plugin of pytest that tries the mutants where pytest would run the tests."""

    def __init__(self, server: Any, asked: argparse.Namespace) -> None:
        self.server, self.path, self.changes = server, asked.file, Changes(asked.file)
        every = range(len(self.changes.mutants))
        chosen = random.Random(1).sample(every, min(asked.most, len(every)))  # noqa: S311  # the same each time
        self.mutants = [self.changes.mutants[place] for place in sorted(chosen)]
        if asked.again:
            lines = asked.again.read_text().splitlines()
            survived = {line.partition(" | ")[2] for line in lines if line.startswith("SURVIVED")}
            self.mutants = [mutant for mutant in self.mutants if mutant.name in survived]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        conftest: Any = sys.modules["tests.conftest"]
        conftest.postgres_server = lambda: contextlib.nullcontext(self.server)
        # The objects that the first requests make and the migrated databases are made once, not by every child.
        warm_up = [item for item in session.items if item.nodeid.startswith(WARM_UP)]
        assert run(warm_up) is None
        tests = [item for item in session.items if item not in warm_up]
        module = sys.modules[".".join(self.path.with_suffix("").parts)]
        reached, survivors = reached_lines(self.path, module, tests), 0
        for mutant in self.mutants:
            # A line that no test reaches may have run as another file was imported.
            reach = [item for item in tests if reached[item.nodeid] & {*mutant.lines}] or tests
            those = sorted(reach, key=lambda item: ("postgres" in item.nodeid, -len(reached[item.nodeid])))
            changed = self.changes.module.deep_replace(mutant.node, mutant.change)
            noticed = in_child(functools.partial(attempt, module, changed.code, those))
            survivors += noticed is None
            print(f"{(noticed or f'SURVIVED {len(those)} tests')[:160]} | {mutant.name}", flush=True)
        print(
            f"{self.path}: tried {len(self.mutants)} of {len(self.changes.mutants)}, {survivors} not noticed"
        )
        return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--most", type=int, default=10_000, help="try only this number, chosen at random")
    parser.add_argument("--again", type=Path, help="try only what survived in the run with this output")
    asked = parser.parse_args()
    with postgres_server() as server, tempfile.TemporaryDirectory() as folder:
        kept = [f"--basetemp={folder}/tests", "-o", "tmp_path_retention_policy=failed"]
        options = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", *kept, WARM_UP, *asked.tests]
        return int(pytest.main(options, plugins=[Trials(server, asked)]))


if __name__ == "__main__":
    sys.exit(main())
