"""Programs that obey rights on files, even if root runs the tests."""

import os
import shutil

import pytest


def confined_command(command: list[str]) -> list[str]:
    """The command without root's power to read and write files whose rights forbid it."""
    if os.geteuid() != 0:
        return command
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed, and root may write everything")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *command]
