"""How an import talks to a gateway: waits, halves, gives up, and never counts twice."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from analytics.contracts.errors import Refused, Unauthenticated, Unavailable
from apps.cli import main
from apps.transcripts import sender
from apps.transcripts.sender import GatewayClient
from gateway.kafka.publisher import Status
from tests.support.ingest import DATA

Answer = tuple[int, dict[str, str], object]
Script = Callable[[int, list[str]], Answer]
"""Answers the n-th request, given the ids in it."""

BATCH = [b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}']


def verdicts(ids: list[str], status: str = "accepted", **fields: object) -> dict[str, object]:
    return {"results": [{"id": name, "status": status, **fields} for name in ids]}


class Served:
    """What came, and how long the sender waited between."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.batches: list[list[str]] = []
        self.tokens: set[str] = set()
        self.waits: list[float] = []

    def gateway(self) -> GatewayClient:
        return GatewayClient(self.url, "secret", sleep=self.waits.append)


@contextmanager
def serving(script: Script) -> Iterator[Served]:
    served = Served("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ids = [json.loads(line)["id"] for line in body.split(b"\n")]
            served.batches.append(ids)
            served.tokens.add(self.headers["Authorization"])
            code, headers, answer = script(len(served.batches), ids)
            said = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def posting(served: Served) -> Iterator[GatewayClient]:
    gateway = served.gateway()
    try:
        yield gateway
    finally:
        gateway.close()


def test_a_batch_is_answered_event_by_event() -> None:
    with serving(lambda _n, ids: (200, {}, verdicts(ids))) as served, posting(served) as gateway:
        answers = gateway.post(BATCH)

    assert [(answer.id, answer.status) for answer in answers] == [
        ("a", Status.ACCEPTED),
        ("b", Status.ACCEPTED),
        ("c", Status.ACCEPTED),
    ]
    assert served.tokens == {"Bearer secret"}


def test_a_gateway_that_asks_to_wait_is_waited_for() -> None:
    def script(number: int, ids: list[str]) -> Answer:
        busy: Answer = (503, {"Retry-After": "2"}, {"detail": "full"})
        return busy if number < 3 else (200, {}, verdicts(ids))

    with serving(script) as served, posting(served) as gateway:
        answers = gateway.post(BATCH)

    assert len(answers) == 3
    assert served.waits == [2.0, 2.0]


def test_only_what_may_come_again_comes_again() -> None:
    def script(number: int, ids: list[str]) -> Answer:
        if number > 1:
            return 200, {}, verdicts(ids)
        late = {"id": "b", "status": "refused", "reason": "full", "retry_after_ms": 500}
        never = {"id": "c", "status": "refused", "reason": "bad"}
        return 200, {}, {"results": [{"id": "a", "status": "accepted"}, late, never]}

    with serving(script) as served, posting(served) as gateway:
        answers = gateway.post(BATCH)

    assert served.batches == [["a", "b", "c"], ["b"]]
    assert [str(answer.status) for answer in answers] == ["accepted", "accepted", "refused"]
    assert served.waits == [0.5]


def test_a_batch_that_is_too_large_is_halved() -> None:
    def script(_number: int, ids: list[str]) -> Answer:
        return (200, {}, verdicts(ids)) if len(ids) == 1 else (413, {}, {"detail": "too large"})

    with serving(script) as served, posting(served) as gateway:
        answers = gateway.post(BATCH)

    assert [answer.id for answer in answers] == ["a", "b", "c"]


def test_one_event_that_is_too_large_is_refused_and_the_others_go() -> None:
    def script(_number: int, ids: list[str]) -> Answer:
        return (200, {}, verdicts(ids)) if "b" not in ids else (413, {}, {"detail": "too large"})

    with serving(script) as served, posting(served) as gateway:
        answers = gateway.post(BATCH)

    assert [str(answer.status) for answer in answers] == ["accepted", "refused", "accepted"]


@pytest.mark.requirement("limits-have-names")
def test_a_gateway_that_never_takes_it_is_given_up() -> None:
    with (
        serving(lambda _n, _ids: (503, {}, b"away")) as served,
        posting(served) as gateway,
        pytest.raises(Unavailable, match="import again"),
    ):
        gateway.post(BATCH)

    assert len(served.batches) == sender.ATTEMPTS_MAX


@pytest.mark.parametrize(
    ("code", "error"),
    [(401, Unauthenticated), (403, Unauthenticated), (400, Refused), (404, Refused)],
)
def test_a_gateway_that_says_no_is_not_asked_again(code: int, error: type[Exception]) -> None:
    with (
        serving(lambda _n, _ids: (code, {}, {"detail": "no"})) as served,
        posting(served) as gateway,
        pytest.raises(error),
    ):
        gateway.post(BATCH)

    assert len(served.batches) == 1


def test_no_gateway_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    (tmp_path / "token").write_text("secret\n")
    with serving(lambda _n, ids: (200, {}, verdicts(ids))) as served:
        url = served.url

    code = main.run(["import", str(DATA / "transcripts"), "--gateway", url])

    said = capsys.readouterr().err
    assert code == 1
    assert "no gateway answers" in said
    assert "secret" not in said


@pytest.mark.requirement("import-idempotent")
def test_the_command_sends_all_and_a_second_time_all_is_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    (tmp_path / "token").write_text("secret\n")
    known: set[str] = set()

    def script(_number: int, ids: list[str]) -> Answer:
        fresh = [name not in known for name in ids]
        known.update(ids)
        results = [
            {"id": name, "status": "accepted" if new else "duplicate"}
            for name, new in zip(ids, fresh, strict=True)
        ]
        return 200, {}, {"results": results}

    figures = []
    with serving(script) as served:
        for _ in range(2):
            arguments = ["import", str(DATA / "transcripts"), "--gateway", served.url, "--json"]
            assert main.run(arguments) == 0
            figures.append(json.loads(capsys.readouterr().out))

    once, twice = figures
    assert once["events"]["accepted"] == len(known) == twice["events"]["duplicate"]
    assert once["tokens"] == twice["tokens"]


def test_a_refused_event_fails_the_command_and_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    (tmp_path / "token").write_text("secret\n")

    with serving(lambda _n, ids: (200, {}, verdicts(ids, "refused", reason="too long"))) as served:
        code = main.run(["import", str(DATA / "transcripts"), "--gateway", served.url])

    assert code == 1
    assert "too long" in capsys.readouterr().out
