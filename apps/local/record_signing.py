"""What `up` tells its parts of signatures of records, so that its broker takes them from anybody.

The embedded brokers listen on a port of loopback, which every user of the machine can reach: the
gateway signs what it puts there, and the worker counts what is signed. The key is made on first
use, and is readable by the user only. Tansu keeps nothing over a restart, so all that is in it is
signed. A log of Apache Kafka that is older than the key may hold records from before there were
signatures: they are taken until none of them can be left, by the topics' terms.
"""

import secrets
import time
from pathlib import Path
from typing import Final

from analytics.contracts import topics
from apps.local.broker import BrokerKind
from apps.local.home import Home
from apps.local.tokens import keep, secret_in

KEY_BYTES: Final = 48
DAY_S: Final = 86_400
OLD_FOR_S: Final = DAY_S * max(
    topic.retention_days for topic in (*topics.FACTS, topics.PARTIALS, topics.DEAD_LETTERS)
)
"""How long after the key was made an older log may hold what nobody signed."""


def make_key(home: Home) -> None:
    """Make the key, if there is none yet."""
    if not secret_in(home.record_keys):
        keep(home.record_keys, secrets.token_urlsafe(KEY_BYTES))


def environment(home: Home, kind: BrokerKind) -> dict[str, str]:
    """Return what gateway and worker are told; nothing for a broker that is not ours."""
    if kind is BrokerKind.EXTERNAL:
        return {}
    file = str(home.record_keys)
    told = {"MAINSTEM_GATEWAY_RECORD_KEYS_FILE": file, "MAINSTEM_STREAMS_RECORD_KEYS_FILE": file}
    if kind is BrokerKind.KAFKA and _may_be_old(home, now_s=time.time()):
        told["MAINSTEM_GATEWAY_RECORD_UNSIGNED"] = "true"
        told["MAINSTEM_STREAMS_RECORD_UNSIGNED"] = "true"
    return told


def _may_be_old(home: Home, *, now_s: float) -> bool:
    """Say whether the log may hold records from before the key was made."""
    log_s = _made_s(home.kafka / "log" / "meta.properties")
    key_s = _made_s(home.record_keys)
    if log_s is None or key_s is None:
        return False
    return log_s < key_s and now_s < key_s + OLD_FOR_S


def _made_s(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except OSError:
        return None
