"""Logs of our processes: constant text, then its fields as `key=value`, one line a record.

Fields are what callers pass as `extra`. Values that hold a space, a quote or a line break are
written as JSON text, so that a line is always one record and always splits the same way.
"""

import json
import logging
from collections.abc import Iterable
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"

VALUE_LENGTH_MAX: Final = 512
"""Characters of one field's value that a line shows."""

_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """Writes a record as text with its fields behind it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's own name)
        """Return the line of `record`, without its traceback."""
        fields = "".join(
            f" {name}={_shown(value)}"
            for name, value in record.__dict__.items()
            if name not in _OWN
        )
        return super().formatMessage(record) + fields


def log_to_stderr(*, level: int = logging.INFO, quiet: Iterable[str] = ()) -> None:
    """Send the logs of this process to stderr; those of `quiet` libraries only when critical."""
    handler = logging.StreamHandler()
    handler.setFormatter(FieldsFormatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    for name in quiet:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _shown(value: object) -> str:
    shown = str(value)[:VALUE_LENGTH_MAX]
    plain = shown.isprintable() and not any(mark in shown for mark in ' "=')
    return shown if plain and shown else json.dumps(shown)
