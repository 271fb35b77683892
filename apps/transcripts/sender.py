"""Events to a running gateway over HTTP, in bounded batches, each answered before the next.

A gateway that asks to wait is waited for, within named limits; what it refuses for good is counted
with the reason. Every event keeps its id, so sending a batch again is harmless.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from analytics.contracts import events
from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.errors import (
    MissingPart,
    Refused,
    Unauthenticated,
    Unavailable,
)
from gateway.kafka.publisher import Receipt, Status

if TYPE_CHECKING:
    import httpx

PATH: Final = "/v1/events"
BATCH_EVENTS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 1_048_576
ATTEMPTS_MAX: Final = 8
"""How often a batch is sent before the import gives up."""
WAIT_MAX_S: Final = 10.0
"""The longest wait between two attempts, whatever the gateway asks for."""
ANSWER_MAX_S: Final = 60.0
REASONS_MAX: Final = 20
"""Different reasons of refusal that are told; further ones are counted together."""

Post = Callable[[Sequence[bytes]], list[Receipt]]
"""Sends a batch of events as JSON and returns a verdict each."""


class Sent(Struct):
    """What became of the events."""

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All events that were answered."""
        return self.accepted + self.duplicate + self.refused

    def count(self, verdict: Receipt) -> None:
        """Add one answer."""
        match verdict.status:
            case Status.ACCEPTED:
                self.accepted += 1
            case Status.DUPLICATE:
                self.duplicate += 1
            case Status.REFUSED:
                self.refused += 1
                known = verdict.reason in self.reasons or len(self.reasons) < REASONS_MAX
                reason = verdict.reason if known else "others"
                self.reasons[reason] = self.reasons.get(reason, 0) + 1


class Outbox:
    """Holds events until they are a batch; `sent` is what became of those that left."""

    def __init__(self, post: Post) -> None:
        self.sent = Sent()
        self._post = post
        self._waiting: list[bytes] = []
        self._bytes = 0

    def put(self, given: Sequence[AgentEvent]) -> None:
        """Take events; send a batch whenever one is full."""
        for event in given:
            payload = events.encode(event)
            if self._bytes + len(payload) > BATCH_BYTES_MAX:
                self.flush()
            self._waiting.append(payload)
            self._bytes += len(payload)
            if len(self._waiting) >= BATCH_EVENTS_MAX:
                self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        batch, self._waiting, self._bytes = self._waiting, [], 0
        for verdict in self._post(batch):
            self.sent.count(verdict)


_TOO_LARGE: Final = Receipt(
    id="", status=Status.REFUSED, reason="an event larger than a body may be"
)


class _Answer(Struct):
    results: list[Receipt] = field(default_factory=list)
    detail: str = ""


class GatewayClient:
    """Posts batches to a gateway; close it after use."""

    def __init__(
        self, url: str, token: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingPart(
                "importing needs httpx; install it with `pip install 'mainstem[local]'`"
            ) from error
        self._url = url.rstrip("/")
        self._sleep = sleep
        self._client: httpx.Client = httpx.Client(
            base_url=self._url,
            timeout=ANSWER_MAX_S,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"},
        )

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def post(self, batch: Sequence[bytes]) -> list[Receipt]:
        """Return a verdict an event; what may be sent again is, until the attempts are used up."""
        settled: dict[int, Receipt] = {}
        waiting = list(range(len(batch)))
        for attempt in range(ATTEMPTS_MAX):
            answers, wait_s = self._try([batch[index] for index in waiting])
            settled |= dict(zip(waiting, answers, strict=False))
            waiting = [
                index
                for index in waiting
                if index not in settled or settled[index].retry_after_ms is not None
            ]
            if not waiting:
                break
            if attempt + 1 < ATTEMPTS_MAX:
                self._sleep(min(max(wait_s, 0.1 * 2**attempt), WAIT_MAX_S))
        if len(settled) < len(batch):
            raise Unavailable(
                f"the gateway at {self._url!r} takes no events now; see `mainstem doctor`, then"
                " import again: nothing counts twice"
            )
        return [settled[index] for index in range(len(batch))]

    def _try(self, batch: Sequence[bytes]) -> tuple[list[Receipt], float]:
        """Return the answers there are, and how long the gateway asks to wait."""
        import httpx

        try:
            response = self._client.post(PATH, content=b"\n".join(batch))
        except httpx.ConnectError as error:
            raise Unavailable(
                f"no gateway answers at {self._url!r}; start it with `mainstem up` or name one with"
                " --gateway"
            ) from error
        except httpx.HTTPError:
            return [], 1.0
        if response.status_code == 413:
            return self._halves(batch) if len(batch) > 1 else ([_TOO_LARGE], 0.0)
        return self._read(response)

    def _halves(self, batch: Sequence[bytes]) -> tuple[list[Receipt], float]:
        middle = len(batch) // 2
        first, first_wait_s = self._try(batch[:middle])
        if len(first) < middle:
            return first, first_wait_s
        second, second_wait_s = self._try(batch[middle:])
        return first + second, max(first_wait_s, second_wait_s)

    def _read(self, response: "httpx.Response") -> tuple[list[Receipt], float]:
        answer = _decoded(response.content)
        if response.status_code == 200:
            waits = [verdict.retry_after_ms or 0 for verdict in answer.results]
            return answer.results, max(waits, default=0) / 1000
        if response.status_code in {401, 403}:
            raise Unauthenticated(
                f"the gateway at {self._url!r} does not take this token; name another with"
                " --token-file"
            )
        if response.status_code in {429, 502, 503, 504}:
            return answer.results, _seconds(response.headers.get("Retry-After", ""))
        said = answer.detail or response.reason_phrase
        raise Refused(
            f"the gateway at {self._url!r} refused a batch with {response.status_code}: {said}"
        )


def _decoded(body: bytes) -> _Answer:
    try:
        return msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Answer()


def _seconds(header: str) -> float:
    return float(header) if header.isascii() and header.isdigit() else 1.0
