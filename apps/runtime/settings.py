"""Settings of what `apps` runs, read from the environment; a wrong one is told by its name."""

from typing import TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from analytics.contracts.errors import BadSetting

S = TypeVar("S", bound=BaseSettings)


def loaded(kind: type[S], given: dict[str, object]) -> S:
    """Return the settings of the environment, `given` first; raise `BadSetting` if one is wrong."""
    try:
        return kind(**given)  # type: ignore[arg-type]  # pydantic checks what is given
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]).upper()
        whole = name.startswith(("MAINSTEM_", "DATABASE_"))
        shown = name if whole else f"{kind.model_config.get('env_prefix', '')}{name}"
        raise BadSetting(f"{shown} has no meaning: {first['msg']}; correct or unset it") from error
