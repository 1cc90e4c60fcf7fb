"""Settings: each documented, each wrong value refused in one line that names it, each secret kept."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config import SECRET_SETTINGS, ConfigurationError, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| `([A-Z_]+)` \|(.*?)\|.*$", re.MULTILINE)
# Where the default is no plain value, what the table says in its place.
SAID = {
    "DATABASE_URL": "`sqlite:///./tasks.db`",
    "DATA_DIR": "the working directory",
    "CACHE_DIR": "the working directory",
    "SECRET_KEY": "made once, kept in `DATA_DIR`",
    "SMTP_FROM": "`SMTP_USERNAME`",
}


@pytest.mark.parametrize("page", ["README.md", "docs/settings.md"])
def test_the_documentation_lists_every_setting_with_its_default(page: str) -> None:
    table = (ROOT / page).read_text().partition("| setting | default |")[2].partition("\n\n")[0]
    listed = {name: default.strip() for name, default in ROW.findall(table)}
    expected = {}
    for field, info in Settings.model_fields.items():
        name, default = field.upper(), info.default
        if name in SAID:
            expected[name] = SAID[name]
        elif default is None or default == []:
            expected[name] = ""
        elif isinstance(default, list):
            expected[name] = f"`{','.join(default)}`"
        elif isinstance(default, bool):
            expected[name] = f"`{str(default).lower()}`"
        else:
            expected[name] = f"`{default}`"
    assert listed == expected


def test_the_example_file_names_settings_only() -> None:
    names = re.findall(r"^#? ?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert names
    assert {name.lower() for name in names} <= set(Settings.model_fields)


def start(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Import the settings, as every start of the program does, and print the key."""
    code = "import config; print(config.settings.signing_key())"
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
        ("DATABASE_POOL_SIZE", "0"),
        ("BCRYPT_ROUNDS", "3"),
        ("ACCESS_TOKEN_EXPIRE_MINUTES", "soon"),
        ("REDIS_URL", "http://localhost"),
        ("SMTP_PORT", "99999"),
        ("SMTP_SECURITY", "ssl"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("TRUSTED_PROXIES", "my-proxy"),
        ("FIRST_ADMIN_EMAIL", "nonsense"),
        ("SECRET_KEY_FILE", "/does/not/exist"),
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


def test_a_wrong_value_stops_the_start_with_that_line(tmp_path: Path) -> None:
    ended = start(tmp_path, BCRYPT_ROUNDS="many")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "BCRYPT_ROUNDS" in ended.stderr


@pytest.mark.parametrize("key", ["", "secret", "a" * 64, "short-but-random-8f7a", "changeme"])
def test_production_refuses_a_missing_known_or_short_key_and_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("SECRET_KEY", key)
    with pytest.raises(ConfigurationError, match="SECRET_KEY") as refused:
        load_settings()
    assert not key or key not in str(refused.value)


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
        for _ in range(3)
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


def test_a_kept_key_that_is_empty_or_cut_off_is_not_signed_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        load_settings().signing_key()


def test_every_secret_is_a_setting() -> None:
    assert {name.lower() for name in SECRET_SETTINGS} <= set(Settings.model_fields)
