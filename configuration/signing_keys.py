"""The key that signs tokens: rules for a good key, and a generated key if no key is set."""

import base64
import binascii
import contextlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

MINIMUM_PRODUCTION_KEY_BYTES = 32
# A key that this program made has 64 characters, so a shorter one was cut off.
MINIMUM_KEPT_BYTES = 16
WELL_KNOWN_KEYS = frozenset(
    {
        "secret",
        "changeme",
        "change-me",
        "your-secret-key",
        "supersecretkey",
        "mysecretkey",
        # The key of FastAPI's own tutorial, and those of the debugger at jwt.io.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "a-string-secret-at-least-256-bits-long",
        "qwertyuiopasdfghjklzxcvbnm123456",
    }
)
# Examples tell their reader to replace the key: "your-secret-key-change-this-in-production".
ASKING_WORDS = frozenset({"your", "change", "changeme", "changethis", "changeit", "replace", "replaceme"})
PLACEHOLDER_WORDS = ASKING_WORDS | frozenset(
    re.findall(
        "[a-z]+",
        """
        a and app at be before bit bits by default deploying deployment dev development do env for generate here
        in insecure it jwt key keys least long me must my not of openssl or please prod production rand random
        real secret secretkey secrets secure should something static string strong super supersecret
        supersecretkey that the this to token use value very with
        """,
    )
)
QUOTES = ("'", '"', "`", "\N{LEFT DOUBLE QUOTATION MARK}", "\N{RIGHT DOUBLE QUOTATION MARK}")


def key_problem(key: str) -> str | None:
    """The reason why a key is not fit to sign tokens; None for a good key."""
    for is_unfit, problem in _UNFIT:
        if is_unfit(key):
            return problem
    return None


def kept_key_problem(key: str) -> str | None:
    """The reason why a kept key can't be the key that this program made; None for a good key."""
    if len(key) < MINIMUM_KEPT_BYTES:
        return "is cut off"
    # A disk may give back zeros, or anything else, in the place of what was written.
    return key_problem(key) if key.isprintable() and "\N{REPLACEMENT CHARACTER}" not in key else "is damaged"


def production_key_problem(key: str) -> str | None:
    """The reason why a key that is fit to sign is too easy to guess for production."""
    if is_well_known(key) or len(set(key)) < 8:
        return "is a well-known or guessable value"
    if len(key.encode()) < MINIMUM_PRODUCTION_KEY_BYTES:
        return f"must have at least {MINIMUM_PRODUCTION_KEY_BYTES} bytes when ENVIRONMENT is production"
    return None


def is_well_known(key: str) -> bool:
    """Whether the key stands in examples that many people copy, or says itself that it must be replaced."""
    words = set(re.findall("[a-z]+", key.lower()))
    return key.lower() in WELL_KNOWN_KEYS or (
        words <= PLACEHOLDER_WORDS and not words.isdisjoint(ASKING_WORDS)
    )


def _is_json(key: str) -> bool:
    """Whether python-jose would parse the key as JSON, and take it apart. A number stays a text."""
    try:
        return bool(json.loads(key, parse_int=str, parse_float=str, parse_constant=str) != key)
    except (ValueError, RecursionError):
        return False


def _is_der(value: bytes) -> bool:
    """Whether these bytes are exactly one ASN.1 sequence, as in keys and certificates."""
    if len(value) < 4 or value[0] != 0x30:
        return False
    length, size = value[1], 0
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(value[2 : 2 + size], "big")
    return 0 <= size <= 4 and length == len(value) - 2 - size


def _is_der_in_text(key: str) -> bool:
    binary = [key.encode("latin-1", "ignore")]
    with contextlib.suppress(binascii.Error, ValueError):
        binary.append(base64.b64decode("".join(key.split()), validate=True))
    return any(_is_der(each) for each in binary)


_UNFIT: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda key: not key, "must not be empty"),
    (
        lambda key: key.startswith(QUOTES) or key.endswith(QUOTES),
        "must not begin or end with a quotation mark: Docker's env files keep the quotes around a value",
    ),
    (lambda key: key != key.strip(), "must not begin or end with a space"),
    (_is_json, "must not be JSON: each part of a list would count as a key of its own"),
    # Everybody knows a public key, so with a public key as shared secret anybody could sign tokens.
    (
        lambda key: key.startswith(("-----BEGIN", "ssh-", "ecdsa-")),
        "must be a secret of its own, not a key or certificate in PEM or SSH form",
    ),
    (_is_der_in_text, "must be a secret of its own, not a key or certificate in DER form"),
)


def kept_key(directory: Path) -> str:
    """The key stored in `directory`, with mode 0600; the first process creates it. Raises OSError."""
    path = directory / "secret_key"
    try:
        return _text_of(path)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
    # The key is written under another name and then linked, so that no process reads half a key.
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=".secret_key-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    return _text_of(path)


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()
