"""Secrets of receivers: written in the routing file, or read from the file that it names.

Files are read from one folder only, which a setting names: whoever may write routing files could
otherwise have any file of this machine sent to an address of theirs. They are read at each attempt,
so that a secret can be changed.
"""

from pathlib import Path
from typing import Final

from analytics.alerts.notify.receivers import Integration
from streams.notify.failures import ReceiverRefused

SECRET_BYTES_MAX: Final = 65_536


class Credentials:
    """The secrets of integrations; `folder` is where files may lie, None is nowhere."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()

    def of(self, integration: Integration, *names: str) -> str:
        """Return the first of some settings that is given, here or in a file; empty if none is."""
        for name in names:
            given = integration.secrets.get(name) or integration.settings.get(name)
            if given:
                return given
            file = integration.settings.get(f"{name}_file")
            if file:
                return self._read(file, name)
        return ""

    def path(self, file: str) -> Path | None:
        """Return where a named file lies, None for no name; raise `ReceiverRefused`."""
        if not file:
            return None
        if self._folder is None:
            raise ReceiverRefused(
                "the routing names a file: set MAINSTEM_STREAMS_NOTIFY_FILES to the folder it is in"
            )
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):
            raise ReceiverRefused(
                "a file of the routing lies outside MAINSTEM_STREAMS_NOTIFY_FILES"
            )
        return path

    def _read(self, file: str, name: str) -> str:
        path = self.path(file)
        assert path is not None
        try:
            with path.open("rb") as opened:
                text = opened.read(SECRET_BYTES_MAX).decode("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ReceiverRefused(f"the file of {name}_file cannot be read") from None
        if not text:
            raise ReceiverRefused(f"the file of {name}_file is empty")
        return text
