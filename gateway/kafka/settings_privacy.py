"""What a gateway can be told of people's data: what of it is kept, by whichever path it came."""

from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from analytics.privacy.rules import PrivacyRules, Users

KEY_BYTES_MIN: Final = 32
"""So that nobody finds out users by trying names."""


class PrivacySettings(BaseSettings):
    """People's data in events; without further words only who did it is kept."""

    keep_content: bool = Field(
        default=False,
        description="Keep prompts, answers and what tools were given, not only their sizes.",
    )
    keep_emails: bool = Field(
        default=False,
        description="Keep e-mail addresses in texts and attributes, else `<email>` stands there; "
        "the user that an event names has a setting of its own.",
    )
    keep_paths: bool = Field(
        default=False,
        description="Keep users' names in paths of home folders, else `~` stands for the folder.",
    )
    keep_secrets: bool = Field(
        default=False,
        description="Keep what looks like an API key, a token or a password in texts and "
        "attributes, else `<secret>` stands there.",
    )
    users: Users = Field(
        Users.KEEP,
        description="What becomes of the user that an event names: kept, a pseudonym (`hash`, "
        "the same one for the same user and key), or left out (`drop`).",
    )
    users_key: SecretStr | None = Field(
        None, description="What pseudonyms of users are made with; at least 32 bytes."
    )


def check_key(settings: PrivacySettings) -> None:
    """Raise `ValueError` if users are to be hashed and there is no key for it."""
    if settings.users is Users.HASH and len(_key(settings)) < KEY_BYTES_MIN:
        raise ValueError(
            "MAINSTEM_GATEWAY_USERS=hash needs MAINSTEM_GATEWAY_USERS_KEY, "
            f"a secret of at least {KEY_BYTES_MIN} bytes"
        )


def privacy_of(settings: PrivacySettings) -> PrivacyRules:
    """Return the rules that the settings ask for."""
    return PrivacyRules(
        content=settings.keep_content,
        emails=settings.keep_emails,
        paths=settings.keep_paths,
        secrets=settings.keep_secrets,
        users=settings.users,
        key=_key(settings),
    )


def _key(settings: PrivacySettings) -> bytes:
    key = settings.users_key
    return b"" if key is None else key.get_secret_value().encode()
