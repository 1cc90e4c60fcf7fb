"""Settings: each documented, each wrong value refused in one line that names it, each secret kept."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config import SECRET_SETTINGS, ConfigurationError, Settings, load_settings, settings_warnings

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `([A-Z_]+)` \|(.*?)\|.*$", re.MULTILINE)
# The texts of the table for defaults that are no plain values.
DEFAULTS_IN_WORDS = {
    "DATABASE_URL": "`sqlite:///./tasks.db`",
    "DATA_DIR": "the working directory",
    "CACHE_DIR": "the working directory",
    "SECRET_KEY": "made once, kept in `DATA_DIR`",
    "SMTP_FROM": "`SMTP_USERNAME`",
    "REGISTRATIONS_PER_HOUR": "`30` in production, `0` in development",
    "MAIL_UNVERIFIED": "`false` in production, `true` in development",
}


@pytest.mark.parametrize("page", ["README.md", "docs/settings.md"])
def test_the_documentation_lists_every_setting_with_its_default(page: str) -> None:
    table = (ROOT / page).read_text().partition("| setting | default |")[2].partition("\n\n")[0]
    listed = {name: default.strip() for name, default in ROW.findall(table)}
    expected = {}
    for field, info in Settings.model_fields.items():
        name, default = field.upper(), info.default
        if name in DEFAULTS_IN_WORDS:
            expected[name] = DEFAULTS_IN_WORDS[name]
        elif default in (None, [], ()):
            expected[name] = ""
        elif isinstance(default, tuple):
            expected[name] = f"`{','.join(map(str, default))}`"
        elif isinstance(default, bool):
            expected[name] = f"`{str(default).lower()}`"
        else:
            expected[name] = f"`{default}`"
    assert listed == expected


def test_the_example_file_names_settings_only() -> None:
    names = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


PRINT_THE_KEY = "import config; print(config.settings.signing_key())"


def start(folder: Path, code: str = PRINT_THE_KEY, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a process that imports the settings, as every start of the program does, and runs `code`."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENVIRONMENT", "prod"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "postgresql://localhost/x?schema=public"),
        ("DATABASE_URL", "postgresql://localhost/x?autocommit=true"),
        ("DATABASE_URL", "postgresql://localhost/x?host=a&port=b"),
        ("DATABASE_URL", "sqlite:///tasks.db?mode=ro"),
        ("DATABASE_URL", "sqlite:///file:tasks.db?uri=true"),
        ("DATABASE_POOL_SIZE", "0"),
        ("BCRYPT_ROUNDS", "3"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "soon"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:port/0"),
        ("SMTP_SERVER", "smtp://mail.example.com"),
        ("SMTP_SERVER", "mail.example.com:587"),
        ("SMTP_PORT", "99999"),
        ("SMTP_SECURITY", "ssl"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("TRUSTED_PROXIES", "my-proxy"),
        ("FIRST_ADMIN_EMAIL", "nonsense"),
        ("SECRET_KEY_FILE", "/does/not/exist"),
        ("SECRET_KEY_FILE", os.devnull),
        ("SMTP_PORT_FILE", "/"),
        ("SECRET_KEY", "'kept-by-an-env-file-1234567890'"),
        ("SECRET_KEY", '["one-key-of-several-1234567890"]'),
        ("SECRET_KEY", " a-key-with-a-space-before-it-1234"),
        ("ENVIRONMENT", "Production"),
        ("FIRST_ADMIN_USERNAME", "two words"),
        ("FIRST_ADMIN_PASSWORD", "admin"),
        ("CORS_ORIGINS", "https://app.example.com/path"),
        ("PUBLIC_URL", "https://:443"),
        ("PUBLIC_URL", "https://example.com/\u0437"),
        ("PUBLIC_URL", "https://aufg\u00e4ben.example.com"),
        ("METRICS_TOKEN", "caf\u00e9"),
        ("METRICS_TOKEN", "two\nlines"),
        ("METRICS_TOKEN", " begins-with-a-space"),
        ("METRICS_TOKEN", "not-utf-8-\udcff"),
        ("SMTP_FROM", "Two\nlines <tasks@example.com>"),
        ("SMTP_PASSWORD", "not-utf-8-\udcff"),
        ("SMTP_USERNAME", "with\ttab"),
        ("CORS_ORIGINS", "https://with\x01control.example.com"),
        ("SECRET_KEY", "a-key-that-is-not-utf-8-1234567890-\udcff"),
        ("REDIS_URL", "redis://:\udcff@localhost/0"),
        ("FIRST_ADMIN_PASSWORD", "not-utf-8-\udcff"),
        ("ROOT_PATH", "tasks-api"),
        ("SMTP_FROM", "Task Platform"),
        ("RETENTION_EVENTS_DAYS", "999999"),
        ("RETENTION_HISTORY_DAYS", "999999"),
        ("RETENTION_NOTIFICATIONS_DAYS", "999999"),
        ("RETENTION_AUDIT_DAYS", "999999"),
        ("SMTP_HELO_NAME", "two words"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv(name.removesuffix("_FILE"), raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert name in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    # The message names no other setting, and shows no secret.
    assert re.findall(r"(?:^|; )([A-Z_]+):", str(refused.value)) == [name]
    assert name not in SECRET_SETTINGS or value not in str(refused.value)


def test_a_wrong_value_stops_the_start_with_that_line(tmp_path: Path) -> None:
    ended = start(tmp_path, BCRYPT_ROUNDS="many")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "BCRYPT_ROUNDS" in ended.stderr


@pytest.mark.parametrize(
    "key",
    [
        "",
        "secret",
        "a" * 64,
        "short-but-random-8f7a",
        "changeme",
        "your-secret-key-change-this-in-production",
        "CHANGE_ME_to_a_long_random_string_2026",
        "a-string-secret-at-least-256-bits-long",
    ],
)
def test_production_refuses_a_missing_known_or_short_key_and_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", key)
    with pytest.raises(ConfigurationError, match="SECRET_KEY") as refused:
        load_settings()
    assert not key or key not in str(refused.value)


@pytest.mark.parametrize("key", ["dev", pytest.param("your-secret-key", marks=pytest.mark.thorough)])
def test_development_starts_with_a_weak_key_and_warns(tmp_path: Path, key: str) -> None:
    code = "import config; print(config.settings.signing_key(), config.settings_warnings())"
    ended = start(tmp_path, code, SECRET_KEY=key)
    assert ended.stdout.startswith(f"{key} ['SECRET_KEY ")
    assert ended.stdout.count(key) == 1


@pytest.mark.parametrize(
    "key", ["a secret key for tests in production", "change-my-guitar-strings-in-the-autumn"]
)
def test_production_takes_a_long_key_that_is_no_placeholder(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", key)
    assert load_settings().signing_key() == key


def test_production_starts_with_a_good_key_from_the_environment_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = os.urandom(32).hex()
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", key)
    assert load_settings().signing_key() == key
    (tmp_path / "key").write_text(key + "\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match="SECRET_KEY_FILE"):
        load_settings()
    monkeypatch.delenv("SECRET_KEY")
    assert load_settings().signing_key() == key


def test_without_a_key_one_is_made_once_and_shared(tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-c", "import config; print(config.settings.signing_key())"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATA_DIR": str(data)}
    at_once = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    keys = {process.communicate()[0].strip() for process in at_once}
    assert len(keys) == 1
    assert len(keys.pop()) >= 64
    assert [path.name for path in data.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((data / "secret_key").stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["SECRET_KEY", "SECRET_KEY_PREVIOUS"])
@pytest.mark.parametrize(
    "wrap",
    ['"{}"', "'{}'", '["{}"]', '["{0}", "{0}"]', '{{"k": "{}"}}', '{{"keys": ["{}"]}}', ' "{}"', "`{}`"],
)
def test_a_key_in_quotes_or_in_json_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, wrap: str) -> None:
    monkeypatch.setenv(name, wrap.format(os.urandom(32).hex()))
    with pytest.raises(ConfigurationError, match=name):
        load_settings()


@pytest.mark.parametrize(
    "name",
    ["METRICS_TOKEN", "FIRST_ADMIN_PASSWORD", "SMTP_PASSWORD", "SMTP_SERVER", "DATABASE_URL", "LOG_FILE"],
)
def test_a_value_whose_quotes_an_env_file_kept_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(name, raising=False)
    for value in ('"in quotes 4711"', "'in quotes 4711'", '""'):
        with monkeypatch.context() as here:
            here.setenv(name, value)
            with pytest.raises(
                ConfigurationError, match=f"^{name}: must not stand in quotation marks"
            ) as refused:
                load_settings()
            assert "4711" not in str(refused.value)
    if name == "SMTP_PASSWORD":
        (tmp_path / "secret").write_text('"in quotes 4711"')
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
        password = load_settings().smtp_password
        assert password is not None
        assert password.get_secret_value() == '"in quotes 4711"'


def test_a_folder_in_the_place_of_the_env_file_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").mkdir()
    assert [line for line in settings_warnings() if line.startswith(".env is a folder and is not read")]
    (tmp_path / ".env" / "pyvenv.cfg").touch()
    assert not [line for line in settings_warnings() if ".env" in line]


def test_a_key_of_digits_signs_what_it_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "31415926535897932384626433832795")
    assert load_settings().signing_key() == "31415926535897932384626433832795"


@pytest.mark.parametrize("content", ["", "\n", " \t\n", '""\n', "''"])
@pytest.mark.parametrize("name", SECRET_SETTINGS)
def test_an_empty_secret_file_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, content: str
) -> None:
    monkeypatch.delenv(name, raising=False)
    (tmp_path / "secret").write_text(content)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    with pytest.raises(ConfigurationError, match=f"{name}_FILE.*empty"):
        load_settings()


def test_a_kept_key_that_is_empty_cut_off_or_damaged_is_not_signed_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    # A disk without power may leave zeros in the place of a file's content.
    for content in (b"", b"0123456789abcde", b"\0" * 64, b"\xff" * 64):
        (tmp_path / "secret_key").write_bytes(content)
        with pytest.raises(ConfigurationError, match="SECRET_KEY"):
            load_settings().signing_key()


def test_every_secret_is_a_setting() -> None:
    assert {name.lower() for name in SECRET_SETTINGS} <= set(Settings.model_fields)


def test_any_setting_may_be_in_a_file_that_the_environment_or_the_env_file_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "url").write_text(f"\ufeffsqlite:///{tmp_path}/other.db\n")
    (tmp_path / "user").write_text("mailer@example.com\n")
    (tmp_path / ".env").write_text("\ufeffDATABASE_URL_FILE=url\nsmtp_port=2525\nLOG_LEVEL=\n")
    for name, value in (
        ("SMTP_USERNAME_FILE", str(tmp_path / "user")),
        ("SMTP_PORT", "25"),
        ("LOG_LEVEL", ""),
    ):
        monkeypatch.setenv(name, value)
    found = load_settings()
    assert found.database_url == f"sqlite:///{tmp_path}/other.db"
    assert (found.smtp_username, found.smtp_port, found.log_level) == ("mailer@example.com", 25, "INFO")


def test_a_setting_and_its_file_in_one_place_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / "url").write_text("sqlite:///other.db")
    (tmp_path / ".env").write_text("DATABASE_URL_FILE=url\nDATABASE_URL=sqlite:///a.db\n")
    with pytest.raises(ConfigurationError, match=r"DATABASE_URL_FILE in \.env: DATABASE_URL is set as well"):
        load_settings()
    # The environment goes before the file, even if the file has the setting under its name with `_FILE`.
    (tmp_path / ".env").write_text("DATABASE_URL_FILE=url\n")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///b.db")
    assert load_settings().database_url == "sqlite:///b.db"


@pytest.mark.parametrize(
    "line",
    ["REGISTRATION_OPEN: false", 'SMTP_PASSWORD="a-secret', "=x", "TWO WORDS=x", "A='it''s'", 'A="x" y'],
)
def test_a_line_of_the_env_file_that_can_not_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(f"# A comment\r\n\r\nexport SMTP_PORT=25\r\n\r\n{line}\r\n".encode())
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert str(refused.value) == ".env: line 5 can't be read: it must be NAME=value"


@pytest.mark.parametrize("name", ["LOG_LEVEL", "SMTP_PORT", "TRUSTED_PROXIES", "ROOT_PATH"])
def test_a_value_from_a_file_is_never_shown_whatever_setting_it_was_given_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "key").write_text("a-secret-that-was-meant-for-something-else")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigurationError, match=name) as refused:
        load_settings()
    assert "meant-for" not in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", pytest.param(None, marks=pytest.mark.thorough)])
def test_an_env_file_that_can_not_be_read_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is None:
        (tmp_path / ".env").symlink_to(".env")
    else:
        (tmp_path / ".env").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^\.env: can't be read: .*$"):
        load_settings()


def test_a_name_that_is_nearly_a_settings_is_warned_of_and_its_value_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TRUSTED_PROXY=10.0.0.1\nWEB_CONCURRENCY=4\nLISTEN=8000\n")
    given = {
        "REGISTRATON_OPEN": "false",
        "SECRETKEY": "hidden",
        "SMTP_HOST": "mail",
        "HOME": "/",
        "REDIS_PORT": "1",
    }
    ended = start(tmp_path, "import config; print(*config.settings_warnings(), sep='\\n')", **given)
    assert re.findall(
        r"^(\w+)(?: in \.env)? is no.*?(\w*)(?: may be meant)?$", ended.stdout, re.MULTILINE
    ) == [
        ("REGISTRATON_OPEN", "REGISTRATION_OPEN"),
        ("SECRETKEY", "SECRET_KEY"),
        ("SMTP_HOST", "SMTP_SERVER"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("WEB_CONCURRENCY", "environment"),
    ]
    assert "hidden" not in ended.stdout


def test_origins_are_put_as_browsers_write_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "CORS_ORIGINS", "HTTPS://App.Example.COM:443/, http://[::1]:80, https://b\xfccher.example:8443"
    )
    assert load_settings().cors_origins == [
        "https://app.example.com",
        "http://[::1]",
        "https://xn--bcher-kva.example:8443",
    ]


def test_mail_in_production_needs_a_public_url_and_a_sender(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", os.urandom(32).hex())
    assert load_settings().smtp_server is None
    monkeypatch.setenv("SMTP_SERVER", "mail.example.com")
    with pytest.raises(ConfigurationError, match=r"^PUBLIC_URL: must be set"):
        load_settings()
    monkeypatch.setenv("PUBLIC_URL", "https://tasks.example.com/")
    monkeypatch.setenv("SMTP_USERNAME", "apikey")
    with pytest.raises(ConfigurationError, match=r"^SMTP_FROM: must be set"):
        load_settings()
    monkeypatch.setenv("SMTP_FROM", "Task Platform <tasks@example.com>")
    assert load_settings().public_url == "https://tasks.example.com"


def test_the_root_path_comes_from_the_public_url_and_gets_into_its_links(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://example.com/tasks-api/")
    assert load_settings().root == "/tasks-api"
    monkeypatch.setenv("ROOT_PATH", "/")
    assert load_settings().root == ""
    monkeypatch.setenv("ROOT_PATH", "/other/")
    monkeypatch.setenv("PUBLIC_URL", "https://example.com")
    assert (load_settings().root, load_settings().public_url) == ("/other", "https://example.com/other")


def test_a_key_that_can_not_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = start(tmp_path, DATA_DIR="file")
    assert "ConfigurationError: DATA_DIR: the key in " in ended.stderr.splitlines()[-1]
