"""The protocol's Protobuf messages: field numbers and types, made into classes when imported.

The table follows `client.proto` of the protocol's authors. Fields that this gateway neither reads
nor writes are left out: Protobuf skips what it does not know. The classes live in a pool of their
own, so that another copy of the schema in the same process is no conflict.
"""

from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    MessageOptions,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

PACKAGE: Final = "centrifugal.centrifuge.protocol"
SCHEMA: Final = """
Command         1 uint32 id, 4 ConnectRequest connect, 5 SubscribeRequest subscribe,
                6 ChannelRequest unsubscribe, 7 PublishRequest publish, 8 ChannelRequest presence,
                9 ChannelRequest presence_stats, 10 HistoryRequest history, 11 Empty ping,
                12 Empty send, 13 RpcRequest rpc, 14 RefreshRequest refresh,
                15 SubRefreshRequest sub_refresh
ConnectRequest  1 string token, 3 map subs=SubscribeRequest, 4 string name, 5 string version
SubscribeRequest 1 string channel, 2 string token, 3 bool recover, 6 string epoch, 7 uint64 offset,
                8 bytes data, 13 FilterNode tf, 14 int64 flag, 15 int32 type
FilterNode      1 string op, 2 string key, 3 string cmp, 4 string val, 5 list vals=string,
                6 list nodes=FilterNode
ChannelRequest  1 string channel
PublishRequest  1 string channel, 2 bytes data, 3 int32 type
HistoryRequest  1 string channel, 7 int32 limit, 8 StreamPosition since, 9 bool reverse
StreamPosition  1 uint64 offset, 2 string epoch
RpcRequest      1 bytes data, 2 string method
RefreshRequest  1 string token
SubRefreshRequest 1 string channel, 2 string token
Empty
Reply           1 uint32 id, 2 Error error, 4 Push push, 5 ConnectResult connect,
                6 SubscribeResult subscribe, 7 Empty unsubscribe, 8 Empty publish,
                9 PresenceResult presence, 10 PresenceStatsResult presence_stats,
                11 HistoryResult history, 13 RpcResult rpc, 14 RefreshResult refresh,
                15 SubRefreshResult sub_refresh
Error           1 uint32 code, 2 string message, 3 bool temporary
ConnectResult   1 string client, 2 string version, 3 bool expires, 4 uint32 ttl,
                6 map subs=SubscribeResult, 7 uint32 ping, 8 bool pong
SubscribeResult 1 bool expires, 2 uint32 ttl, 3 bool recoverable, 6 string epoch,
                7 list publications=Publication, 8 bool recovered, 9 uint64 offset,
                10 bool positioned, 11 bytes data, 12 bool was_recovering
Publication     4 bytes data, 5 ClientInfo info, 6 uint64 offset, 7 map tags=string, 9 int64 time
ClientInfo      1 string user, 2 string client, 3 bytes conn_info, 4 bytes chan_info
PresenceResult  1 map presence=ClientInfo
PresenceStatsResult 1 uint32 num_clients, 2 uint32 num_users
HistoryResult   1 list publications=Publication, 2 string epoch, 3 uint64 offset
RpcResult       1 bytes data
RefreshResult   1 string client, 3 bool expires, 4 uint32 ttl
SubRefreshResult 1 bool expires, 2 uint32 ttl
Push            2 string channel, 4 Publication pub, 5 Present join, 6 Present leave,
                7 Unsubscribe unsubscribe, 8 Data message, 9 Subscribe subscribe,
                11 Disconnect disconnect
Present         1 ClientInfo info
Unsubscribe     2 uint32 code, 3 string reason
Data            1 bytes data
Subscribe       1 bool recoverable, 4 string epoch, 5 uint64 offset, 6 bool positioned,
                7 bytes data
Disconnect      1 uint32 code, 2 string reason, 3 bool reconnect
"""
"""One message a paragraph: its name, then each field's number, type and name."""

_SCALARS: Final = {
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def classes() -> dict[str, type[Message]]:
    """Return a class for each message of the schema, by name."""
    file = FileDescriptorProto(name="client.proto", package=PACKAGE, syntax="proto3")
    for paragraph in SCHEMA.strip().replace("\n  ", "").split("\n"):
        name, _, fields = paragraph.partition(" ")
        _describe(file.message_type.add(name=name), fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {
        message.name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{message.name}"))
        for message in file.message_type
    }


def _describe(message: DescriptorProto, fields: str) -> None:
    for field in filter(None, fields.split(",")):
        number, kind, name = field.split()
        name, _, inner = name.partition("=")
        one = message.field.add(name=name, number=int(number))
        one.label = one.LABEL_OPTIONAL if kind not in {"list", "map"} else one.LABEL_REPEATED
        if kind == "map":
            _describe_entry(message, one, inner)
        else:
            _type(one, inner or kind)


def _describe_entry(message: DescriptorProto, field: FieldDescriptorProto, value: str) -> None:
    """Protobuf's own way to say map: repeated entries of a key and a value."""
    entry = message.nested_type.add(
        name=f"{field.name.capitalize()}Entry", options=MessageOptions(map_entry=True)
    )
    _type(entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL), "string")
    _type(entry.field.add(name="value", number=2, label=field.LABEL_OPTIONAL), value)
    field.type = field.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"


def _type(field: FieldDescriptorProto, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
        return
    field.type = field.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{kind}"
