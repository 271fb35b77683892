"""A stand-in for the Messages API on loopback: answers a real coding agent with scripted turns.

Turn k answers the k-th request that offers tools; after the last one every answer is a text. A
request without tools (a title, a suggestion) gets a text at once. `answered` holds the usage of
every answer, and `failed` counts the refusals, so that a test knows what an agent was told.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final

from msgspec import Struct

MESSAGES: Final = "/v1/messages"


class Turn(Struct, frozen=True, kw_only=True):
    """One answer: a tool call, a text, or a refusal with a status."""

    text: str = "done"
    tool: str = ""
    given: dict[str, object] = {}
    status: int = 200
    input_tokens: int = 10
    output_tokens: int = 5
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0

    def usage(self) -> dict[str, int]:
        """Return the usage as the API words it."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_input_tokens": self.cache_read_tokens,
            "cache_creation_input_tokens": self.cache_write_tokens,
        }


class MessagesApi:
    """What agents are told, and what of it they have been told by now."""

    def __init__(self, turns: Sequence[Turn], *, gives_request_ids: bool) -> None:
        self.answered: list[Turn] = []
        self.failed = 0
        self.gives_request_ids = gives_request_ids
        self.url = ""
        self._turns = iter(turns)
        self._lock = Lock()

    def turn(self, request: Mapping[str, object]) -> Turn:
        """Return the answer to a request, and keep it."""
        with self._lock:
            turn = next(self._turns, Turn()) if request.get("tools") else Turn()
            if turn.status == 200:
                self.answered.append(turn)
            else:
                self.failed += 1
            return turn


@contextmanager
def messages_api(turns: Sequence[Turn], *, gives_request_ids: bool) -> Iterator[MessagesApi]:
    """Serve until the block ends."""
    api = MessagesApi(turns, gives_request_ids=gives_request_ids)

    class Handler(_Handler):
        told = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: MessagesApi

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer whatever an agent looks up."""
        self._send(200, b"{}")

    def do_POST(self) -> None:
        """Answer a request for a message, or for a count of tokens."""
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        if MESSAGES not in self.path or "count_tokens" in self.path:
            self._send(200, b'{"input_tokens": 10}')
            return
        request: dict[str, Any] = json.loads(raw)
        turn = self.told.turn(request)
        if turn.status != 200:
            error = {"type": "invalid_request_error", "message": "no"}
            self._send(turn.status, json.dumps({"type": "error", "error": error}).encode())
        elif request.get("stream"):
            self._send(200, _streamed(turn, request), "text/event-stream")
        else:
            content = [{"type": "text", "text": turn.text}]
            whole = _message(turn, request, turn.usage()) | {
                "content": content,
                "stop_reason": "end_turn",
            }
            self._send(200, json.dumps(whole).encode())

    def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        if self.told.gives_request_ids:
            self.send_header("request-id", f"req_{uuid.uuid4().hex[:24]}")
        self.end_headers()
        self.wfile.write(body)


def _message(turn: Turn, request: Mapping[str, Any], usage: dict[str, int]) -> dict[str, object]:
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "m"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _streamed(turn: Turn, request: Mapping[str, Any]) -> bytes:
    """Return an answer as events: counts grow from its first to its last, as the API's do."""
    block: dict[str, object]
    if turn.tool:
        call = f"toolu_{uuid.uuid4().hex[:24]}"
        block = {"type": "tool_use", "id": call, "name": turn.tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(turn.given)}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": turn.text}
    ended = {"stop_reason": "tool_use" if turn.tool else "end_turn", "stop_sequence": None}
    begun = _message(turn, request, turn.usage() | {"output_tokens": 1})
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": turn.output_tokens}},
        {"type": "message_stop"},
    ]
    return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events).encode()
