"""Alerts for fleets of agents that come along, each with a test and a sentence of what to do.

The files lie beside this module: `fleet.yml` and `platform.yml` hold rules, `routing.yml` what
inhibits what, and `*.test.yml` their tests in promtool's format. They load from the package, so
nothing has to be copied.
"""

from importlib import resources
from typing import Final

from analytics.alerts.dispatch import routing_files
from analytics.alerts.dispatch.routes import Routing
from analytics.alerts.rules import files
from analytics.alerts.rules.rules import RuleFile

RULES: Final = ("fleet.yml", "platform.yml")
ROUTING: Final = "routing.yml"


def text(name: str) -> str:
    """Return the text of a file of the pack."""
    return resources.files(__name__).joinpath(name).read_text("utf-8")


def rules() -> tuple[RuleFile, ...]:
    """Return the rules of the pack."""
    return tuple(files.load(f"presets/{name}", text(name)) for name in RULES)


def routing() -> Routing:
    """Return the routing of the pack, which tells nobody until a receiver is added."""
    return routing_files.load(f"presets/{ROUTING}", text(ROUTING))
