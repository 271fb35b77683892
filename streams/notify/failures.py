"""Why an attempt to send failed: a word for later, or a word for never.

Neither holds an address, a header, a body or an answer: all of them may hold secrets.
"""

from analytics.contracts.errors import Refused, Unavailable


class ReceiverAway(Unavailable):
    """It may work later; `retry_after_ms` is what the receiver asked for, 0 if nothing."""

    code = "receiver-away"

    def __init__(self, message: str, *, retry_after_ms: int = 0) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms)


class ReceiverRefused(Refused):
    """It would fail again."""

    code = "receiver-refused"
