"""What agents can do and what work needs, in the shape of A2A's AgentCard and AgentSkill.

Source: the Agent2Agent protocol, sections "AgentCard" and "AgentSkill" (names on the wire are
camelCase, fields we do not know pass). An agent fits work if one of its skills has all that is
asked for; who asks for nothing is served by anybody.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

TEXT_LENGTH_MAX: Final = 512
ABOUT_LENGTH_MAX: Final = 4_096
SKILLS_MAX: Final = 64
WORDS_MAX: Final = 32

Name = Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)]
About = Annotated[str, Meta(max_length=ABOUT_LENGTH_MAX)]
Words = Annotated[tuple[Name, ...], Meta(max_length=WORDS_MAX)]


class AgentSkill(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One thing that an agent can do."""

    id: Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]
    name: Name = ""
    description: About = ""
    tags: Words = ()
    input_modes: Words = ()
    output_modes: Words = ()


class AgentCard(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who an agent is and what it can do."""

    name: Annotated[str, Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]
    description: About = ""
    version: Name = ""
    url: Name = ""
    default_input_modes: Words = ()
    default_output_modes: Words = ()
    skills: Annotated[tuple[AgentSkill, ...], Meta(max_length=SKILLS_MAX)] = ()


class Needs(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What work asks of an agent; what is left out is not asked for."""

    skill: Name = ""
    tags: Words = ()
    input_mode: Name = ""
    output_mode: Name = ""


ANYBODY: Final = Needs()


def fits(card: AgentCard, needs: Needs) -> bool:
    """Say whether one skill of the card has all that is needed; no modes named take any."""
    if needs == ANYBODY:
        return True
    return any(_has(card, skill, needs) for skill in card.skills)


def _has(card: AgentCard, skill: AgentSkill, needs: Needs) -> bool:
    if needs.skill and skill.id != needs.skill:
        return False
    if not set(needs.tags) <= set(skill.tags):
        return False
    return _takes(needs.input_mode, skill.input_modes or card.default_input_modes) and _takes(
        needs.output_mode, skill.output_modes or card.default_output_modes
    )


def _takes(mode: str, modes: tuple[str, ...]) -> bool:
    return not mode or not modes or mode in modes
