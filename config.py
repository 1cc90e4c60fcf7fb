"""The settings, which are read from the environment and checked once at the start.

Every setting is an environment variable or a line of a `.env` file in the working directory. Each may also be
given as `NAME_FILE`, the path of a file with the value (see configuration/sources.py). The table in
docs/settings.md lists all settings, and a test compares the two.
"""

import re
import sys
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import EmailStr, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from configuration import account_rules, sources
from configuration.addresses import (
    Networks,
    is_address,
    is_host,
    is_page,
    is_redis_url,
    mailbox,
    networks,
    origin,
    parts,
)
from configuration.database_url import database_url
from configuration.header_text import HeaderSecret
from configuration.signing_keys import (
    kept_key,
    kept_key_problem,
    key_problem,
    production_key_problem,
)
from configuration.sources import ConfigurationError

__all__ = [
    "ConfigurationError",
    "Settings",
    "database_url",
    "key_problem",
    "load_settings",
    "mailbox",
    "settings",
]

SECRET_SETTINGS = (
    "SECRET_KEY",
    "SECRET_KEY_PREVIOUS",
    "DATABASE_URL",
    "REDIS_URL",
    "SMTP_PASSWORD",
    "FIRST_ADMIN_PASSWORD",
    "METRICS_TOKEN",
)
LOCAL_URL = "http://localhost:8000"
# The calendar has no day that lies longer ago than about 740,000 days.
MOST_DAYS = 365_000
MAKE_A_KEY = "make one with `openssl rand -hex 32`"
LONGEST_SHOWN = 100


def _in_production(data: dict[str, Any]) -> bool:
    return data.get("environment") == "production"


