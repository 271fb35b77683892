"""What a file of alerts is: rules, routing, or tests of rules; told by its own fields.

`route`, `receivers` and their like make a routing file (Alertmanager's configuration, which holds
receivers and time intervals too), `tests` makes a file of promtool, all else is rules.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from analytics.alerts import documents
from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.dispatch.routing_files import unreached
from analytics.alerts.documents import BadFile, Position
from analytics.alerts.rules import files
from analytics.alerts.rules.rules import RuleFile


class FileKind(StrEnum):
    """What a file is about."""

    RULES = "rules"
    ROUTING = "routing"
    TESTS = "tests"


SUFFIXES: Final = (".yml", ".yaml", ".rules", ".json")
"""How files of alerts end; in a folder all others are passed over."""
_ROUTING: Final = frozenset(
    {"route", "receivers", "inhibit_rules", "time_intervals", "mute_time_intervals"}
)


class Warnings(Struct, frozen=True):
    """What loads and is most likely not meant, and what loads and cannot be evaluated."""

    cautions: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


def kind_of(path: str, text: str) -> FileKind:
    """Return what a file is; raise `BadFile` if it cannot be read at all."""
    root, _ = documents.read(path, text)
    if root is None or not root.is_mapping:
        return FileKind.RULES
    names = root.fields().keys()
    if _ROUTING & names:
        return FileKind.ROUTING
    return FileKind.TESTS if "tests" in names and "groups" not in names else FileKind.RULES


def loaded(path: str, text: str) -> RuleFile | Routing:
    """Return what a file holds; raise `BadFile` with the place of what is wrong."""
    match kind_of(path, text):
        case FileKind.ROUTING:
            return routing_files.load(path, text)
        case FileKind.TESTS:
            reason = "holds tests of rules, which `mainstem alerts test` runs; nothing is kept"
            raise BadFile(Position(path), reason)
        case FileKind.RULES:
            return files.load(path, text)


def warnings(file: RuleFile | Routing) -> Warnings:
    """Return what is to be said of a file that loads."""
    if isinstance(file, Routing):
        return Warnings(tuple(map(str, (*file.cautions, *unreached(file)))))
    return Warnings(tuple(map(str, file.cautions)), tuple(map(str, file.beyond)))
