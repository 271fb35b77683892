"""TLS: a gateway with a certificate of its own, and clients that have to show one."""

import datetime as dt
import json
import ssl
from pathlib import Path
from typing import Final

import httpx
import pytest
import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct
from pydantic import SecretStr

from tests.integration.gateway.conftest import Start
from tests.support.publisher_memory import MemoryPublisher

PASSWORD: Final = "between us"
DAY: Final = dt.timedelta(days=1)

pytestmark = pytest.mark.requirement("tls-served")


class Pair(Struct, frozen=True):
    """A certificate that vouches for itself, and its key, as files."""

    certificate: Path
    key: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        """A client that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def showing(self, other: "Pair") -> ssl.SSLContext:
        """Return a client that trusts this certificate and shows another."""
        context = self.trusting
        context.load_cert_chain(str(other.certificate), str(other.key), PASSWORD)
        return context


def _pair(folder: Path, name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    return pair


@pytest.fixture
def ours(tmp_path: Path) -> Pair:
    return _pair(tmp_path, "gateway")


def _served(pair: Pair, **more: object) -> dict[str, object]:
    return {
        "tls_certificate_file": pair.certificate,
        "tls_key_file": pair.key,
        "tls_key_password": SecretStr(PASSWORD),
        **more,
    }


async def test_http_and_sockets_are_served_over_tls(start: Start, ours: Pair, bearer: str) -> None:
    async with start(MemoryPublisher(), **_served(ours)) as running:
        async with httpx.AsyncClient(verify=ours.trusting) as http:
            live = await http.get(f"https://localhost:{running.port}/health/live")
        url = f"wss://localhost:{running.port}/connection/websocket"
        async with websockets.connect(url, ssl=ours.trusting, proxy=None) as socket:
            await socket.send(json.dumps({"id": 1, "connect": {"token": bearer}}))
            answer = json.loads(await socket.recv())
            connection = socket.transport.get_extra_info("ssl_object")
            version = connection.version()

    assert live.json() == {"live": True}
    assert answer["connect"]["client"]
    assert version == "TLSv1.3"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_who_speaks_plain_or_trusts_another_or_is_old_is_not_served(
    start: Start, ours: Pair, tmp_path: Path
) -> None:
    old = ours.trusting
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    another = _pair(tmp_path, "another").trusting

    async with start(MemoryPublisher(), **_served(ours)) as running:
        async with httpx.AsyncClient() as http:
            with pytest.raises(httpx.TransportError):
                await http.get(running.url)
        for context in (old, another):
            async with httpx.AsyncClient(verify=context) as http:
                with pytest.raises(httpx.ConnectError):
                    await http.get(f"https://localhost:{running.port}/health/live")


async def test_clients_may_have_to_show_a_certificate(
    start: Start, ours: Pair, tmp_path: Path
) -> None:
    friend, stranger = _pair(tmp_path, "friend"), _pair(tmp_path, "stranger")
    asked = _served(ours, tls_client_ca_file=friend.certificate)

    async with start(MemoryPublisher(), **asked) as running:
        url = f"https://localhost:{running.port}/health/live"
        async with httpx.AsyncClient(verify=ours.showing(friend)) as http:
            known = await http.get(url)
        for context in (ours.trusting, ours.showing(stranger)):
            async with httpx.AsyncClient(verify=context) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get(url)

    assert known.status_code == 200
