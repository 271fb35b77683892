"""What a reply to a finding says of it: accepted, dismissed, or nothing that is plain.

People write replies, so a word alone tells little: `Done?` asks, `not fixed` denies, and `Agreed,
but out of scope` ends with what counts. A reply is read clause by clause, without what it quotes
and without code. A question says nothing, and neither does a reply with a doubt in it. Where it
says both that something was done and that the finding is none, or agrees after it dismissed, it is
not plain; who agrees first and then dismisses has dismissed.
"""

import re
from collections.abc import Iterator
from typing import Final

ACCEPTED: Final = "accepted"
DISMISSED: Final = "dismissed"
CHARACTERS_MAX: Final = 4_096
"""Characters of a reply that are read."""

_QUOTED: Final = re.compile(r"(?m:^[ \t]*>[^\n]*$)|```(?s:.*?)(?:```|\Z)|`[^`\n]*`")
_CLAUSE: Final = re.compile(r"[^.!?;:,\n()–—]+\??")
_TURN: Final = re.compile(r"(?i)\b(?:but|however|though|although|yet|except|nonetheless)\b")
_DISMISSED: Final = re.compile(
    r"(?i)\b(?:wo(?:n'?t|uldn'?t)[ -]?(?:be )?(?:fix|do|chang|address)\w*"
    r"|will not (?:be )?(?:fix|do|change|address)\w*|not (?:going to|gonna) (?:fix|do|change)\w*"
    r"|false (?:positive|alarm)|not an? (?:\w+ )?(?:issue|bug|problem|error)"
    r"|(?:by|as) design(?:ed)?|intentional(?:ly)?"
    r"|(?:is|was|are|it'?s|this is) (?:intended|intentional|deliberate|on purpose)"
    r"|out of scope|not applicable|n/a|irrelevant|not relevant|disagree|nope|dismiss(?:ed|ing)?"
    r"|(?:this|that|the|your) ?(?:finding|comment|suggestion|claim)? (?:is|was) "
    r"(?:wrong|incorrect|mistaken|bogus|invalid|not (?:true|correct|right|valid))"
    r"|(?:works|working) as (?:intended|expected|designed)|(?:do not|don'?t|cannot|can'?t) agree)\b"
    r"|^\W*(?:invalid|no|wrong|intended)\W*$"
)
_OPENING: Final = (
    r"^\W*(?:(?:i|we|i'?ve|we'?ve|i'?m|have|has|had|it|it'?s|its|this|that|that'?s|is|are|was|been"
    r"|now|already|just|all|thanks|thank you|ok|okay|yes|yep|yeah|sure|ah|oh|and|also|then|finding"
    r"|suggestion|comment|issue|should be)\b\W*){0,6}"
)
_DONE: Final = re.compile(
    rf"(?i){_OPENING}(?:fixed|done|applied|accepted|addressed|resolved|corrected|implemented"
    r"|updated|(?:i'?ll|we'?ll|i will|we will|will) "
    r"(?:fix|do|change|address|apply|correct|update|handle|take care))\b"
)
_AGREED: Final = re.compile(
    r"(?i)\b(?:(?:good|nice|great) (?:catch|point|find|call|spot)|well spotted|makes sense"
    r"|you(?:'| a)?re right|(?<!not )(?<!n't )agree[ds]?|fair (?:point|enough))\b"
)
_OTHER: Final = re.compile(
    r"(?i)\b(?:elsewhere|somewhere else|another|other|unrelated|different|partly|partially|half"
    r"|except|if|when|once|until|unless)\b"
)
_DOUBT: Final = re.compile(
    r"(?i)\b(?:(?:do not|don'?t|didn'?t) think so|not sure|unsure|no idea|not (?:yet|quite)|maybe"
    r"|perhaps|i doubt)\b"
)


def verdict_of(reply: str) -> str:
    """Return what a reply says of the finding; empty text where it says nothing plain."""
    text = _QUOTED.sub(" ", reply[:CHARACTERS_MAX].replace("’", "'"))
    said: list[str] = []
    is_done = False
    for clause in _clauses(text):
        if _DOUBT.search(clause):
            return ""
        if clause.endswith("?"):
            continue
        if _DISMISSED.search(clause):
            said.append(DISMISSED)
        elif _DONE.match(clause):
            is_done = True
            said += [] if _OTHER.search(clause) else [ACCEPTED]
        elif _AGREED.search(clause):
            said.append(ACCEPTED)
    is_mixed = is_done and DISMISSED in said
    return "" if is_mixed or not said or _goes_back(said) else said[-1]


def _goes_back(said: list[str]) -> bool:
    """Say whether something was dismissed first and agreed to then."""
    return DISMISSED in said and said[-1] == ACCEPTED


def _clauses(text: str) -> Iterator[str]:
    """Yield the clauses of a text; `but` and the like stand between two."""
    for found in _CLAUSE.finditer(text):
        yield from _TURN.split(found.group())
