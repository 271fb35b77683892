"""What is generated is what lies in docs/, and it is valid as what it says it is."""

import json
from pathlib import Path
from typing import Any, Final

import jsonschema
import msgspec
import pytest
import yaml

from analytics.contracts import events, topics
from apps.docs import asyncapi, generate, schemas
from tests.tidy.tree import ROOT

DOCS: Final = ROOT / "docs"
ASYNCAPI: Final = ROOT / "tests/data/asyncapi/3.0.0.json"
NEEDED: Final = {
    "id": "e1", "tenant": "local", "at_ms": 1, "session_id": "s1", "connection_id": "c1",
    "pull_request": "o/r#1", "finding_id": "f1", "metric": "m", "value": 1.5, "name": "n",
    "start_ms": 0, "width_ms": 10_000, "grain": "fleet", "dimensions": {}, "measures": {},
    "channel": "local/c", "measure": "cost_usd", "step_ms": 60_000, "fingerprint": "f",
    "labels": {}, "state": "firing",
}  # fmt: skip


def _smallest(kind: str) -> dict[str, Any]:
    names = {field.name for field in msgspec.structs.fields(events.TYPES[kind]) if field.required}
    return {"type": kind} | {name: NEEDED[name] for name in names}


def _validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((DOCS / generate.SCHEMAS / f"{kind}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.requirement("documents-generated")
def test_every_generated_document_is_what_the_code_would_generate_now() -> None:
    stale = [
        path
        for path, text in generate.documents().items()
        if not (DOCS / path).is_file() or (DOCS / path).read_text() != text
    ]

    assert stale == [], "run `make docs`"


def test_no_schema_is_left_of_an_event_that_is_no_more() -> None:
    assert {path.stem for path in (DOCS / generate.SCHEMAS).glob("*.json")} == set(events.TYPES)


def test_a_stale_schema_is_removed_when_documents_are_written(tmp_path: Path) -> None:
    (tmp_path / generate.SCHEMAS).mkdir(parents=True)
    (tmp_path / generate.SCHEMAS / "event.forgotten.json").write_text("{}")

    generate.write(tmp_path)

    assert {path.stem for path in (tmp_path / generate.SCHEMAS).glob("*.json")} == set(events.TYPES)
    assert (tmp_path / "reference/events.md").read_text() == (
        DOCS / "reference/events.md"
    ).read_text()


@pytest.mark.parametrize("kind", sorted(events.TYPES))
def test_the_schema_and_the_decoder_take_the_smallest_event_and_unknown_fields(kind: str) -> None:
    smallest = _smallest(kind) | {"a_field_of_tomorrow": {"x": [1]}}

    decoded = events.decode(json.dumps(smallest).encode())

    assert events.type_of(decoded) == kind
    assert list(_validator(kind).iter_errors(smallest)) == []


@pytest.mark.parametrize("kind", sorted(events.TYPES))
def test_the_schema_refuses_an_event_without_what_it_needs(kind: str) -> None:
    smallest = _smallest(kind)
    del smallest["tenant"]

    assert not _validator(kind).is_valid(smallest)
    assert not _validator(kind).is_valid(_smallest(kind) | {"at_ms": "yesterday"})


def test_the_channels_are_valid_asyncapi_3() -> None:
    document = yaml.safe_load((DOCS / "reference/asyncapi.yaml").read_text())
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text()))

    assert [error.message for error in validator.iter_errors(document)] == []


def test_a_channel_that_is_no_asyncapi_is_found_out() -> None:
    document = asyncapi.document()
    document["operations"] = {"bad": {"action": "shout"}}
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text()))

    assert not validator.is_valid(document)


@pytest.mark.requirement("topics-declared-once")
def test_every_topic_is_a_channel_with_its_events_and_each_event_has_its_schema() -> None:
    document = yaml.safe_load((DOCS / "reference/asyncapi.yaml").read_text())

    channels = {channel["address"]: channel for channel in document["channels"].values()}

    assert set(channels) == {topic.address for topic in topics.ALL}
    for topic in topics.ALL:
        channel = channels[topic.address]
        plain = {"parcel"} if topic is topics.PARTIALS else {"dead_letters"}
        tags = {str(kind.__struct_config__.tag) for kind in topic.carries} or plain
        assert set(channel["messages"]) == tags
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
    for name in events.TYPES:
        reference = document["components"]["messages"][name]["payload"]["$ref"]
        assert (DOCS / "reference" / reference).is_file()


def test_words_beside_a_field_in_the_source_reach_its_schema() -> None:
    schema = schemas.schema_of("request.finished", events.TYPES["request.finished"])
    properties = schema["properties"]
    assert isinstance(properties, dict)

    assert properties["reasoning_tokens"]["description"] == "Part of `output_tokens`."
