"""A store of the version before keeps dead letters, their terms, checkpoints and anomalies."""

import psycopg

from streams.maintenance import tenant_terms
from streams.queries import system
from streams.store import schema

NEW_VERSION = 26
CONTRIBUTORS_VERSION = 32
AT_MS = 1_767_225_600_000


def test_dead_letters_their_terms_and_checkpoints_survive_new_names(empty_url: str) -> None:
    before = [one for one in schema.shipped() if one.version != NEW_VERSION]
    schema.migrate(empty_url, migrations=before)
    with psycopg.connect(empty_url, autocommit=True) as db:
        db.execute(
            "insert into graveyard (at, topic, partition, log_offset, tenant, origin, reason,"
            " payload) values (to_timestamp(%s), 'mainstem.agents.v1', 1, 7, 'local', 'hooks',"
            " 'no JSON', 'nope')",
            [AT_MS / 1_000],
        )
        db.execute(
            "insert into retention_settings (tenant, kind, days) values ('a', 'graveyard', 9)"
        )

        db.execute(
            "insert into logs (log_id, cluster_id, topic) overriding system value"
            " values (1, 'c', 't')"
        )
        db.execute(
            "insert into ledger (log_id, partition, epoch, next_offset, watermark_ms)"
            " values (1, 0, 3, 8, 5)"
        )

    schema.migrate(empty_url)

    with psycopg.connect(empty_url, autocommit=True) as db:
        [letter] = system.dead_letters(db, "local", since_ms=0)
        reached = db.execute("select epoch, next_offset from checkpoints").fetchall()
        terms = db.execute("select tenant, kind, days from retention_settings").fetchall()
    assert (letter.reason, letter.payload) == ("no JSON", b"nope")
    assert reached == [(3, 8)]
    assert terms == [("a", "dead_letters", 9)]
    assert "dead_letters" in tenant_terms.FIELDS


def test_what_anomalies_are_made_of_survives_its_new_name(empty_url: str) -> None:
    before = [one for one in schema.shipped() if one.version < CONTRIBUTORS_VERSION]
    schema.migrate(empty_url, migrations=before)
    with psycopg.connect(empty_url, autocommit=True) as db:
        db.execute(
            "insert into anomalies (anomaly_id, tenant, at, watch_id, measure, dimension, part,"
            " expected_low, expected_high, score, rarity, ingredient, reason, blames)"
            " values ('x', 't', to_timestamp(%s), 1, 'm', '', '', 0, 1, 1, 0, 'i', 'r', %s)",
            [AT_MS / 1_000, '[{"part": "Bash"}]'],
        )

    schema.migrate(empty_url)

    with psycopg.connect(empty_url, autocommit=True) as db:
        kept = db.execute("select anomaly_id, contributors from anomalies").fetchall()
    assert kept == [("x", [{"part": "Bash"}])]
