"""The keys that sign records on the broker, from a setting or a file (see `signatures`)."""

from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from analytics.contracts import signatures
from analytics.contracts.errors import BadSetting
from analytics.contracts.signatures import SignatureRules


class RecordSettings(Protocol):
    """What gateway and worker are told of signatures alike."""

    @property
    def record_keys(self) -> SecretStr | None:
        """The keys themselves."""
        ...

    @property
    def record_keys_file(self) -> Path | None:
        """The file they are in."""
        ...

    @property
    def record_unsigned(self) -> bool:
        """Whether what is not signed is taken too."""
        ...


def signatures_of(settings: RecordSettings, *, prefix: str) -> SignatureRules:
    """Return which records are taken; raise `BadSetting` if the keys are wrong."""
    keys = _read(settings.record_keys, settings.record_keys_file, prefix=prefix)
    return SignatureRules(keys=keys, takes_unsigned=settings.record_unsigned)


def _read(given: SecretStr | None, file: Path | None, *, prefix: str) -> tuple[bytes, ...]:
    if given is not None:
        return _keys(given.get_secret_value(), f"{prefix}RECORD_KEYS")
    if file is None:
        return ()
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(
            f"{prefix}RECORD_KEYS_FILE={str(file)!r} cannot be read ({type(error).__name__}); "
            "name a file with one secret a line"
        ) from error
    return _keys(text, f"{prefix}RECORD_KEYS_FILE")


def _keys(text: str, where: str) -> tuple[bytes, ...]:
    try:
        return signatures.keys_of(text)
    except ValueError as error:
        raise BadSetting(f"{where}: {error}") from None
