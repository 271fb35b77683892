"""What batches rests on in Faust and aiokafka is still as it was read."""

from importlib.metadata import version

from streams.consumer import internals


def test_faust_is_the_version_that_the_batches_are_written_for() -> None:
    assert version("faust-streaming") == internals.FAUST_VERSION


def test_every_touched_internal_of_faust_and_aiokafka_reads_as_it_did() -> None:
    assert internals.changed() == [], (
        "see what changed, and whether streams.consumer.batch_consumer still holds"
    )


def test_an_internal_that_changed_or_is_gone_is_named() -> None:
    touched = {
        "faust.transport.consumer:Consumer.getmany": "00000000",
        "faust.transport.consumer:Consumer.no_such_method": "00000000",
        "no.such.module:Thing": "00000000",
        **internals.TOUCHED,
    }

    found = internals.changed(touched | {"faust.transport.consumer:Consumer.commit": "00000000"})

    assert set(found) == {
        "faust.transport.consumer:Consumer.commit",
        "faust.transport.consumer:Consumer.no_such_method",
        "no.such.module:Thing",
    }
