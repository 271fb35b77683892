"""Protobuf whose texts are no UTF-8, which every parser refuses as a whole, made clean.

`parsed` tries a message as it came. Only where that fails it goes over the wire format (field by
field, as the message's own descriptor says) and replaces what is no UTF-8 in its texts; all other
bytes stay as they were. Thus one bad character costs neither its record nor the neighbours.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from analytics.contracts import clean

DEPTH_MAX: Final = 100
"""How deep messages may be nested: as deep as protobuf's own parsers go."""
VARINT_BYTES_MAX: Final = 10

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZES: Final = {_FIXED64: 8, _FIXED32: 4}

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], data: bytes) -> M:
    """Return the message in `data`; raise `DecodeError` where it is none, clean or not."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        message = kind()
        message.ParseFromString(_cleaned(data, kind.DESCRIPTOR, DEPTH_MAX))
    return message


def _cleaned(data: bytes, shape: Any, depth: int) -> bytes:  # noqa: ANN401 - upb and pure Python differ
    if depth == 0:
        raise DecodeError("messages nested too deep")
    parts: list[bytes] = []
    for whole, number, body in _fields(data):
        field = shape.fields_by_number.get(number)
        if body is None or field is None:
            parts.append(whole)
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            kept = clean.text(body.decode("utf-8", "replace")).encode()
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            kept = _cleaned(body, field.message_type, depth - 1)
        else:
            kept = body
        parts += (_varint(number << 3 | _LENGTH), _varint(len(kept)), kept)
    return b"".join(parts)


def _fields(data: bytes) -> Iterator[tuple[bytes, int, bytes | None]]:
    """Yield each field as it stands, with its number and, where it has a length, its body."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _read_varint(data, at)
        number, wire = tag >> 3, tag & 7
        body: bytes | None = None
        if wire == _VARINT:
            _, at = _read_varint(data, at)
        elif wire == _LENGTH:
            length, at = _read_varint(data, at)
            body = data[at : at + length]
            at += length
        elif wire in _SIZES:
            at += _SIZES[wire]
        else:
            raise DecodeError(f"a field of wire type {wire}, which nobody writes any more")
        if at > len(data):
            raise DecodeError("the message ends in the middle of a field")
        yield data[start:at], number, body


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(VARINT_BYTES_MAX):
        if at + place >= len(data):
            break
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise DecodeError("a number that does not end")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
