"""The texts and fields of one event, gone through whole: what is not to be kept is left out.

Names say which fields hold contents, users and secrets; texts are scrubbed (see `texts`), as far as
one event may take (see `places`).
"""

import hashlib
import re
from typing import Final

import msgspec

from analytics.privacy.contents import is_content
from analytics.privacy.findings import is_issued
from analytics.privacy.places import Effort
from analytics.privacy.rules import PrivacyRules, Users
from analytics.privacy.texts import HIDDEN, scrub
from analytics.privacy.torn import without_secrets
from analytics.privacy.wording import is_password_field, is_secret_field

DEPTH_MAX: Final = 32
"""How deep a value may be nested; what lies deeper is left out."""
NAME_LENGTH_MAX: Final = 512
"""Characters up to which a filtered text may be longer than it was."""
SECRET_MIN: Final = 16
"""Characters below which no name is plainly a secret."""
IDENTITY: Final = frozenset(
    {
        "type", "source", "id", "tenant", "session_id", "connection_id", "pull_request", "channel",
        "finding_id", "delivery_id", "request_id", "prompt_id", "tool_use_id", "agent_id",
        "parent_agent_id", "task_id", "input_digest", "series", "metric", "trace_id", "span_id",
        "parent_span_id", "node",
    }
)  # fmt: skip
"""Fields that say which fact an event is, and change only where they are plainly a secret."""
NEVER_SECRET: Final = frozenset({"type", "source", "tenant"})
USER: Final = "user"
USER_KEYS: Final = frozenset(
    {
        "user.email", "user.name", "user.full_name", "user.id", "user.account_uuid",
        "user.account_id", "enduser.id", "user_email", "user_id", "email",
    }
)  # fmt: skip
"""Attributes that name the user."""
CONTENT_FIELDS: Final = ("text", "summary")
"""Fields of events that hold what people, models and tools said."""
NO_MORE: Final[frozenset[str]] = frozenset()
PSEUDONYM: Final = re.compile(r"u_[0-9a-f]{24}")

Value = object


class Cleaning:
    """Goes through the fields and texts of one event."""

    def __init__(self, rules: PrivacyRules) -> None:
        self._rules = rules
        self.effort: Final = Effort()

    def put(
        self, kept: dict[str, Value], key: str, value: Value, depth: int, *, more: frozenset[str]
    ) -> None:
        """Put a value of a sender's own name, if it may be kept; `more` names contents too."""
        if not self._rules.content and (key in more or is_content(key)):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            kept[self._scrubbed(key) + ".length"] = len(text)
        elif key in USER_KEYS and self._rules.users is not Users.KEEP:
            self.put_user(kept, key, value)
        elif not self._rules.secrets and _is_secret(key, value):
            kept[self._scrubbed(key)] = HIDDEN
        else:
            kept[self._scrubbed(key)] = self.walked(value, depth, more=more)

    def identity(self, key: str, value: Value) -> Value:
        """Return a name of the event, or what stands for it if it is plainly a secret."""
        if self._rules.secrets or key in NEVER_SECRET or not isinstance(value, str):
            return value
        if len(value) < SECRET_MIN or not is_issued(value):
            return value
        return f"secret_{self._digest(value)}"

    def put_user(self, kept: dict[str, Value], key: str, value: Value) -> None:
        """Put the name of a user, as far as it may be kept."""
        match self._rules.users:
            case Users.KEEP:
                kept[key] = self.identity(key, value)
            case Users.HASH:
                kept[key] = self.pseudonym(str(value)) if value else value
            case Users.DROP:
                return

    def pseudonym(self, user: str) -> str:
        """Return the name that stands for a user, by keyed BLAKE2b (RFC 7693)."""
        if PSEUDONYM.fullmatch(user):
            return user
        return f"u_{self._digest(user)}"

    def _digest(self, name: str) -> str:
        data = name.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=12, key=self._rules.key[:64]).hexdigest()

    def walked(self, value: Value, depth: int, *, more: frozenset[str]) -> Value:
        """Return a value as it may be kept, all that is in it gone through."""
        if isinstance(value, str):
            return self._scrubbed(value if depth == 0 else self._told_json(value, depth, more))
        if depth == 0 and isinstance(value, list | dict):
            return None
        if isinstance(value, list):
            return [self.walked(item, depth - 1, more=more) for item in value]
        if isinstance(value, dict):
            kept: dict[str, Value] = {}
            for key, item in value.items():
                self.put(kept, str(key), item, depth - 1, more=more)
            return kept if self._rules.secrets else _without_named(kept)
        return value

    def _told_json(self, text: str, depth: int, more: frozenset[str]) -> str:
        """Return a text that is JSON, as a tool's input is, with its fields gone through."""
        if self._rules.secrets or not text.startswith(("{", "[")):
            return text
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return without_torn_secrets(text, self.effort)
        walked = self.walked(value, depth - 1, more=more)
        return text if walked == value else msgspec.json.encode(walked).decode()

    def _scrubbed(self, text: str) -> str:
        cleaned = scrub(text, self._rules, self.effort)
        return cleaned[: max(len(text), NAME_LENGTH_MAX)]


def without_torn_secrets(text: str, effort: Effort) -> str:
    """Return torn JSON without the secrets that its names tell of."""
    return without_secrets(
        text, is_secret=is_secret_field, is_password=is_password_field, effort=effort
    )


def is_told(key: str) -> bool:
    """Say whether a field of an event, or an attribute, holds what people and models said."""
    return key in CONTENT_FIELDS or is_content(key)


def _is_secret(key: str, value: Value) -> bool:
    """Say whether a field's name tells that its value, or one in its list, is a secret."""
    if isinstance(value, str):
        return is_secret_field(key, value)
    if isinstance(value, int):
        return not isinstance(value, bool) and is_password_field(key)
    return isinstance(value, list) and any(
        isinstance(item, str) and is_secret_field(key, item) for item in value
    )


def _without_named(pairs: dict[str, Value]) -> dict[str, Value]:
    """Return an object without its value, if it has a name beside it that tells of a secret."""
    name = pairs.get("key", pairs.get("name"))
    value = pairs.get("value")
    if not isinstance(name, str):
        return pairs
    if isinstance(value, str) and is_secret_field(name, value):
        return {**pairs, "value": HIDDEN}
    if isinstance(value, dict):
        text = value.get("stringValue")
        if isinstance(text, str) and is_secret_field(name, text):
            return {**pairs, "value": {**value, "stringValue": HIDDEN}}
    return pairs
