"""The folder on this machine that keeps what Mainstem owns: data, secrets, logs, run state.

`MAINSTEM_HOME`, or the platform's data folder for the user. Secrets in it are readable by the user
only. A folder that cannot be used is one `Unusable` sentence.
"""

import os
from pathlib import Path
from typing import Final

from msgspec import Struct
from platformdirs import user_cache_path, user_data_path

from analytics.contracts.errors import Refused

APP: Final = "mainstem"
PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600


class Unusable(Refused):
    """A folder or file that Mainstem cannot work with; the message says which and why."""

    code = "unusable"


class Home(Struct, frozen=True):
    """The data folder and the names in it."""

    root: Path

    @property
    def postgres(self) -> Path:
        """The embedded database's folder."""
        return self.root / "postgres"

    @property
    def kafka(self) -> Path:
        """Apache Kafka's folder, used with `--broker kafka`."""
        return self.root / "kafka"

    @property
    def run(self) -> Path:
        """What belongs to the running stack: lock, state and logs."""
        return self.root / "run"

    @property
    def lock(self) -> Path:
        """The file that a running `up` holds locked."""
        return self.run / "lock"

    @property
    def state(self) -> Path:
        """What a running `up` says of itself."""
        return self.run / "state.json"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.run / "logs"

    @property
    def key(self) -> Path:
        """The secret that signs this machine's tokens."""
        return self.root / "token.key"

    @property
    def record_keys(self) -> Path:
        """The secrets that sign records on a broker that `up` starts."""
        return self.root / "records.key"

    @property
    def token(self) -> Path:
        """The token that this machine's agents present."""
        return self.root / "token"

    @property
    def prices(self) -> Path:
        """The user's own prices, where there are any."""
        return self.root / "prices.yaml"

    @property
    def forwarder(self) -> Path:
        """The program that connected agents run for hooks that speak no HTTP."""
        return self.root / "forward.py"

    @property
    def alerts(self) -> Path:
        """The folder of alert files that `up` follows."""
        return self.root / "alerts"

    @property
    def backups(self) -> Path:
        """What `connect` keeps of agents' settings."""
        return self.root / "connect"


def home() -> Home:
    """Return the data folder's names; nothing is made."""
    named = os.environ.get("MAINSTEM_HOME")
    return Home(Path(named).expanduser().absolute() if named else user_data_path(APP))


def cache_folder() -> Path:
    """Return the folder for what can be fetched again."""
    return user_cache_path(APP)


def make(folder: Path) -> Path:
    """Make `folder`, private to the user, when it is missing; raise `Unusable` if that fails."""
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise Unusable(_unusable(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Unusable(f"the folder {str(folder)!r} is not writable; set MAINSTEM_HOME to another")
    return folder


def _unusable(folder: Path, error: OSError) -> str:
    reason = error.strerror or "not usable"
    return f"the folder {str(folder)!r} cannot be made ({reason}); set MAINSTEM_HOME to another"
