"""Mail by STARTTLS, by TLS and in plain, with and without a login, to a server that requires them."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from config import settings
from services.email_service import Mail, mail_server
from tests.support.mail import MailCatcher, mail_catcher

LOGIN = ("mailer", "pass wörd")
# These tests ask the server for a login without TLS, of which it warns.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 with its key, which nobody trusts unless told to."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("mail") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the certificate, as an operator with an authority of their own would."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def with_login() -> dict[str, Any]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        is_right = (given.login.decode(), given.password.decode()) == LOGIN
        # `handled=False` has the server itself answer the client.
        return AuthResult(success=is_right, handled=False)

    return {"authenticator": check, "auth_required": True, "auth_require_tls": False}


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that sends one mail to the catcher with these settings."""

    def send(catcher: MailCatcher, security: str, login: tuple[str, str] | None = None) -> None:
        for name, value in {
            "smtp_server": "127.0.0.1",
            "smtp_port": catcher.port,
            "smtp_security": security,
            "smtp_from": "tasks@example.com",
            "smtp_username": login and login[0],
            "smtp_password": login and SecretStr(login[1]),
            "smtp_timeout_seconds": 30.0,
        }.items():
            monkeypatch.setattr(settings, name, value)
        asyncio.run(attempt())

    async def attempt() -> None:
        try:
            async with mail_server() as server:
                await server.send(Mail("ada@example.com", "Hello", "Text", "<p>Text</p>"))
        finally:
            # A closed connection ends a little later. The loop of a real server lives long enough for this.
            await asyncio.sleep(0.1)

    return send


@pytest.mark.usefixtures("trusted_certificate")
@pytest.mark.parametrize("login", [None, LOGIN], ids=["no login", "login"])
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_a_mail_arrives(
    security: str, login: tuple[str, str] | None, server_tls: ssl.SSLContext, send: Callable[..., None]
) -> None:
    options: dict[str, Any] = with_login() if login else {}
    if security == "starttls":
        options |= {"tls_context": server_tls, "require_starttls": True}
    elif security == "tls":
        options["ssl_context"] = server_tls
    with mail_catcher(**options) as catcher:
        send(catcher, security, login)
        (mail,) = catcher.wait_for(1)
    assert (mail["To"], mail["From"], mail["Subject"]) == ("ada@example.com", "tasks@example.com", "Hello")
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.usefixtures("trusted_certificate")
@pytest.mark.parametrize("login", [None, ("mailer", "wrong"), ("nobody", LOGIN[1])])
def test_a_login_that_is_refused_is_an_error(
    login: tuple[str, str] | None, server_tls: ssl.SSLContext, send: Callable[..., None]
) -> None:
    with mail_catcher(**with_login(), ssl_context=server_tls) as catcher:
        with pytest.raises(aiosmtplib.SMTPException):
            send(catcher, "tls", login)
        assert catcher.mails == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_refused(
    security: str, server_tls: ssl.SSLContext, send: Callable[..., None]
) -> None:
    options = {"tls_context" if security == "starttls" else "ssl_context": server_tls}
    with mail_catcher(**options) as catcher:
        with pytest.raises((aiosmtplib.SMTPException, OSError)):
            send(catcher, security)
        assert catcher.mails == []


def test_a_server_that_knows_no_starttls_is_not_sent_the_mail_in_plain(send: Callable[..., None]) -> None:
    with mail_catcher() as catcher:
        with pytest.raises(aiosmtplib.SMTPException):
            send(catcher, "starttls", LOGIN)
        assert catcher.mails == []
