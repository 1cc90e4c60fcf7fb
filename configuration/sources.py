"""The values of settings, read from the environment, from `.env`, and from files that these name.

Each setting `NAME` may be given as `NAME_FILE` instead, which is the path of a file with the value. The
environment wins over `.env`. A name that resembles a setting's name gets a warning, because otherwise its
value would be ignored silently.
"""

import difflib
import io
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

DOTENV = ".env"
# The image's entry point and uvicorn read these names, only from the environment.
OF_THE_SERVER = ("PORT", "WEB_CONCURRENCY", "MIGRATE_ON_START")
# Platforms and other programs set these names, which resemble settings by chance.
NOT_OURS = frozenset({"SQLITE_TMPDIR", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_USER"})
# Names that other programs use for the same settings. They are too different to be found by similarity.
OTHER_NAMES = {
    "SMTP_HOST": "SMTP_SERVER",
    "SMTP_USER": "SMTP_USERNAME",
    "SMTP_PASS": "SMTP_PASSWORD",
    "SMTP_TLS": "SMTP_SECURITY",
    "MAIL_FROM": "SMTP_FROM",
    "DB_URL": "DATABASE_URL",
    "BASE_URL": "PUBLIC_URL",
    "CORS_ALLOWED_ORIGINS": "CORS_ORIGINS",
    "ALLOWED_ORIGINS": "CORS_ORIGINS",
    "FORWARDED_ALLOW_IPS": "TRUSTED_PROXIES",
}
LIKENESS = 0.84
# A path may have any bytes.
PATHS = ("DATA_DIR", "CACHE_DIR", "LOG_FILE")
# These are sent to the mail server, in a line of their own.
ONE_LINE = ("SMTP_FROM", "SMTP_USERNAME", "SMTP_PASSWORD")


class ConfigurationError(Exception):
    """A setting with a value that the program can't start with; the message names the setting in one line."""


@dataclass
class Found:
    """The values that were found, by the name of the setting, and warnings for the operator."""

    values: dict[str, str] = field(default_factory=dict)
    # Settings whose values came from files. Such values may be secrets, whatever the setting is.
    from_files: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


def find(names: Collection[str], environment: Mapping[str, str] | None = None) -> Found:
    """Find the values of these settings (names in capitals); raises ConfigurationError."""
    found = Found()
    places = {
        "": _in_capitals(os.environ if environment is None else environment),
        f" in {DOTENV}": _in_capitals(_read_dotenv(Path(DOTENV))),
    }
    folder = Path(DOTENV)
    if folder.is_dir() and not (folder / "pyvenv.cfg").exists():
        found.warnings.append(
            f"{DOTENV} is a folder and is not read: Docker makes one if the file to be mounted is missing"
        )
    for place, given in places.items():
        for name in names:
            if name not in found.values:
                _take(name, given, place, found)
                _check_characters(name, found.values.get(name, ""))
        found.warnings += _near_misses(given, names, place)
    ignored = [
        name for name in OF_THE_SERVER if places[f" in {DOTENV}"].get(name) and not places[""].get(name)
    ]
    found.warnings += [f"{name} in {DOTENV} is not read: set it in the environment" for name in ignored]
    return found


def _in_capitals(given: Mapping[str, str | None]) -> dict[str, str]:
    # An empty value counts as not set.
    return {name.upper(): value for name, value in given.items() if value}


def _take(name: str, given: Mapping[str, str], place: str, found: Found) -> None:
    """Take the value of a setting, if this place gives it directly or by a file."""
    path = given.get(f"{name}_FILE")
    if path is None:
        if name in given:
            found.values[name] = given[name]
        # Reading `.env` removes the quotes around a value. A value that needs quotes can be given by a file.
        if not place and re.fullmatch(r'"[^"]*"|\'[^\']*\'', given.get(name, "")):
            raise ConfigurationError(
                f"{name}: must not stand in quotation marks: Docker's env files keep the quotes around a value"
            )
        return
    if name in given:
        raise ConfigurationError(f"{name}_FILE{place}: {name} is set as well; set only one of the two")
    found.values[name] = _content(f"{name}_FILE{place}", Path(path))
    found.from_files.add(name)


def _check_characters(name: str, value: str) -> None:
    """Refuse a value that would fail later, when it is sent."""
    # Python reads bytes of the environment that are not UTF-8 as halves of surrogate pairs.
    if name not in PATHS and any("\ud800" <= character <= "\udfff" for character in value):
        raise ConfigurationError(f"{name}: is not UTF-8 text")
    if name in ONE_LINE and any(character < " " or character == "\x7f" for character in value):
        raise ConfigurationError(f"{name}: must be one line without control characters")


def _content(setting: str, path: Path) -> str:
    try:
        content = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}: cannot read {path}: it is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is not a possible path"
        raise ConfigurationError(f"{setting}: cannot read {path}: {reason}") from None
    if not content.strip("\"'`"):
        raise ConfigurationError(f"{setting}: {path} is empty")
    return content


def _read_dotenv(path: Path) -> Mapping[str, str | None]:
    try:
        # Virtual environments may be folders of the name `.env`.
        if path.is_dir():
            return {}
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: can't be read: it is not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    for each in parse_stream(io.StringIO(text)):
        # The setting of such a line would be ignored. Its text may be a secret.
        if each.error:
            written = each.original.string
            line = each.original.line + written[: -len(written.lstrip())].count("\n")
            raise ConfigurationError(f"{path}: line {line} can't be read: it must be NAME=value")
    return dotenv_values(stream=io.StringIO(text))


def _near_misses(given: Collection[str], names: Collection[str], place: str) -> list[str]:
    """A warning for each name that resembles the name of a setting."""
    known = {*names, *(f"{name}_FILE" for name in names), *OF_THE_SERVER}
    warnings = []
    for name in sorted(set(given) - known - NOT_OURS):
        meant = OTHER_NAMES.get(name) or next(iter(difflib.get_close_matches(name, known, 1, LIKENESS)), None)
        if meant is not None:
            warnings.append(f"{name}{place} is no setting and is ignored: {meant} may be meant")
    return warnings
