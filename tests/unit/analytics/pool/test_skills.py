"""Which agents fit which work, and A2A's names on the wire."""

import json

import msgspec
import pytest

from analytics.pool.skills import ANYBODY, AgentCard, AgentSkill, Needs, fits

CARD = AgentCard(
    name="reviewer",
    default_input_modes=("text/plain",),
    skills=(
        AgentSkill(id="review", tags=("python", "security")),
        AgentSkill(
            id="draw", tags=("svg",), input_modes=("image/png",), output_modes=("image/svg",)
        ),
    ),
)


@pytest.mark.parametrize(
    ("needs", "wanted"),
    [
        (ANYBODY, True),
        (Needs(skill="review"), True),
        (Needs(skill="cook"), False),
        (Needs(tags=("python",)), True),
        (Needs(tags=("python", "svg")), False),
        (Needs(skill="draw", tags=("python",)), False),
        (Needs(skill="review", input_mode="text/plain"), True),
        (Needs(skill="review", input_mode="image/png"), False),
        (Needs(skill="draw", input_mode="image/png"), True),
        (Needs(skill="draw", output_mode="text/plain"), False),
        (Needs(skill="review", output_mode="anything"), True),
    ],
)
def test_one_skill_has_to_have_all_that_is_needed(needs: Needs, wanted: bool) -> None:
    assert fits(CARD, needs) is wanted


def test_an_agent_without_skills_serves_only_who_needs_nothing() -> None:
    nobody = AgentCard(name="idle")

    assert fits(nobody, ANYBODY)
    assert not fits(nobody, Needs(skill="review"))


def test_a_card_of_the_agent_protocol_is_read_with_its_own_names() -> None:
    written = {
        "protocolVersion": "0.3.0",
        "name": "reviewer",
        "description": "reads code",
        "url": "https://agents.example/reviewer",
        "version": "1.2",
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["application/json"],
        "skills": [{"id": "review", "name": "Review", "description": "…", "tags": ["python"]}],
    }

    card = msgspec.json.decode(json.dumps(written).encode(), type=AgentCard)

    assert card.default_output_modes == ("application/json",)
    assert card.skills[0].tags == ("python",)
    assert json.loads(msgspec.json.encode(card))["defaultInputModes"] == ["text/plain"]


@pytest.mark.parametrize(
    "card",
    [{"name": ""}, {"name": "a", "skills": [{"id": "s"}] * 65}, {"name": "a", "skills": [{}]}],
)
def test_a_card_past_a_limit_is_refused(card: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(card, AgentCard)
