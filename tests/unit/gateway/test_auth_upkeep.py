"""Keys and revocations kept fresh: fetched, read from files, and kept while both fail."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import SecretStr

from analytics.contracts.errors import BadSetting, Unauthenticated
from gateway import metrics
from gateway.http.auth import Verifier
from gateway.http.auth_keys import KeysPending
from gateway.http.auth_refresh import RefreshedVerifier, verifier_of
from tests.support.gateway import KEY, NOW_MS, settings, token, until

ISSUER: Final = "https://id.example"
OLD: Final = ECKey.generate_key("P-256", {"kid": "old"})
NEW: Final = ECKey.generate_key("P-256", {"kid": "new"})
SOON: Final[dict[str, Any]] = {
    "token_issuer": ISSUER,
    "token_keys_seconds": 0.02,
    "token_keys_cooldown_seconds": 0.01,
    "revoked_seconds": 0.01,
}

pytestmark = pytest.mark.requirement("keys-rotate")


def _token(key: ECKey) -> str:
    claims = {"iss": ISSUER, "aud": "mainstem-gateway", "tenant": "acme", "sub": "ada"}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def _jwks(*keys: ECKey) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def _http(body: bytes, *, head: str = "200 OK", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {head}\r\nContent-Length: {size}\r\n\r\n".encode() + body


class Issuer:
    """A server that answers every request with the same bytes, and then hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = 0
        self.hangs = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            writer.write(self.answer)
            await writer.drain()
            if self.hangs:
                await reader.read()
        writer.close()


@asynccontextmanager
async def _issuing(answer: bytes) -> AsyncIterator[tuple[Issuer, str]]:
    issuer = Issuer(answer)
    async with await asyncio.start_server(issuer.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield issuer, f"http://127.0.0.1:{port}/keys"


@asynccontextmanager
async def _running(kept: RefreshedVerifier) -> AsyncIterator[Verifier]:
    running = [asyncio.ensure_future(run()) for run in kept.tasks]
    try:
        yield kept.verifier
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _takes(verifier: Verifier, key: ECKey) -> Callable[[], bool]:
    def takes() -> bool:
        try:
            verifier.verify(_token(key), now_ms=NOW_MS)
        except (KeysPending, Unauthenticated):
            return False
        return True

    return takes


async def test_keys_are_fetched_and_change_with_those_of_the_issuer() -> None:
    async with (
        _issuing(_http(_jwks(OLD))) as (issuer, url),
        _running(verifier_of(settings(token_jwks_url=url, **SOON))) as verifier,
    ):
        await until(_takes(verifier, OLD))
        before = _takes(verifier, NEW)()
        issuer.answer = _http(_jwks(OLD, NEW))
        await until(_takes(verifier, NEW))
        both = _takes(verifier, OLD)()
        issuer.answer = _http(_jwks(NEW))
        await until(lambda: not _takes(verifier, OLD)())

    assert (before, both) == (False, True)


async def test_a_key_that_is_not_known_is_fetched_at_once_and_not_when_it_is_due() -> None:
    far = {**SOON, "token_keys_seconds": 3_600}
    async with (
        _issuing(_http(_jwks(OLD))) as (issuer, url),
        _running(verifier_of(settings(token_jwks_url=url, **far))) as verifier,
    ):
        await until(_takes(verifier, OLD))
        issuer.answer = _http(_jwks(OLD, NEW))
        await until(_takes(verifier, NEW))

    assert issuer.asked == 2


FAILURES: Final = {
    "an error": _http(b"later", head="503 Later"),
    "a way elsewhere": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n",
    "a way into a file": b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
    "a torn head": b"HTTP/1.1 200",
    "a torn body": _http(_jwks(OLD)[:40], length=4_000),
    "a torn chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
    "very many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "no JSON": _http(b"<html>"),
    "no keys": _http(b"{}"),
    "deep JSON": _http(b"[" * 5_000),
    "too much": _http(b" " * 70_000 + _jwks(NEW)),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_keys_are_kept_while_their_address_fails_and_change_afterwards(
    failure: bytes,
) -> None:
    async with _issuing(_http(_jwks(OLD))) as (issuer, url):
        kept = verifier_of(settings(token_jwks_url=url, token_keys_bytes_max=65_536, **SOON))
        async with _running(kept) as verifier:
            await until(_takes(verifier, OLD))
            issuer.answer, asked = failure, issuer.asked
            await until(lambda: issuer.asked >= asked + 3)
            still = _takes(verifier, OLD)()
            issuer.answer = _http(_jwks(NEW))
            await until(_takes(verifier, NEW))

    assert still


async def test_an_address_that_never_ends_is_given_up() -> None:
    async with _issuing(_http(_jwks(OLD))) as (issuer, url):
        kept = verifier_of(settings(token_jwks_url=url, token_keys_timeout_seconds=0.1, **SOON))
        async with _running(kept) as verifier:
            await until(_takes(verifier, OLD))
            issuer.answer, issuer.hangs, asked = _http(b"{", length=99), True, issuer.asked
            await until(lambda: issuer.asked >= asked + 2)
            still = _takes(verifier, OLD)()
            issuer.answer, issuer.hangs = _http(_jwks(NEW)), False
            await until(_takes(verifier, NEW))

    assert still


async def test_keys_that_are_too_old_are_dropped() -> None:
    async with _issuing(_http(_jwks(OLD))) as (issuer, url):
        kept = verifier_of(settings(token_jwks_url=url, token_keys_age_seconds_max=0.2, **SOON))
        async with _running(kept) as verifier:
            await until(_takes(verifier, OLD))
            issuer.answer = _http(b"", head="503 Later")
            await until(lambda: not _takes(verifier, OLD)())


async def test_a_file_of_keys_is_read_again_and_kept_while_it_is_spoilt(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(_jwks(OLD))
    async with _running(verifier_of(settings(token_public_keys_file=file, **SOON))) as verifier:
        at_once = _takes(verifier, OLD)()
        file.write_bytes(b"{")
        failed = metrics.KEYS_FETCHED.labels("failed")._value.get
        before = failed()
        await until(lambda: failed() >= before + 2)
        spoilt = _takes(verifier, OLD)()
        file.write_bytes(_jwks(NEW))
        await until(_takes(verifier, NEW))
        gone = not _takes(verifier, OLD)()

    assert (at_once, spoilt, gone) == (True, True, True)


async def test_a_list_of_revoked_tokens_is_read_again_and_kept_while_it_is_spoilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "revoked.json"
    file.write_text("{}")
    kept = verifier_of(settings(token_key=SecretStr(KEY.decode()), revoked_file=file, **SOON))

    def taken() -> bool:
        try:
            kept.verifier.verify(token(), now_ms=NOW_MS)
        except Unauthenticated:
            return False
        return True

    async with _running(kept):
        before = taken()
        file.write_text(json.dumps({"users": [{"tenant": "acme", "before_ms": NOW_MS + 1_000}]}))
        await until(lambda: not taken())
        file.write_text("{ spoilt")
        await until(lambda: "revoked tokens not read" in caplog.text)
        spoilt = taken()
        file.write_text("{}")
        await until(taken)

    assert (before, spoilt) == (True, False)


@pytest.mark.parametrize("name", ["token_public_keys_file", "revoked_file"])
@pytest.mark.parametrize("text", [None, "{ spoilt"], ids=["missing", "spoilt"])
def test_a_file_that_cannot_be_read_at_the_start_stops_it(
    tmp_path: Path, name: str, text: str | None
) -> None:
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text)

    with pytest.raises(BadSetting):
        verifier_of(settings(token_key=SecretStr(KEY.decode()), **{name: file}))
