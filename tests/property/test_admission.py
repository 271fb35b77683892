"""The short way in reads what the close one reads: the same event, or the same refusal."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from analytics.contracts.ids import TenantId
from gateway.http.auth import Grant
from gateway.kafka.admission import Admission
from gateway.kafka.publisher import OutgoingEvent
from tests.support import facts
from tests.support.publisher_memory import MemoryPublisher

GRANT = Grant(user="u", tenant=TenantId("acme"), scopes=frozenset())
ODD: st.SearchStrategy[object] = st.sampled_from(
    [None, "", "x", 0, -1, 1.0, 1.5, 2**63, True, [], {}, "é\u2028", "\ud800"]
)
SAMPLES = [msgspec.json.decode(facts.encoded(one)) for one in facts.one_of_each()]


@st.composite
def items(draw: st.DrawFn) -> bytes:
    fields = dict(draw(st.sampled_from(SAMPLES)))
    for name in draw(st.lists(st.sampled_from([*fields, "user", "unheard_of"]), max_size=3)):
        if draw(st.booleans()):
            fields.pop(name, None)
        else:
            fields[name] = draw(ODD)
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:
        return b"{}"


@given(items())
def test_both_ways_in_say_the_same_of_every_item(item: bytes) -> None:
    way_in = Admission(MemoryPublisher(), events_max=1, new_id=lambda: "made")

    short = way_in._read(item, grant=GRANT, traceparent="")
    close = way_in._read_closely(item, grant=GRANT, traceparent="")

    assert short == close
    if isinstance(short, OutgoingEvent):
        assert short.event.tenant == "acme"
        assert short.event.id
