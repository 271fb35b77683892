"""The settings of `up`, from the environment and the options given; a wrong one is `BadSetting`."""

from pydantic import ValidationError

from analytics.contracts.errors import BadSetting
from apps.local.settings import LocalSettings


def configured(**given: object) -> LocalSettings:
    """Return the settings, `given` first where it is not None."""
    named = {name: value for name, value in given.items() if value is not None}
    try:
        return LocalSettings(**named)  # type: ignore[arg-type]  # pydantic checks what is given
    except ValidationError as error:
        first = error.errors()[0]
        field = "_".join(str(part) for part in first["loc"]).upper()
        message = f"MAINSTEM_LOCAL_{field}={first['input']!r}: {first['msg'].lower()}"
        raise BadSetting(message) from error
