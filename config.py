"""Settings from the environment, checked once when the program starts.

Every setting is an environment variable (or a line of a `.env` file in the working directory);
a secret may also be given as `NAME_FILE`, the path of a file that holds it. The README's table
lists them all, and a test compares the two.
"""

import contextlib
import ipaddress
import os
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import EmailStr, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SECRET_SETTINGS = ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "SMTP_PASSWORD", "FIRST_ADMIN_PASSWORD")
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
    access_token_expire_minutes: int = Field(30, ge=1, le=1440)
    bcrypt_rounds: int = Field(12, ge=4, le=18)
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

    log_file: Path = Path("app.log")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    trusted_proxies: Annotated[list[str], NoDecode] = []

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

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for part in value:
            ipaddress.ip_network(part, strict=False)
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
    def is_production(self) -> bool:
        return self.environment == "production"

    def signing_key(self) -> str:
        """The key that tokens are signed with: `SECRET_KEY`, or one made once and kept in `DATA_DIR`."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        return _kept_key(self.data_dir)


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
        return path.read_text().strip()
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
    return path.read_text().strip()


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
            found[name.lower()] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error}") from None
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
