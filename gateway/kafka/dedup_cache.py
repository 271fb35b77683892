"""The ids that came lately, so that an event sent twice is known for what it is.

Keyed by tenant and id. An entry is on its way until it is settled; only settled ones are forgotten
when there are too many, since what is on its way is bounded by the publisher's own limits.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Generic, TypeVar

from analytics.contracts.ids import TenantId

Pending = TypeVar("Pending")
TENANTS_KEPT_MAX: Final = 1_024


class Recent(Generic[Pending]):
    """A bounded memory of what was accepted, and of what is on its way."""

    def __init__(self, *, ids_max: int) -> None:
        self.on_accepted: Callable[[bytes], None] = _nothing
        """Told each key that was accepted here."""
        self._ids_max = ids_max
        self._accepted: OrderedDict[bytes, None] = OrderedDict()
        self._pending: dict[bytes, Pending] = {}

    def __len__(self) -> int:
        """Return how many accepted ids are remembered."""
        return len(self._accepted)

    def accepted(self, key: bytes) -> bool:
        """Say whether the event was accepted already."""
        return key in self._accepted

    def pending(self, key: bytes) -> Pending | None:
        """Return what carries the event, if it is on its way."""
        return self._pending.get(key)

    def begin(self, key: bytes, carrier: Pending) -> None:
        """Note that `carrier` is taking the event to the broker."""
        self._pending[key] = carrier

    def settle(self, key: bytes, *, accepted: bool) -> None:
        """Note how it ended; what was not accepted may come again."""
        self._pending.pop(key, None)
        if not accepted:
            return
        self._keep(key)
        self.on_accepted(key)

    def learn(self, keys: Iterable[bytes]) -> None:
        """Take over what others know as accepted, by the same log."""
        for key in keys:
            self._keep(key)

    def forget(self) -> None:
        """Forget what was accepted, because the log that held it is gone."""
        self._accepted.clear()

    def _keep(self, key: bytes) -> None:
        self._accepted[key] = None
        if len(self._accepted) > self._ids_max:
            self._accepted.popitem(last=False)


def _nothing(_key: bytes) -> None:
    return None


def key_of(tenant: TenantId, event_id: str) -> bytes:
    """Return the memory's key for an event: 128 bits over tenant and id."""
    digest = _begun(tenant).copy()
    digest.update(event_id.encode("utf-8", "replace"))
    return digest.digest()


@lru_cache(maxsize=TENANTS_KEPT_MAX)
def _begun(tenant: TenantId) -> "hashlib.blake2b":
    """Return the digest as far as the tenant goes; to copy it takes half of what it takes anew."""
    said = tenant.encode("utf-8", "replace") + b"\0"
    return hashlib.blake2b(said, digest_size=16, person=b"recent")
