"""Topics made and looked at on real brokers, and events followed on them."""

import asyncio
import http.server
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from analytics.contracts import topics
from analytics.contracts.errors import BrokerAway
from apps.cli import tailer
from apps.cli.tailer import Start, TailedRecord, Wanted
from apps.connect import forward
from apps.local.ports import free_port
from apps.local.topics import cluster_id, ensure_topics, reaches
from tests.support.broker import RunningBroker, kafka, started_tansu, tansu

__all__ = ["kafka", "tansu"]


@pytest.fixture(
    params=[
        pytest.param("tansu", marks=pytest.mark.embedded),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    running: RunningBroker = request.getfixturevalue(request.param)
    return running


@pytest.mark.requirement("topics-declared-once")
async def test_missing_topics_are_made_once_by_whoever_comes_first(broker: RunningBroker) -> None:
    both = await asyncio.gather(
        ensure_topics(broker.address, partitions=3), ensure_topics(broker.address, partitions=3)
    )
    again = await ensure_topics(broker.address, partitions=5)

    reached = await reaches(broker.address)
    widths = {topic.address: 0 for topic in topics.ALL}
    for one in reached:
        widths[one.topic] += 1
    assert again == ()
    assert {address for made in both for address in made} <= set(widths)
    assert widths[topics.AGENTS.address] == 3
    assert widths[topics.DEAD_LETTERS.address] == 1
    assert await cluster_id(broker.address) == broker.cluster_id


@pytest.mark.requirement("acknowledged-kept")
async def test_a_partition_reaches_to_the_last_record_of_its_last_batch(
    broker: RunningBroker,
) -> None:
    await ensure_topics(broker.address, partitions=3)
    address = topics.CONNECTIONS.address
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all", linger_ms=50)
    await producer.start()
    try:
        sent = [await producer.send(address, b"{}", partition=1) for _ in range(7)]
        last = (await asyncio.gather(*sent))[-1].offset
    finally:
        await producer.stop()

    reached = {one.partition: one.end for one in await reaches(broker.address, [address])}

    assert reached[1] == last + 1 >= 7


async def test_what_was_sent_is_followed_from_the_start(broker: RunningBroker) -> None:
    await ensure_topics(broker.address, partitions=3)
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, acks="all")
    await producer.start()
    address = topics.REVIEWS.address
    try:
        for number in range(5):
            body = b'{"type":"t","number":%d}' % number
            await producer.send_and_wait(address, body, key=b"%d" % number)
        await producer.send_and_wait(address, b"\xff", key=b"x")
    finally:
        await producer.stop()
    seen: list[TailedRecord] = []

    for start, where, limit in (
        (Start("start"), (), 6),
        (Start("age", 3_600_000), (("number", "3"),), 1),
    ):
        wanted = Wanted(topic=topics.REVIEWS, start=start, where=where, limit=limit)
        await asyncio.wait_for(tailer.follow(broker.address, wanted, show=seen.append), 20)

    numbers = {one.event["number"] for one in seen[:6] if one.event}
    assert numbers == {0, 1, 2, 3, 4}
    assert sum(one.event is None for one in seen[:6]) == 1
    assert seen[6].event == {"type": "t", "number": 3}


@pytest.mark.embedded
async def test_a_broker_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.local.topics.BROKER_WAIT_MS", 200)

    with pytest.raises(BrokerAway, match="no Kafka broker answers"):
        await ensure_topics(f"127.0.0.1:{free_port()}")


@pytest.mark.embedded
async def test_a_topic_that_is_not_there_yet_is_said() -> None:
    with started_tansu() as fresh:
        wanted = Wanted(topic=topics.AGENTS, start=Start("end"), limit=1)

        assert await reaches(fresh.address) == []
        with pytest.raises(BrokerAway, match="no topic"):
            await tailer.follow(fresh.address, wanted, show=lambda _: None)


@pytest.mark.embedded
@pytest.mark.parametrize("is_there", [True, False])
def test_a_hook_is_handed_on_without_a_word_and_never_fails(
    tmp_path: Path, *, is_there: bool
) -> None:
    got: list[tuple[str, bytes]] = []
    heard = threading.Event()

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()
            heard.set()

        def log_message(self, *_: object) -> None:
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port if is_there else free_port()
        (tmp_path / "token").write_text("secret\n")
        url = f"http://127.0.0.1:{port}/hooks/claude"
        command = [sys.executable, "-I", "-S", forward.__file__, url, str(tmp_path / "token")]

        done = subprocess.run(command, input=b'{"a":1}', capture_output=True, check=False)

        if is_there:
            assert heard.wait(5)
        server.shutdown()

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert got == ([("Bearer secret", b'{"a":1}')] if is_there else [])
