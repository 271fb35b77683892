"""The filter that every event passes on its way in: what is not to be kept is gone before the log.

Most events hold nothing to hide, so `pass_on` looks first, at as little as will tell: single
characters in the event's JSON, and its free texts. Only what looks like more is taken apart, all
its texts gone through (see `texts`), and put together again. Contents are left out with their
length in their place. What makes an event the one that it is (its ids, its type) never changes, nor
does the name of its user unless the rules say so: a fleet is shown by user, and erased by user.
Filtering what was filtered changes nothing.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from typing import Final, get_type_hints

import msgspec
from msgspec import Struct

from analytics.contracts import events
from analytics.contracts.agent_events import AgentObserved, PromptSubmitted, UsageReported
from analytics.contracts.events import TYPES, Event
from analytics.contracts.facts import Fact, Text
from analytics.privacy.contents import is_content
from analytics.privacy.rules import PrivacyRules, Users
from analytics.privacy.texts import is_suspect, scrub

DEPTH_MAX: Final = 32
"""How deep a value may be nested; what lies deeper is left out."""
NAME_LENGTH_MAX: Final = 512
"""Characters up to which a filtered text may be longer than it was."""
KNOWN_MAX: Final = 8_192
"""Short texts that are remembered to hold no secret."""
SHORT_MAX: Final = 256
SECRET_MIN: Final = 10
"""Characters below which no text holds a secret."""

IDENTITY: Final = frozenset(
    {
        "type", "source", "id", "tenant", "session_id", "connection_id", "pull_request", "channel",
        "finding_id", "delivery_id", "request_id", "prompt_id", "tool_use_id", "agent_id",
        "parent_agent_id", "task_id", "input_digest", "series", "metric", "trace_id", "span_id",
        "parent_span_id", "node",
    }
)  # fmt: skip
"""Fields that say which fact an event is, and never change."""
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

_ADDRESS: Final = re.compile(rb"(?:@|%40)[^\s@\"\\]{1,63}\.")
_HOMES: Final = re.compile(rb"/home/|/Users/|sers\\\\|projects/-")

AT, PERCENT, SLASH, BACKSLASH = b"@%/\\"
"""A number is found in bytes in a fifth of the time that one byte takes."""

Value = object


def _free_fields(kind: type[Fact]) -> tuple[str, ...]:
    """Return the fields of an event that hold free text."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple(name for name in kind.__struct_fields__ if hints[name] == Text)


class _Plan(Struct, frozen=True, gc=False):
    """Where an event of a type may hold what is not to be kept."""

    told: tuple[str, ...]
    """Fields with contents."""
    free: tuple[str, ...]
    """Fields with free text, those with contents among them."""
    has_user: bool
    has_attributes: bool


def _plan(kind: type[Fact]) -> _Plan:
    fields = kind.__struct_fields__
    return _Plan(
        told=tuple(name for name in CONTENT_FIELDS if name in fields),
        free=_free_fields(kind),
        has_user=USER in fields,
        has_attributes=kind in {AgentObserved, UsageReported},
    )


_PLANS: Final = {kind: _plan(kind) for kind in TYPES.values()}
_KNOWN: Final = {kind: frozenset(kind.__struct_fields__) for kind in TYPES.values()}


