"""A store of the version before keeps its dead letters, their terms and its checkpoints."""

import psycopg

from streams.maintenance import tenant_terms
from streams.queries import system
from streams.store import schema

NEW_VERSION = 26
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
