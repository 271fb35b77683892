"""One tree of errors. Callers branch on the middle of it, never on a message.

`Refused`: the input is wrong and sending it again will fail again. `Unavailable`: the input may be
fine and should be sent again later. `Fenced`: somebody else owns the work now. A bug is none of
these; it is an assertion. No error holds a secret or more than a few bytes of a payload.
"""

from typing import Final

SHOWN_BYTES_MAX: Final = 32
"""How much of a payload an error quotes."""


class MainstemError(Exception):
    """Anything that Mainstem says went wrong; its text is one sentence that says what to do."""

    code: str = "failed"
    """A stable slug for machines, the last part of a problem+json type."""


class Refused(MainstemError):
    """The input is wrong; sending it again will fail again."""

    code = "refused"


class BadEvent(Refused):
    """A payload that is no event of ours; it goes to the dead letters as it came."""

    code = "bad-event"

    def __init__(self, *, reason: str, payload: bytes) -> None:
        self.reason = reason
        self.payload = payload
        shown = payload[:SHOWN_BYTES_MAX]
        super().__init__(f"not an event: {reason} ({len(payload)} bytes, starts {shown!r})")


class UnknownEvent(BadEvent):
    """A payload whose type is not one we know; it goes to the dead letters as it came."""

    code = "unknown-event"


class BadBody(Refused):
    """A request body that cannot be read as what its type says it is."""

    code = "bad-body"


class TooLarge(Refused):
    """More than a limit allows; the message names the limit."""

    code = "too-large"


class UnsupportedMediaType(Refused):
    """A content type or encoding that this address does not take."""

    code = "unsupported-media-type"


class Unauthenticated(Refused):
    """No token, or one that is not valid."""

    code = "unauthenticated"


class Forbidden(Refused):
    """A valid token without the right that this needs."""

    code = "forbidden"


class NotFound(Refused):
    """Something that is named and does not exist."""

    code = "not-there"


class Conflict(Refused):
    """It does not fit what there is by now; look at that first."""

    code = "conflict"


class PreconditionFailed(Refused):
    """What was asked for on a condition that does not hold any more."""

    code = "precondition-failed"


class BadSetting(Refused):
    """A setting that has no meaning; the process does not start with it."""

    code = "bad-setting"


class MissingPart(Refused):
    """Something that has to be installed first; the message says what and how."""

    code = "missing-part"


class Unavailable(MainstemError):
    """It did not work now and may work later; nothing was acknowledged."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_ms: int = 1_000) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(message)


class BrokerAway(Unavailable):
    """The broker did not acknowledge in time."""

    code = "broker-away"


class ProducerFull(Unavailable):
    """More is waiting for the broker than the limit allows."""

    code = "producer-full"


class StoreAway(Unavailable):
    """The store did not answer, or is in recovery."""

    code = "store-away"


class Fenced(MainstemError):
    """Somebody else owns this partition now; the work done for it must be thrown away."""

    code = "fenced"