class Settings(BaseSettings):
    """All settings with their defaults; the environment has the same names in capitals."""

    model_config = SettingsConfigDict(extra="ignore", validate_default=True)

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path()
    database_url: str = Field(
        default_factory=lambda data: f"sqlite:///{data.get('data_dir', Path()) / 'tasks.db'}"
    )
    database_pool_size: int = Field(10, ge=1, le=100)
    database_prepare: bool = True
    sqlite_synchronous: Literal["FULL", "NORMAL", "EXTRA", "OFF"] = "FULL"
    sqlite_busy_timeout_ms: int = Field(5000, ge=0, le=600_000)

    secret_key: SecretStr | None = None
    secret_key_previous: SecretStr | None = None
    access_token_expire_minutes: int = Field(30, ge=1, le=1440)
    refresh_token_expire_days: int = Field(30, ge=1, le=365)
    bcrypt_rounds: int = Field(12, ge=4, le=18)
    registration_open: bool = True
    registrations_per_hour: int = Field(default_factory=lambda data: 30 * _in_production(data), ge=0)
    require_verified_email: bool = False
    refuse_common_passwords: bool = False
    public_url: str = LOCAL_URL
    root_path: str | None = None
    first_admin_username: str | None = Field(
        None,
        min_length=account_rules.SHORTEST_USERNAME,
        max_length=account_rules.LONGEST_USERNAME,
        pattern=account_rules.USERNAME_PATTERN,
    )
    first_admin_email: EmailStr | None = None
    first_admin_password: SecretStr | None = None

    cache_dir: Path = Path()
    redis_url: str | None = None

    mail_unverified: bool = Field(default_factory=lambda data: not _in_production(data))
    smtp_server: str | None = None
    smtp_port: int = Field(587, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: str | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_helo_name: str | None = None
    smtp_timeout_seconds: float = Field(10, gt=0, le=120)
    smtp_connections: int = Field(4, ge=1, le=50)
    mail_attempts: int = Field(20, ge=1, le=1000)
    mail_retry_seconds: float = Field(5, gt=0, le=3600)
    digest_hour: int = Field(7, ge=0, le=23)
    reminder_hours: int = Field(24, ge=0, le=24 * 30)
    delivery_poll_seconds: float = Field(5, gt=0, le=60)
    idempotency_hours: int = Field(24, ge=1, le=24 * 365)
    retention_history_days: int | None = Field(None, ge=1, le=MOST_DAYS)
    retention_notifications_days: int | None = Field(None, ge=1, le=MOST_DAYS)
    # Triggers keep the last month of the audit trail, whatever the setting says.
    retention_audit_days: int | None = Field(None, ge=31, le=MOST_DAYS)
    retention_events_days: int = Field(30, ge=1, le=MOST_DAYS)
    webhook_delivery: bool = True
    webhook_timeout_seconds: float = Field(15, gt=0, le=120)
    # Networks that may receive webhooks although their addresses are not public.
    webhook_allowed_networks: Networks = ()

    log_file: Path = Path("app.log")
    log_file_mb: int = Field(50, ge=0, le=100_000)
    log_files: int = Field(5, ge=1, le=1000)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    metrics_token: HeaderSecret | None = None
    metrics_allowed: Networks = networks("127.0.0.0/8,::1/128")
    delivery_behind_seconds: float = Field(300, gt=0)

    # The proxies whose headers about a caller's address are trusted.
    trusted_proxies: Networks = ()
    allowed_hosts: list[str] = []
    cors_origins: list[str] = []
    request_timeout_seconds: float = Field(60, ge=0, le=3600)
    rate_limit_per_minute: int = Field(0, ge=0, le=1_000_000)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *_others: Any, **given: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments of the call first, then the environment and the files."""
        return given["init_settings"], _Given(settings_cls)

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
        if value is not None and not is_redis_url(value):
            raise ValueError("must be an address such as redis://localhost:6379/0")
        return value

    @field_validator("smtp_server")
    @classmethod
    def _mail_host(cls, value: str | None) -> str | None:
        if value is not None and not is_host(value):
            raise ValueError(
                "must be a host's name such as smtp.example.com, without a scheme or a port (see SMTP_PORT)"
            )
        return value

    @field_validator("allowed_hosts", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return parts(value) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        return [origin(part) for part in value]

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
        if not is_page(value):
            raise ValueError("must be an address in ASCII such as https://tasks.example.com")
        return value.rstrip("/")

    @field_validator("root_path")
    @classmethod
    def _root(cls, value: str | None) -> str | None:
        if value is None or not value.strip("/"):
            return None if value is None else ""
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
            raise ValueError("must be a path such as /tasks-api")
        return value.rstrip("/")

    @field_validator("smtp_from")
    @classmethod
    def _sender(cls, value: str | None) -> str | None:
        if value is not None and not is_address(mailbox(value)[1]):
            raise ValueError(
                "must be an address such as tasks@example.com or Task Platform <tasks@example.com>"
            )
        return value

    @field_validator("smtp_helo_name")
    @classmethod
    def _helo(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z0-9.-]+|\[[A-Za-z0-9.:]+\]", value):
            raise ValueError("must be a host's name such as tasks.example.com")
        return value

    @field_validator("first_admin_password")
    @classmethod
    def _fit_to_log_in(cls, value: SecretStr | None) -> SecretStr | None:
        shortest, longest = account_rules.SHORTEST_PASSWORD, account_rules.LONGEST_PASSWORD
        if value is not None and not shortest <= len(value.get_secret_value()) <= longest:
            raise ValueError(f"must have {shortest} to {longest} characters")
        return value

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def _fit_to_sign(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (problem := key_problem(value.get_secret_value())):
            raise ValueError(f"{problem}; {MAKE_A_KEY}")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if self.is_production:
            if self.secret_key is None:
                raise ValueError("SECRET_KEY: must be set when ENVIRONMENT is production")
            if problem := production_key_problem(self.secret_key.get_secret_value()):
                raise ValueError(f"SECRET_KEY: {problem}; {MAKE_A_KEY}")
            if self.smtp_server and "public_url" not in self.model_fields_set:
                raise ValueError(
                    "PUBLIC_URL: must be set when ENVIRONMENT is production and SMTP_SERVER is set: "
                    "the links in mails begin with it"
                )
        if self.smtp_server and self.smtp_username and not (self.smtp_from or is_address(self.smtp_username)):
            raise ValueError(
                "SMTP_FROM: must be set, because SMTP_USERNAME is not an address that mail could be sent from"
            )
        if self.root_path and not urlsplit(self.public_url).path:
            self.public_url += self.root_path
        return self

    @property
    def has_public_url(self) -> bool:
        """Whether `PUBLIC_URL` names an address other than the usual one of this machine."""
        return urlsplit(self.public_url)[:2] != urlsplit(LOCAL_URL)[:2]

    @property
    def root(self) -> str:
        """The path below which a proxy serves this program: `ROOT_PATH`, or the path of `PUBLIC_URL`."""
        return urlsplit(self.public_url).path if self.root_path is None else self.root_path

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    def signing_key(self) -> str:
        """The key that signs tokens: `SECRET_KEY`, or a generated key in `DATA_DIR`.

        Raises ConfigurationError if the key can't be created or read.
        """
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        place = self.data_dir.absolute()
        try:
            key = kept_key(self.data_dir)
        except OSError as error:
            reason = f"the key in {place} can't be made or read: {error.strerror}"
            raise ConfigurationError(f"DATA_DIR: {reason}") from None
        if problem := kept_key_problem(key):
            raise ConfigurationError(
                f"SECRET_KEY: the key kept in {place / 'secret_key'} {problem}; delete that file"
            )
        return key


def _find() -> sources.Found:
    """The values of all settings outside of the program; raises ConfigurationError."""
    return sources.find([name.upper() for name in Settings.model_fields])


class _Given(PydanticBaseSettingsSource):
    """The values from the environment, from `.env`, and from the files that these name."""

    def get_field_value(self, _field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return nothing for a single field, because `__call__` reads all settings together."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return {name.lower(): value for name, value in _find().values.items()}


def load_settings() -> Settings:
    """Read the settings; raises ConfigurationError with one line that names the wrong settings."""
    try:
        return Settings()
    except ValidationError as error:
        hidden = _find().from_files
        # An error in another setting makes this default fail, so this problem is not reported.
        problems = [
            _one_line(problem, hidden)
            for problem in error.errors()
            if problem["type"] != "default_factory_not_called"
        ]
        raise ConfigurationError("; ".join(problems)) from None


def settings_warnings() -> list[str]:
    """Warnings about settings that are probably wrong, a line each."""
    found = _find().warnings
    if settings.secret_key and (problem := production_key_problem(settings.secret_key.get_secret_value())):
        found.append(f"SECRET_KEY {problem}: anybody who guesses it can sign tokens; {MAKE_A_KEY}")
    if settings.smtp_server and not (settings.smtp_from or settings.smtp_username):
        found.append(
            "SMTP_FROM is not set: mails come from task-platform@localhost, which most servers refuse"
        )
    return found


def _one_line(problem: Any, hidden: set[str]) -> str:
    """A problem as `NAME: problem`, without the value if the value may be a secret."""
    name = ".".join(str(part) for part in problem["loc"][:1]).upper()
    message = problem["msg"].removeprefix("Value error, ")
    if not name:
        return str(message)
    if name in SECRET_SETTINGS or name in hidden:
        return f"{name}: {message}"
    given = repr(problem["input"])
    return (
        f"{name}: {message} (it is {given if len(given) <= LONGEST_SHOWN else given[:LONGEST_SHOWN] + '...'})"
    )


def _load_or_exit() -> Settings:
    try:
        return load_settings()
    except ConfigurationError as error:
        sys.exit(f"The program can't start. {error}")


settings = _load_or_exit()
