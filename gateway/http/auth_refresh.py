"""Keys and revocations kept fresh: read from files and fetched from an address, beside the work.

What cannot be read at the start stops the process; later the last good state is kept, which is
logged (and of keys counted), and fetched keys are dropped once they are older than the limit. A
fetch follows no redirect, has a time and a size, and no two begin within the cooldown.
"""

import asyncio
import http.client
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from analytics.contracts.errors import BadSetting, MainstemError, Unavailable
from gateway import metrics
from gateway.http.auth import ISSUER, TokenPolicy, Verifier
from gateway.http.auth_keys import Key, Keyring, read_keys, secret
from gateway.http.auth_revoked import Revoked, read_revoked
from gateway.http.settings import HttpSettings, signing_key

CHUNK_BYTES: Final = 65_536
REVOKED_BYTES_A_ENTRY: Final = 2_048

log = logging.getLogger(__name__)

Fetch = Callable[[], Awaitable[bytes]]


class RefreshedVerifier(Struct, frozen=True, kw_only=True):
    """A verifier, and what has to run beside it for its keys to be true."""

    verifier: Verifier
    tasks: Sequence[Callable[[], Awaitable[None]]]


def verifier_of(settings: HttpSettings) -> RefreshedVerifier:
    """Return the verifier that settings ask for; raise `BadSetting` if its files are no good."""
    has_public = settings.token_public_keys_file or settings.token_jwks_url
    named = settings.token_key or settings.token_key_file
    fixed = [secret(signing_key(settings), issuer=ISSUER)] if named or not has_public else []
    ring = Keyring(
        fixed,
        rotates=bool(has_public),
        cooldown_ms=int(settings.token_keys_cooldown_seconds * 1_000),
    )
    verifier = Verifier(
        ring,
        cached_max=settings.tokens_cached_max,
        policy=TokenPolicy(
            audience=settings.token_audience, tenant_claim=settings.token_tenant_claim
        ),
    )
    tasks: list[Callable[[], Awaitable[None]]] = []
    if has_public:
        keys = KeysKept(ring, settings)
        keys.read_file()
        tasks.append(keys.run)
    if settings.revoked_file is not None:
        kept = RevokedKept(verifier, settings.revoked_file, settings)
        kept.look(kept.read())
        tasks.append(kept.run)
    return RefreshedVerifier(verifier=verifier, tasks=tasks)


class KeysKept:
    """Fetches the rotating keys when they are due, or when one is asked for."""

    def __init__(self, ring: Keyring, settings: HttpSettings) -> None:
        self._ring = ring
        self._sources = _sources(settings)
        self._settings = settings
        self._wanted = asyncio.Event()
        self._good: dict[int, tuple[float, list[Key]]] = {}
        ring.wake = self._wanted.set

    def read_file(self) -> None:
        """Take the keys of the file, if there is one; raise `BadSetting` if it is no good."""
        path = self._settings.token_public_keys_file
        if path is not None:
            data = _read_file(path, self._settings.token_keys_bytes_max)
            self._take(0, data)
            self._ring.replace(self._good[0][1], fetch=self._ring.begin())

    async def run(self) -> None:
        """Fetch until cancelled."""
        settings = self._settings
        while True:
            self._wanted.clear()
            await self.fetch()
            await asyncio.sleep(settings.token_keys_cooldown_seconds)
            rest_s = max(0.0, settings.token_keys_seconds - settings.token_keys_cooldown_seconds)
            try:
                async with asyncio.timeout(rest_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def fetch(self) -> None:
        """Fetch once from each source; keep what a source that fails had, within its age."""
        number = self._ring.begin()
        for place, source in enumerate(self._sources):
            try:
                self._take(place, await source())
            except (MainstemError, OSError, ValueError, TimeoutError) as error:
                metrics.KEYS_FETCHED.labels("failed").inc()
                log.warning("keys not fetched", extra={"reason": str(error)})
            else:
                metrics.KEYS_FETCHED.labels("done").inc()
        oldest = time.monotonic() - self._settings.token_keys_age_seconds_max
        self._good = {place: one for place, one in self._good.items() if one[0] >= oldest}
        self._ring.replace((key for _, keys in self._good.values() for key in keys), fetch=number)

    def _take(self, place: int, data: bytes) -> None:
        settings = self._settings
        keys = read_keys(data, issuer=settings.token_issuer, keys_max=settings.token_keys_max)
        self._good[place] = (time.monotonic(), keys)


class RevokedKept:
    """Reads the list of tokens taken back again whenever its file changes."""

    def __init__(self, verifier: Verifier, path: Path, settings: HttpSettings) -> None:
        self._verifier = verifier
        self._path = path
        self._settings = settings
        self._seen: tuple[int, int] = (0, 0)

    def read(self) -> Revoked | None:
        """Return what the file holds if it changed; raise `BadSetting` if it cannot be read."""
        try:
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size)
            if seen == self._seen:
                return None
            entries_max = self._settings.revoked_max
            if found.st_size > entries_max * REVOKED_BYTES_A_ENTRY:
                raise BadSetting(f"{str(self._path)!r} is too large for {entries_max} entries")
            revoked = read_revoked(self._path.read_bytes(), entries_max=entries_max)
        except OSError as error:
            raise BadSetting(
                f"the list of revoked tokens {str(self._path)!r} cannot be read ({error.strerror})"
            ) from error
        self._seen = seen
        return revoked

    def look(self, revoked: Revoked | None) -> None:
        """Hand on what was read."""
        if revoked is not None:
            self._verifier.take_back(revoked)

    async def run(self) -> None:
        """Look at the file until cancelled."""
        while True:
            await asyncio.sleep(self._settings.revoked_seconds)
            try:
                self.look(await asyncio.to_thread(self.read))
            except BadSetting as error:
                log.warning("revoked tokens not read", extra={"reason": str(error)})


def _sources(settings: HttpSettings) -> list[Fetch]:
    sources: list[Fetch] = []
    if (path := settings.token_public_keys_file) is not None:
        sources.append(lambda: asyncio.to_thread(_read_file, path, settings.token_keys_bytes_max))
    if (url := settings.token_jwks_url) is not None:
        sources.append(lambda: _fetch(url, settings))
    return sources


def _read_file(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise BadSetting(
            f"the public keys in {str(path)!r} cannot be read ({error.strerror})"
        ) from error
    if len(data) > bytes_max:
        raise BadSetting(f"the public keys in {str(path)!r} have more than {bytes_max} bytes")
    return data


async def _fetch(url: str, settings: HttpSettings) -> bytes:
    limit_s = settings.token_keys_timeout_seconds
    async with asyncio.timeout(limit_s):
        return await asyncio.to_thread(_download, url, limit_s, settings.token_keys_bytes_max)


def _download(url: str, limit_s: float, bytes_max: int) -> bytes:
    deadline = time.monotonic() + limit_s
    opener = urllib.request.build_opener(_NoRedirect)
    data = b""
    try:
        with opener.open(url, timeout=limit_s) as answer:
            while chunk := answer.read1(CHUNK_BYTES):
                data += chunk
                if len(data) > bytes_max or time.monotonic() > deadline:
                    raise Unavailable(f"the keys at {url!r} are too many bytes or too slow")
    except urllib.error.URLError as error:
        raise Unavailable(f"the keys at {url!r} cannot be fetched ({error.reason})") from error
    except http.client.HTTPException as error:
        raise Unavailable(f"what is at {url!r} does not speak HTTP as it should") from error
    return data


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_given: Any) -> None:  # noqa: ANN401 - urllib
        return None
