"""The filter that every event passes on its way in: what is not to be kept is gone before the log.

Most events hold nothing to hide, so `pass_on` looks first, at as little as will tell: single
characters in the event's JSON, and beginnings of secrets. Only what looks like more is taken apart,
all its texts gone through (see `texts`), and put together again. Contents are left out with their
length in their place. What makes an event the one that it is (its ids, its type) never changes
unless it is plainly a secret: then a digest stands for it, the same one each time. Nor does the
name of its user unless the rules say so: a fleet is shown by user, and erased by user. Filtering
what was filtered changes nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from analytics.contracts import events
from analytics.contracts.agent_events import AgentObserved, PromptSubmitted, UsageReported
from analytics.contracts.events import TYPES, Event
from analytics.contracts.facts import Fact
from analytics.privacy.cleaning import (
    CONTENT_FIELDS,
    DEPTH_MAX,
    IDENTITY,
    NO_MORE,
    USER,
    USER_KEYS,
    Cleaning,
    Value,
    is_told,
    without_torn_secrets,
)
from analytics.privacy.contents import is_content
from analytics.privacy.findings import is_suspect_json
from analytics.privacy.rules import PrivacyRules, Users
from analytics.privacy.texts import scrub
from analytics.privacy.torn import without_contents

_ADDRESS: Final = re.compile(rb"(?:@|%40)[^\s@\"\\]{1,63}\.")
_QUOTED: Final = re.compile(r"'([^']{33,})'")
"""What is too long for a name, in a reason that quotes it."""
_HOMES: Final = re.compile(rb"/home/|/Users/|sers\\\\|projects/-")

AT, PERCENT, SLASH, BACKSLASH = b"@%/\\"
"""A number is found in bytes in a fifth of the time that one byte takes."""


class _Plan(Struct, frozen=True, gc=False):
    """Where an event of a type may hold what is not to be kept."""

    told: tuple[str, ...]
    """Fields with contents."""
    has_user: bool
    has_attributes: bool


def _plan(kind: type[Fact]) -> _Plan:
    fields = kind.__struct_fields__
    return _Plan(
        told=tuple(name for name in CONTENT_FIELDS if name in fields),
        has_user=USER in fields,
        has_attributes=kind in {AgentObserved, UsageReported},
    )


_PLANS: Final = {kind: _plan(kind) for kind in TYPES.values()}
_KNOWN: Final = {kind: frozenset(kind.__struct_fields__) for kind in TYPES.values()}


class Filter:
    """Lets events pass without what the rules do not keep."""

    def __init__(
        self, rules: PrivacyRules, left_out: Callable[[int], object] = lambda texts: None
    ) -> None:
        self._rules = rules
        self._left_out = left_out
        """Told of how many texts a part was left out, since there was too much to look through."""
        self._is_clean = rules.keeps_all
        self._hides_users = rules.users is not Users.KEEP
        self._other: Filter | None = None

    def _of_no_secrets(self) -> "Filter":
        """Return the filter of events in which a look found no secret."""
        if self._rules.secrets:
            return self
        if self._other is None:
            self._other = Filter(replace(self._rules, secrets=True), self._left_out)
        return self._other

    def pass_on(self, event: Event, payload: bytes | None) -> tuple[Event, bytes | None]:
        """Return the event and its JSON as they may be kept; no JSON means that nobody made it."""
        if self._is_clean:
            return event, payload
        if payload is not None:
            return self.cleaned(event, payload)
        data = events.encode(event)
        if not self._rules.secrets and is_suspect_json(data):
            return self.cleaned(event, data)
        if not self._is_marked(event, data):
            return event, data
        return self._of_no_secrets().cleaned(event, data)

    def pass_dead_letter(self, payload: bytes) -> bytes:
        """Return what could not be read as it may be kept; as it came if there is nothing to hide.

        Contents can be told apart in JSON alone, whole or torn.
        """
        if self._is_clean:
            return payload
        cleaning = Cleaning(self._rules)
        try:
            value = msgspec.json.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = payload.decode("utf-8", "surrogateescape")
            if not self._rules.content:
                text = without_contents(text, is_content=is_told)
            if not self._rules.secrets:
                text = without_torn_secrets(text, cleaning.effort)
            text = scrub(text, self._rules, cleaning.effort)
            self._tell(cleaning)
            return text.encode("utf-8", "surrogateescape")
        walked = cleaning.walked(value, DEPTH_MAX, more=frozenset(CONTENT_FIELDS))
        self._tell(cleaning)
        return payload if walked == value else msgspec.json.encode(walked)

    def pass_reason(self, reason: str) -> str:
        """Return why something was refused as it may be kept: what it quotes came from outside."""
        if not self._rules.content:
            reason = _QUOTED.sub(lambda found: f"'{len(found[1])} characters'", reason)
        return scrub(reason, self._rules)

    def _is_marked(self, event: Event, data: bytes) -> bool:
        """Say whether there may be more than secrets to hide; false: there is nothing."""
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
        if not rules.content and any(getattr(event, name) for name in plan.told):
            return True
        if plan.has_attributes:
            assert isinstance(event, AgentObserved | UsageReported)
            return self._are_marked(event.attributes) or self._is_said(event)
        return False

    def _is_address(self, data: bytes) -> bool:
        return not self._rules.emails and _ADDRESS.search(data) is not None

    def _are_marked(self, attributes: Mapping[str, object]) -> bool:
        rules = self._rules
        if not rules.content and any(map(is_content, attributes)):
            return True
        return rules.users is not Users.KEEP and not USER_KEYS.isdisjoint(attributes)

    def _is_said(self, event: AgentObserved | UsageReported) -> bool:
        """Say whether an event's body is what a model or a person said."""
        return (
            isinstance(event, AgentObserved)
            and bool(event.body)
            and not self._rules.content
            and event.name.startswith("gen_ai.")
        )

    def cleaned(self, event: Event, data: bytes) -> tuple[Event, bytes]:
        """Return an event without what is not to be kept, gone through whole."""
        given = msgspec.json.decode(data, type=dict[str, Value])
        cleaning = Cleaning(self._rules)
        known = _KNOWN[type(event)]
        kept: dict[str, Value] = {}
        for key, value in given.items():
            if key in IDENTITY:
                kept[key] = cleaning.identity(key, value)
            elif key == USER:
                cleaning.put_user(kept, key, value)
            elif key not in known:
                cleaning.put(kept, key, value, DEPTH_MAX, more=NO_MORE)
            elif not (self._rules.content or key not in CONTENT_FIELDS):
                if isinstance(event, PromptSubmitted) and not event.length:
                    kept["length"] = len(event.text)
            elif not (key == "body" and isinstance(event, AgentObserved) and self._is_said(event)):
                kept[key] = cleaning.walked(value, DEPTH_MAX, more=NO_MORE)
        self._tell(cleaning)
        if kept == given:
            return event, data
        cleaned = msgspec.json.encode(kept)
        return events.decode(cleaned), cleaned

    def _tell(self, cleaning: Cleaning) -> None:
        if cleaning.effort.left_out:
            self._left_out(cleaning.effort.left_out)
