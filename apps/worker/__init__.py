"""The stream worker, as `mainstem worker` runs it and as Faust's own command does.

`faust -A apps.worker worker` and `faust -A apps.worker agents` ask this module for its `app`; it is
made of the settings when it is asked for, so that importing the module starts nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.consumer.stream import StreamApp


def __getattr__(name: str) -> "StreamApp":
    """Return the Faust app."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from analytics.contracts.errors import BadSetting
    from apps.worker import faust_app

    try:
        return faust_app.app()
    except BadSetting as error:
        faust_app.misused(str(error))
