"""Operate the program on its machine: `python manage.py COMMAND`; `--help` lists the commands.

Each command is a module of the folder `commands` with the same name. It has `add_arguments(parser)` and
`run(arguments)`, which returns the exit code. `--help` shows its docstring.
"""

import argparse
import importlib
import pkgutil
import sys

import commands
from config import ConfigurationError
from database import database
from errors import AppError
from migrations.schema import SchemaError, explained


def build_parser(wanted: str = "") -> argparse.ArgumentParser:
    """The parser of the command line, with a subcommand for each module of `commands`.

    If one of these is wanted, only that one is imported, which takes less time and memory.
    """
    parser = argparse.ArgumentParser(prog="python manage.py", description=(__doc__ or "").partition(":")[0])
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    modules = {found.name.replace("_", "-"): found.name for found in pkgutil.iter_modules(commands.__path__)}
    for name in [wanted] if wanted in modules else modules:
        command = importlib.import_module(f"commands.{modules[name]}")
        about = (command.__doc__ or "").partition("\n")[0]
        subparser = subparsers.add_parser(name, help=about, description=about)
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command, and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parsed = build_parser(*arguments[:1]).parse_args(arguments)
    try:
        with explained(database):
            code: int = parsed.run(parsed)
    except AppError as error:
        print(error.detail, file=sys.stderr)
        return 1
    except (ConfigurationError, SchemaError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
