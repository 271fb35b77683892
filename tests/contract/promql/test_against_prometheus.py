"""What we make of an expression is what a real Prometheus makes of it, on the same series."""

import json
import math
import os
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from analytics.promql import (
    BadEvaluation,
    Dialect,
    InstantPoint,
    Labels,
    MemoryStorage,
    Result,
    Series,
    instant,
    labelled,
    parse,
    ranged,
)
from tests.support import promql_replay as replay

Rows = list[tuple[Labels, dict[int, float]]]
ORDERED: Final = ("sort", "topk(", "bottomk(")
READY: Final = "Server is ready to receive web requests"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Prometheus on the replayed series; return its address."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        if os.environ.get("CI"):
            pytest.fail("prometheus is required where CI is set; install Debian's prometheus")
        pytest.skip("prometheus is not here; install Debian's prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("global: {}\n")
    (folder / "series.txt").write_text(replay.exposition(replay.series()))
    loading = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "series.txt", "data"]
    subprocess.run(loading, cwd=folder, check=True, capture_output=True)
    with _started(folder) as server:
        assert server.stderr is not None
        log = []
        for line in server.stderr:
            log.append(line)
            if READY in line:
                break
        else:
            pytest.fail("".join(log))
        yield str(server.args[-1]).partition("=")[2]  # type: ignore[index]  # a list, as below
        server.terminate()
        server.communicate(timeout=30)


def _started(folder: Path) -> "subprocess.Popen[str]":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return subprocess.Popen(
        [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address={address}",
        ],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ask(address: str, path: str, **fields: str) -> Any:
    """Return the data of an answer, or None where it is an error."""
    body = urllib.parse.urlencode(fields).encode()
    try:
        with urllib.request.urlopen(f"http://{address}/api/v1/{path}", body, timeout=30) as reply:
            return json.load(reply)["data"]
    except urllib.error.HTTPError as error:
        with error:
            if error.code in {400, 422}:  # not for a range, or without an answer
                return None
        raise


def _theirs(data: Any) -> Rows:
    result = data["result"]
    if data["resultType"] in {"scalar", "string"}:
        return [((), {round(result[0] * 1000): _float(result[1])})]
    return [
        (
            labelled(row["metric"]),
            {
                round(at * 1000): _float(value)
                for at, value in (row["values"] if "values" in row else [row["value"]])
            },
        )
        for row in result
    ]


def _float(text: str) -> float:
    return 0.0 if text == "text" else float(text)


def _ours(result: Result, at_ms: int) -> Rows:
    if isinstance(result, str):
        return [((), {at_ms: _float(result)})]
    if isinstance(result, float):
        return [((), {at_ms: result})]
    rows: Rows = []
    for one in result:
        if isinstance(one, InstantPoint):
            rows.append((one.labels, {at_ms: one.value}))
        else:
            assert isinstance(one, Series)
            rows.append((one.labels, dict(one.samples())))
    return rows


def _alike(ours: float, theirs: float) -> bool:
    if not math.isfinite(theirs):
        return str(ours) == str(theirs)
    return math.isclose(ours, theirs, rel_tol=1e-8, abs_tol=1e-8)


def _difference(ours: Rows | None, theirs: Rows | None, *, is_ordered: bool) -> str:
    if ours is None or theirs is None:
        return "" if ours is theirs else f"one fails: ours {ours}, theirs {theirs}"
    if not is_ordered:
        ours, theirs = (sorted(rows, key=lambda row: row[0]) for rows in (ours, theirs))
    if [labels for labels, _ in ours] != [labels for labels, _ in theirs]:
        return f"rows: ours {ours}, theirs {theirs}"
    for (labels, our), (_, their) in zip(ours, theirs, strict=True):
        if our.keys() != their.keys():
            return f"{labels} at {sorted(our.keys() ^ their.keys())}"
        wrong = [(at, our[at], their[at]) for at in our if not _alike(our[at], their[at])]
        if wrong:
            return f"{labels}: {wrong[:3]}"
    return ""


def _instants(address: str, text: str, storage: MemoryStorage) -> Iterator[str]:
    for at_ms in replay.MOMENTS:
        data = _ask(address, "query", query=text, time=f"{at_ms / 1000:.3f}")
        try:
            ours = _ours(instant(parse(text), storage, at_ms, dialect=Dialect.TWO), at_ms)
        except BadEvaluation:
            ours = None
        theirs = None if data is None else _theirs(data)
        yield _difference(ours, theirs, is_ordered=text.startswith(ORDERED))


def _range(address: str, text: str, storage: MemoryStorage) -> str:
    start_ms, end_ms, step_ms = replay.RANGE
    data = _ask(
        address,
        "query_range",
        query=text,
        start=str(start_ms / 1000),
        end=str(end_ms / 1000),
        step=str(step_ms / 1000),
    )
    try:
        ours = _ours(
            ranged(parse(text), storage, start_ms, end_ms, step_ms=step_ms, dialect=Dialect.TWO), 0
        )
    except BadEvaluation:
        ours = None
    return _difference(ours, None if data is None else _theirs(data), is_ordered=False)


def test_at_least_two_hundred_expressions_are_compared() -> None:
    assert len(replay.expressions()) >= 200


@pytest.mark.embedded
@pytest.mark.requirement("promql-equal")
def test_every_expression_comes_to_what_prometheus_says(prometheus: str) -> None:
    storage = MemoryStorage(replay.series())
    wrong = {}
    for text in replay.expressions():
        found = [*_instants(prometheus, text, storage), _range(prometheus, text, storage)]
        if any(found):
            wrong[text] = found

    assert not wrong, "\n".join(f"{text}: {found}"[:600] for text, found in wrong.items())
