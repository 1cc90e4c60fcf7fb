"""Create the secrets of a deployment once, in a folder: `python make_secrets.py FOLDER`.

Existing secrets stay as they are, so that this may run at every start. A `SECRET_KEY` in the environment
replaces a generated key.
"""

import os
import secrets
import sys
from pathlib import Path

# The account of the database server must read its password. The other files are for the program alone.
FOR_THE_DATABASE, FOR_THE_PROGRAM = 0o444, 0o400


def keep(path: Path, value: str, mode: int) -> str:
    """Write the file completely, unless it exists; returns its content."""
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(value)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    return path.read_text(encoding="utf-8")


def make(folder: Path, own_key: str) -> None:
    """Create the key, the database's password, and the URL with that password."""
    # The account of the database server can open its password, but can't list the folder.
    folder.chmod(0o711)
    if own_key and (folder / "secret_key").exists():
        (folder / "secret_key").unlink()
    keep(folder / "secret_key", own_key or secrets.token_hex(32), FOR_THE_PROGRAM)
    password = keep(folder / "postgres_password", secrets.token_hex(32), FOR_THE_DATABASE)
    url = f"postgresql://task_platform:{password}@database:5432/task_platform"
    keep(folder / "database_url", url, FOR_THE_PROGRAM)


if __name__ == "__main__":
    make(Path(sys.argv[1]), os.environ.get("SECRET_KEY", ""))
