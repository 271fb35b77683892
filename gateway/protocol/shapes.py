"""What replies and pushes are made of, as both codecs write them.

A codec says how it writes the four things that differ: what a subscription is answered with, what
one that the server began is announced with, a publication, and who a client is; and what becomes
of application data.
"""

from collections.abc import Callable
from typing import assert_never

from msgspec import Struct

from gateway.protocol import messages as says

Fields = dict[str, object]


class Shapes(Struct, frozen=True, kw_only=True):
    """How a codec writes what differs."""

    subscribed: Callable[[says.Subscribed], Fields]
    entered: Callable[[says.Subscribed], Fields]
    publication: Callable[[says.Publication], Fields]
    info: Callable[[says.ClientInfo], Fields]
    data: Callable[[bytes], object]

    def result(self, result: says.Result) -> Fields:
        """Return the fields of what a command is answered with."""
        match result:
            case says.Connected():
                return self._connected(result)
            case says.Refreshed() | says.SubRefreshed():
                client = {"client": result.client} if isinstance(result, says.Refreshed) else {}
                return {**client, **expiry(result.ttl)}
            case says.Subscribed():
                return self.subscribed(result)
            case says.Called():
                return {"data": self.data(result.data)}
            case says.HistoryPage():
                entries = [self.publication(one) for one in result.publications]
                return {"publications": entries, "epoch": result.epoch, "offset": result.offset}
            case says.Present():
                clients = {name: self.info(one) for name, one in result.clients.items()}
                return {"presence": clients}
            case says.ChannelStats():
                return {"num_clients": result.clients, "num_users": result.users}
            case says.Unsubscribed() | says.Published():
                return {}
            case _:
                assert_never(result)

    def push(self, push: says.Push) -> Fields:
        """Return the fields of what the server says by itself."""
        match push:
            case says.PublicationPush():
                return {"channel": push.channel, "pub": self.publication(push.publication)}
            case says.JoinPush():
                return {"channel": push.channel, "join": {"info": self.info(push.info)}}
            case says.LeavePush():
                return {"channel": push.channel, "leave": {"info": self.info(push.info)}}
            case says.UnsubscribePush():
                ended = {"code": push.code, "reason": push.reason}
                return {"channel": push.channel, "unsubscribe": ended}
            case says.SubscribePush():
                return {"channel": push.channel, "subscribe": self.entered(push.subscribed)}
            case says.MessagePush():
                return {"message": {"data": self.data(push.data)}}
            case says.DisconnectPush():
                ended = {"code": push.code, "reason": push.reason}
                return {"disconnect": {**ended, "reconnect": push.reconnect}}
            case _:
                assert_never(push)

    def _connected(self, given: says.Connected) -> Fields:
        subs = {name: self.subscribed(one) for name, one in given.subs.items()}
        fixed = {"client": given.client, "version": given.version}
        times = {**expiry(given.ttl), "ping": given.ping, "pong": True}
        return {**fixed, **times, **({"subs": subs} if subs else {})}


def expiry(ttl: int | None) -> Fields:
    """Return for how long a token lasts, where it does not last for ever."""
    return {} if ttl is None else {"expires": True, "ttl": ttl}
