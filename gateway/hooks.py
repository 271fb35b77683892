"""What a coding agent tells through its hooks, as events of ours.

A hook carries no time and no id: its time is the receipt, and its id comes from what it is about
(a tool call) or else from the receipt and the payload. Unknown hooks are kept as `agent.observed`.
"""

from analytics.contracts.agent_events import AgentEvent
from analytics.contracts.errors import BadBody
from analytics.contracts.ids import TenantId


def read_hook(
    payload: bytes, *, tenant: TenantId, received_ms: int, keep_content: bool = False
) -> tuple[AgentEvent, ...]:
    """Return the events of one hook; raise `BadBody` if the payload is no JSON object.

    Prompts, answers and what tools were given are left out unless `keep_content`.
    """
    raise BadBody(f"a hook payload of {len(payload)} bytes cannot be read")
