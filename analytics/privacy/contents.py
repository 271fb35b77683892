"""Which attributes hold what people, models and tools said, by the names that senders give them."""

from functools import lru_cache
from typing import Final

CONTENT_KEYS: Final = frozenset(
    {
        "prompt", "response", "body", "output", "arguments", "content", "content_new_context",
        "tool_input", "tool_parameters", "tool_response", "tool_output", "function_args",
        "request_text", "response_text", "full_command", "new_context", "user_prompt",
        "gen_ai.prompt", "gen_ai.completion", "gen_ai.input.messages", "gen_ai.output.messages",
        "gen_ai.system_instructions", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result",
        "gen_ai.tool.definitions", "gen_ai.event.content", "input.value", "output.value",
        "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents",
    }
)  # fmt: skip
CONTENT_PREFIXES: Final = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts",
    "llm.completions",
)
KEYS_MAX: Final = 4_096
"""Names whose answer is remembered."""


@lru_cache(maxsize=KEYS_MAX)
def is_content(key: str) -> bool:
    """Say whether an attribute of this name holds what people and models said."""
    return key in CONTENT_KEYS or key.startswith(CONTENT_PREFIXES)
