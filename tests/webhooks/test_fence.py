"""The fence connects to exactly the address that it has checked."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from config import settings
from configuration.addresses import networks
from services.webhooks import sending
from services.webhooks.secret import make
from services.webhooks.sending import Letter, Result
from tests.support.receiver import Receiver, receiver


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as listening:
        yield listening
        sending.connections.close()


def sent(url: str) -> Result:
    return sending.send(Letter(1, 0, dt.datetime.now(dt.UTC), url, [make()], "msg_1", b"{}"))


def names(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> list[str]:
    """Have names resolve to these addresses, one answer after the other; returns the list of asked names."""
    real, asked = socket.getaddrinfo, []

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in answers:
            return real(host, port, *arguments, **options)
        asked.append(host)
        found = answers[host]
        address = found.pop(0) if len(found) > 1 else found[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in address.split()]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_leads_inside_is_not_connected_to(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, rebound=["127.0.0.1"], half=["10.0.0.1 127.0.0.1"])
    for host in ("rebound", "half", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433"):
        result = sent(f"http://{host}:{hook.port}/")
        assert (result.status_code, result.error) == (None, "The host's address is not public"), host
    assert hook.received == []


def test_a_name_is_resolved_once_so_that_no_second_answer_counts(
    hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.1/32"))
    # A second answer would lead to an address that is not allowed, and a third one back to the first.
    asked = names(monkeypatch, rebinding=["127.0.0.1", "127.0.0.2", "127.0.0.1"])
    assert sent(f"http://rebinding:{hook.port}/").status_code == 200
    assert asked == ["rebinding"]
    (received,) = hook.received
    assert received.headers["host"] == f"rebinding:{hook.port}"
    sending.connections.close()
    assert sent(f"http://rebinding:{hook.port}/").error == "The host's address is not public"
    assert len(hook.received) == 1


def test_proxies_of_the_environment_are_not_used(hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", hook.url)
    monkeypatch.setenv("ALL_PROXY", hook.url)
    assert sent("http://nowhere.invalid/").error == "The host's name can't be resolved"
    assert hook.received == []


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8"))
    names(monkeypatch, **{"hooks.example.com": ["127.0.0.1"]})
    context = certificate(tmp_path, "hooks.example.com")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as connection, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(connection, server_side=True).recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = sent(f"https://hooks.example.com:{listener.getsockname()[1]}/")
        thread.join(5)
    assert result.status_code is None
    assert "CERTIFICATE_VERIFY_FAILED" in str(result.error)
    sending.connections.close()