class Filter:
    """Lets events pass without what the rules do not keep."""

    def __init__(self, rules: PrivacyRules) -> None:
        self._rules = rules
        self._is_clean = rules.keeps_all
        self._hides_users = rules.users is not Users.KEEP

    def pass_on(self, event: Event, payload: bytes | None) -> tuple[Event, bytes | None]:
        """Return the event and its JSON as they may be kept; no JSON means that nobody made it."""
        if self._is_clean:
            return event, payload
        data = events.encode(event) if payload is None else payload
        if payload is None and not self._is_marked(event, data):
            return event, data
        return self._cleaned(event, data)

    def pass_grave(self, payload: bytes) -> bytes:
        """Return what could not be read as it may be kept; as it came if there is nothing to hide.

        Contents can be told apart in JSON alone.
        """
        if self._is_clean:
            return payload
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = payload.decode("utf-8", "surrogateescape")
            return scrub(text, self._rules).encode("utf-8", "surrogateescape")
        walked = self._walked(value, DEPTH_MAX, more=frozenset(CONTENT_FIELDS))
        return payload if walked == value else msgspec.json.encode(walked)

    def _is_marked(self, event: Event, data: bytes) -> bool:
        """Say whether there may be anything to hide; false means that there is nothing."""
        rules = self._rules
        plan = _PLANS[type(event)]
        user = getattr(event, USER) if plan.has_user else ""
        if user and self._hides_users:
            return True
        if AT in data:
            is_of_user = "@" in user and data.find(AT) == data.rfind(AT)
            if not is_of_user and self._is_address(data):
                return True
        if PERCENT in data and self._is_address(data):
            return True
        if (SLASH in data or BACKSLASH in data) and not rules.paths and _HOMES.search(data):
            return True
        for name in plan.free:
            text = getattr(event, name)
            if text and self._is_hidden(plan, name, text):
                return True
        if plan.has_attributes:
            assert isinstance(event, AgentObserved | UsageReported)
            return self._are_marked(event.attributes) or self._is_said(event)
        return False

    def _is_address(self, data: bytes) -> bool:
        return not self._rules.emails and _ADDRESS.search(data) is not None

    def _is_hidden(self, plan: _Plan, name: str, text: str) -> bool:
        """Say whether a free text may not be kept as it is."""
        if name in plan.told and not self._rules.content:
            return True
        return not self._rules.secrets and len(text) >= SECRET_MIN and _may_hold_secret(text)

    def _are_marked(self, attributes: Mapping[str, object]) -> bool:
        rules = self._rules
        if not rules.content and any(map(is_content, attributes)):
            return True
        if rules.users is not Users.KEEP and not USER_KEYS.isdisjoint(attributes):
            return True
        return not rules.secrets and any(
            isinstance(text, str) and len(text) >= SECRET_MIN and _may_hold_secret(text)
            for text in chain(attributes, attributes.values())
        )

    def _is_said(self, event: AgentObserved | UsageReported) -> bool:
        """Say whether an event's body is what a model or a person said."""
        return (
            isinstance(event, AgentObserved)
            and bool(event.body)
            and not self._rules.content
            and event.name.startswith("gen_ai.")
        )

    def _cleaned(self, event: Event, data: bytes) -> tuple[Event, bytes]:
        given = msgspec.json.decode(data, type=dict[str, Value])
        known = _KNOWN[type(event)]
        kept: dict[str, Value] = {}
        for key, value in given.items():
            if key in IDENTITY:
                kept[key] = value
            elif key == USER:
                self._put_user(kept, key, value)
            elif key not in known:
                self._put(kept, key, value, DEPTH_MAX, more=NO_MORE)
            elif not (self._rules.content or key not in CONTENT_FIELDS):
                if isinstance(event, PromptSubmitted) and not event.length:
                    kept["length"] = len(event.text)
            elif not (key == "body" and isinstance(event, AgentObserved) and self._is_said(event)):
                kept[key] = self._walked(value, DEPTH_MAX, more=NO_MORE)
        if kept == given:
            return event, data
        cleaned = msgspec.json.encode(kept)
        return events.decode(cleaned), cleaned

    def _put(
        self, kept: dict[str, Value], key: str, value: Value, depth: int, *, more: frozenset[str]
    ) -> None:
        """Put a value of a sender's own name, if it may be kept; `more` names contents too."""
        if not self._rules.content and (key in more or is_content(key)):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            kept[self._scrubbed(key) + ".length"] = len(text)
        elif key in USER_KEYS and self._rules.users is not Users.KEEP:
            self._put_user(kept, key, value)
        else:
            kept[self._scrubbed(key)] = self._walked(value, depth, more=more)

    def _put_user(self, kept: dict[str, Value], key: str, value: Value) -> None:
        match self._rules.users:
            case Users.KEEP:
                kept[key] = value
            case Users.HASH:
                kept[key] = self.pseudonym(str(value)) if value else value
            case Users.DROP:
                return

    def pseudonym(self, user: str) -> str:
        """Return the name that stands for a user, by keyed BLAKE2b (RFC 7693)."""
        if PSEUDONYM.fullmatch(user):
            return user
        digest = hashlib.blake2b(
            user.encode("utf-8", "surrogatepass"), digest_size=12, key=self._rules.key[:64]
        )
        return f"u_{digest.hexdigest()}"

    def _walked(self, value: Value, depth: int, *, more: frozenset[str]) -> Value:
        if isinstance(value, str):
            return self._scrubbed(value)
        if depth == 0 and isinstance(value, list | dict):
            return None
        if isinstance(value, list):
            return [self._walked(item, depth - 1, more=more) for item in value]
        if isinstance(value, dict):
            kept: dict[str, Value] = {}
            for key, item in value.items():
                self._put(kept, str(key), item, depth - 1, more=more)
            return kept
        return value

    def _scrubbed(self, text: str) -> str:
        cleaned = scrub(text, self._rules)
        return cleaned[: max(len(text), NAME_LENGTH_MAX)]


def _may_hold_secret(text: str) -> bool:
    return _known_suspect(text) if len(text) <= SHORT_MAX else is_suspect(text)


@lru_cache(maxsize=KNOWN_MAX)
def _known_suspect(text: str) -> bool:
    return is_suspect(text)
