"""Rules that refuse passwords, besides their length."""

import re
from functools import lru_cache
from pathlib import Path

from config import settings
from errors import invalid_at
from storage.folding import fold

COMMON = Path(__file__).with_name("common_passwords.txt")
# Letters that are often written as digits and signs.
_PLAIN = str.maketrans("0134578@$!", "oleastbasi")
_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
)


def check(password: str, username: str, email: str, field: str = "password") -> None:
    """Raise InvalidInput for a password that is the username or email, or is easily guessed, as settings say."""
    folded, names = fold(password), (fold(username), fold(email))
    problem = None
    if folded in names:
        problem = "The password may not be the username or the email address"
    elif settings.refuse_common_passwords and any(name in folded for name in names):
        problem = "The password may not contain the username or the email address"
    elif settings.refuse_common_passwords and is_common(password):
        problem = "The password is among the first that attackers guess: choose another"
    if problem is not None:
        raise invalid_at(f"#/{field}", problem)


@lru_cache(maxsize=1)
def _common_words() -> frozenset[str]:
    return frozenset(line.strip() for line in COMMON.read_text(encoding="utf-8").splitlines() if line.strip())


def is_common(password: str) -> bool:
    """Whether a password is common: a word of the list, or a run of keys, also in disguise.

    Digits and signs around the word are ignored, and digits in place of letters are undone: `P@ssw0rd2024!`
    is `password`.
    """
    folded = fold(password)
    bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", folded)
    candidates = {folded, bare, folded.translate(_PLAIN), bare.translate(_PLAIN)}
    candidates |= {re.sub(r"[^a-z]+$|^[^a-z]+", "", candidate) for candidate in candidates}
    if not bare and len(folded) < 12:
        return True  # A date, a telephone number.
    return any(
        candidate in _common_words() or _is_run(candidate) or _repeats(candidate)
        for candidate in candidates
        if candidate
    )


def _is_run(text: str) -> bool:
    """Whether the keys stand side by side, in either direction: `12345678`, `qwertyui`, `abcdefgh`."""
    return len(text) > 3 and any(text in row or text[::-1] in row for row in _ROWS)


def _repeats(text: str) -> bool:
    """Whether the text repeats one short piece: `aaaaaaaa`, `abcabcabc`."""
    return re.fullmatch(r"(.{1,4})\1+", text) is not None
