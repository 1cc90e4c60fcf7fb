"""Settings from the environment, checked once when the program starts.

Every setting is an environment variable (or a line of a `.env` file in the working directory);
a secret may also be given as `NAME_FILE`, the path of a file that holds it. The table of docs/settings.md
lists them all, and a test compares the two.
"""

import base64
import binascii
import contextlib
import ipaddress
import json
import os
import re
import secrets
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import EmailStr, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SECRET_SETTINGS = (
    "SECRET_KEY",
    "SECRET_KEY_PREVIOUS",
    "DATABASE_URL",
    "REDIS_URL",
    "SMTP_PASSWORD",
    "FIRST_ADMIN_PASSWORD",
    "METRICS_TOKEN",
)
MINIMUM_KEY_BYTES = 16
MINIMUM_PRODUCTION_KEY_BYTES = 32
WELL_KNOWN_KEYS = frozenset(
    {
        "secret",
        "changeme",
        "change-me",
        "your-secret-key",
        "supersecretkey",
        "mysecretkey",
        # The key of FastAPI's own tutorial.
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    }
)


class ConfigurationError(Exception):
    """A setting has a value the program can't start with; the message is one line that names it."""


class Settings(BaseSettings):
    """What can be set, with its default; the names in the environment are these in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        validate_default=True,
    )

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path()
    database_url: str = Field(default_factory=lambda data: f"sqlite:///{data['data_dir'] / 'tasks.db'}")
    database_pool_size: int = Field(10, ge=1, le=100)
    sqlite_synchronous: Literal["FULL", "NORMAL", "EXTRA", "OFF"] = "FULL"
    sqlite_busy_timeout_ms: int = Field(5000, ge=0, le=600_000)

    secret_key: SecretStr | None = None
    secret_key_previous: SecretStr | None = None
    access_token_expire_minutes: int = Field(30, ge=1, le=1440)
    refresh_token_expire_days: int = Field(30, ge=1, le=365)
    bcrypt_rounds: int = Field(12, ge=4, le=18)
    registration_open: bool = True
    require_verified_email: bool = False
    refuse_common_passwords: bool = False
    public_url: str = "http://localhost:8000"
    first_admin_username: str | None = None
    first_admin_email: EmailStr | None = None
    first_admin_password: SecretStr | None = None

    cache_dir: Path = Path()
    redis_url: str | None = None

    smtp_server: str | None = None
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: EmailStr | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_timeout_seconds: float = Field(10, gt=0, le=120)
    smtp_connections: int = Field(4, ge=1, le=50)
    mail_attempts: int = Field(20, ge=1, le=1000)
    mail_retry_seconds: float = Field(5, gt=0, le=3600)
    digest_hour: int = Field(7, ge=0, le=23)
    reminder_hours: int = Field(24, ge=0, le=24 * 30)
    delivery_poll_seconds: float = Field(5, gt=0, le=60)
    idempotency_hours: int = Field(24, ge=1, le=24 * 365)
    retention_history_days: int | None = Field(None, ge=1)
    retention_notifications_days: int | None = Field(None, ge=1)
    # Triggers keep the last month of it, whatever is set.
    retention_audit_days: int | None = Field(None, ge=31)

    log_file: Path = Path("app.log")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    metrics_token: SecretStr | None = None
    metrics_allowed: Annotated[list[str], NoDecode] = ["127.0.0.0/8", "::1/128"]
    delivery_behind_seconds: float = Field(300, gt=0)

    trusted_proxies: Annotated[list[str], NoDecode] = []
    allowed_hosts: Annotated[list[str], NoDecode] = []
    cors_origins: Annotated[list[str], NoDecode] = []
    request_timeout_seconds: float = Field(60, ge=0, le=3600)
    rate_limit_per_minute: int = Field(0, ge=0, le=1_000_000)

    @field_validator("log_level", "sqlite_synchronous", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _with_driver(cls, value: str) -> str:
        return database_url(value).render_as_string(hide_password=False)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("trusted_proxies", "metrics_allowed", "allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("trusted_proxies", "metrics_allowed")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for part in value:
            ipaddress.ip_network(part, strict=False)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for part in value:
            if not re.fullmatch(r"https?://[^/\s*]+", part):
                raise ValueError("must be origins such as https://app.example.com, separated by commas")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for part in value:
            if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_.\[\]:-]+", part):
                raise ValueError(
                    "must be names such as api.example.com or *.example.com, separated by commas"
                )
        return [part.lower() for part in value]

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s?#]+", value):
            raise ValueError("must be an address such as https://tasks.example.com")
        return value.rstrip("/")

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _fit_to_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (problem := key_problem(value.get_secret_value())):
            raise ValueError(f"{problem}; make one with `openssl rand -hex 32`")
        return value

    @model_validator(mode="after")
    def _fit_for_production(self) -> "Settings":
        if self.environment != "production":
            return self
        key = self.secret_key.get_secret_value() if self.secret_key else ""
        if not key:
            raise ValueError("SECRET_KEY: must be set when ENVIRONMENT is production")
        if key.lower() in WELL_KNOWN_KEYS or len(set(key)) < 8:
            raise ValueError(
                "SECRET_KEY: is a well-known or guessable value; make one with `openssl rand -hex 32`"
            )
        if len(key.encode()) < MINIMUM_PRODUCTION_KEY_BYTES:
            raise ValueError(
                f"SECRET_KEY: must have at least {MINIMUM_PRODUCTION_KEY_BYTES} bytes when ENVIRONMENT is production; "
                "make one with `openssl rand -hex 32`"
            )
        return self

    @property
    def trusted_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of the proxies whose word on a caller's address counts."""
        return _networks(tuple(self.trusted_proxies))

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    def signing_key(self) -> str:
        """The key that tokens are signed with: `SECRET_KEY`, or one made once and kept in `DATA_DIR`."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        return _kept_key(self.data_dir)


@lru_cache(maxsize=4)
def _networks(names: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)


def key_problem(key: str) -> str | None:
    """Why a key is not one to sign tokens with, if it is not."""
    if len(key.encode()) < MINIMUM_KEY_BYTES:
        return f"must have at least {MINIMUM_KEY_BYTES} bytes"
    if key[0] == key[-1] and key[0] in "\"'`":
        return "has quotes around it, which some env files keep: leave them out"
    # python-jose verifies by what JSON holds, but signs by its text: by any part of a list, for example.
    if _is_json(key):
        return "must not be JSON"
    # A public key is known to everybody: as a shared secret it would let anybody sign.
    if key.lstrip().startswith(("-----BEGIN", "ssh-", "ecdsa-")):
        return "must be a secret of its own, not a key or certificate in PEM or SSH form"
    binary = [key.encode("latin-1", "ignore")]
    with contextlib.suppress(binascii.Error, ValueError):
        binary.append(base64.b64decode("".join(key.split()), validate=True))
    if any(_is_der(each) for each in binary):
        return "must be a secret of its own, not a key or certificate in DER form"
    return None


def _is_json(key: str) -> bool:
    """Whether the key is JSON as python-jose reads it, which takes numbers for texts."""
    try:
        read = json.loads(key, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return bool(read != key)


def _is_der(value: bytes) -> bool:
    """Whether this is one ASN.1 sequence from its first byte to its last, as keys and certificates are."""
    if len(value) < 4 or value[0] != 0x30:
        return False
    length, size = value[1], 0
    if length & 0x80:
        size = length & 0x7F
        length = int.from_bytes(value[2 : 2 + size], "big")
    return 0 <= size <= 4 and length == len(value) - 2 - size


def database_url(value: str) -> URL:
    """Read a database URL as people write it; a Postgres one is taken through psycopg."""
    try:
        url = make_url(value)
    except ArgumentError:
        raise ValueError(
            "is not a database URL such as sqlite:///./tasks.db or postgresql://user@host/name"
        ) from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or url.database == ":memory:":
            raise ValueError("must name a file: a database in memory is not shared by the program's threads")
        return url.set(drivername="sqlite")
    raise ValueError("must begin with sqlite:///, postgres:// or postgresql://")


def _kept_key(directory: Path) -> str:
    """Read the key kept in `directory`, made by whichever process comes first, with mode 0600."""
    path = directory / "secret_key"
    try:
        return _fit_key(path)
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
    # Written whole under another name and then linked: no process ever reads half a key.
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
    return _fit_key(path)


def _fit_key(path: Path) -> str:
    key = path.read_text().strip()
    if problem := key_problem(key):
        raise ConfigurationError(f"SECRET_KEY: the one kept in {path} {problem}; delete it to have one made")
    return key


def _secrets_from_files() -> dict[str, str]:
    """The values of `NAME_FILE` for each secret `NAME` that is not set itself."""
    found = {}
    for name in SECRET_SETTINGS:
        path = os.environ.get(f"{name}_FILE")
        if not path:
            continue
        if os.environ.get(name):
            raise ConfigurationError(f"{name}_FILE: {name} is set as well; set only one of the two")
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error}") from None
        if not secret.strip("\"'`"):
            raise ConfigurationError(f"{name}_FILE: {path} is empty")
        found[name.lower()] = secret
    return found


def load_settings() -> Settings:
    """Read the settings; raises ConfigurationError with one line that names the wrong one."""
    try:
        return Settings(**_secrets_from_files())  # type: ignore[arg-type]  # checked by Pydantic
    except ValidationError as error:
        raise ConfigurationError("; ".join(_one_line(problem) for problem in error.errors())) from None


def _one_line(problem: Any) -> str:
    """One problem as `NAME: what is wrong`, without the value where it may be a secret."""
    name = ".".join(str(part) for part in problem["loc"][:1]).upper()
    message = problem["msg"].removeprefix("Value error, ")
    if not name:
        return str(message)
    given = "" if name in SECRET_SETTINGS else f" (it is {problem['input']!r})"
    return f"{name}: {message}{given}"


def _load_or_exit() -> Settings:
    try:
        return load_settings()
    except ConfigurationError as error:
        sys.exit(f"The program can't start. {error}")


settings = _load_or_exit()
