"""`mainstem import` over files and folders that cannot be read: named, and passed over."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analytics.contracts.errors import BadSetting
from apps.cli import main
from apps.transcripts import files

NOBODY = 65_534


def _line(number: int) -> dict[str, object]:
    return {
        "type": "assistant",
        "sessionId": f"s-{number}",
        "uuid": f"u-{number}",
        "timestamp": "2026-01-01T00:00:00Z",
        "message": {
            "id": f"m-{number}",
            "model": "claude-sonnet-4-6",
            "content": "x",
            "usage": {"input_tokens": 1000, "output_tokens": 1},
        },
    }


def _written(path: Path, number: int, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((json.dumps(_line(number)) + "\n").encode(encoding))
    return path


def _imported(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, dict[str, object]]:
    monkeypatch.setenv("MAINSTEM_HOME", str(path))
    code = main.run(["import", str(path), "--dry-run", "--json"])
    figures: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, figures


@pytest.fixture
def shared() -> Iterator[Path]:
    """Give a folder that anybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def _without_rights() -> Iterator[None]:
    """Be somebody who may not read everything: root may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_what_may_not_be_read_is_named_and_the_rest_is_imported(
    shared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(shared / "a" / "good.jsonl", 1)
    closed = _written(shared / "a" / "closed.jsonl", 2)
    folder = _written(shared / "b" / "inside.jsonl", 3).parent
    closed.chmod(0)
    folder.chmod(0)

    with _without_rights():
        code, figures = _imported(shared, capsys, monkeypatch)
    folder.chmod(0o755)

    assert code == 1
    assert figures["requests"] == 1
    assert figures["unread"] == [
        {"path": str(folder), "reason": "permission denied"},
        {"path": str(closed), "reason": "permission denied"},
    ]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "a folder, not a transcript"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to(path.with_name("gone")), "no such file or directory"),
        (lambda path: path.symlink_to("/proc/self/mem"), "input/output error"),
        (os.mkfifo, "not a file"),
    ],
    ids=["folder", "link to itself", "vanished", "breaks while it is read", "pipe"],
)
def test_what_is_no_transcript_is_named_and_the_rest_is_imported(
    make: object,
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _written(tmp_path / "a.jsonl", 1)
    _written(tmp_path / "z.jsonl", 2)
    odd = tmp_path / "odd.jsonl"
    assert callable(make)
    make(odd)

    code, figures = _imported(tmp_path, capsys, monkeypatch)

    assert code == 1
    assert figures["requests"] == 2
    assert figures["unread"] == [{"path": str(odd), "reason": reason}]


def test_a_folder_that_is_linked_in_a_circle_is_read_once(tmp_path: Path) -> None:
    _written(tmp_path / "a.jsonl", 1)
    (tmp_path / "again").symlink_to(tmp_path)

    found = files.found([tmp_path])

    assert [item.path.name for item in found.transcripts] == ["a.jsonl"]
    assert not found.unread


def test_people_are_told_which_files_were_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(tmp_path))
    (tmp_path / "odd.jsonl").mkdir()

    assert main.run(["import", str(tmp_path), "--dry-run"]) == 1

    told = capsys.readouterr().out
    assert "passed over 1 files or folders that cannot be read" in told
    assert f"{tmp_path / 'odd.jsonl'}: a folder, not a transcript" in told


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_transcript_may_begin_with_a_byte_order_mark(
    encoding: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _written(tmp_path / "a.jsonl", 1, encoding)

    code, figures = _imported(tmp_path, capsys, monkeypatch)

    assert (code, figures["requests"], figures["tokens"]) == (
        0, 1, {"input": 1000, "output": 1, "cache_read": 0, "cache_write": 0},
    )  # fmt: skip


def test_a_name_on_disk_that_is_no_utf8_is_shown_with_replacements(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl"))
    _written(path, 1)

    [found] = files.found([tmp_path]).transcripts

    assert found.session_id == "\ufffd"
    assert files.name_of(found.path).endswith("/\ufffd.jsonl")


def test_a_folder_without_any_transcript_is_still_misuse(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="no transcript"):
        files.found([tmp_path])
