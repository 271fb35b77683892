"""The query API ends peers that take their time as the gateway does."""

from typing import Final

import pytest
from pydantic import SecretStr

from apps.api.settings import ApiSettings
from apps.cli.api import server_of
from gateway.http.server import serving
from tests.support.gateway import KEY, settings, until
from tests.support.slow_peers import PEERS, Peer, outlasted

SHORT: Final = {"head_seconds_max": 0.3, "idle_seconds_max": 0.4}
NOWHERE: Final = SecretStr("postgresql://127.0.0.1:1/none")

pytestmark = pytest.mark.requirement("limits-have-names")


@pytest.mark.parametrize(
    "peer", [peer for peer in PEERS if not peer.has_token], ids=lambda peer: peer.name
)
async def test_a_peer_is_ended_however_it_takes_its_time(peer: Peer) -> None:
    access = settings(port=0, token_key=SecretStr(KEY.decode()), **SHORT)
    chosen = ApiSettings.model_construct(
        host="127.0.0.1",
        port=0,
        store_url=NOWHERE,
        connections_max=1,
        connect_wait_s=0.1,
        query_ms_max=100,
    )

    async with serving(server_of(chosen, access)) as running:
        await outlasted(peer, running.port, token="")
        await until(lambda: not len(running.connections))
