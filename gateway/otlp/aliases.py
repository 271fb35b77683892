"""The names under which libraries that trace model calls write the same things, as data.

GenAI semantic conventions, old and new; pydantic-ai and logfire; OpenInference (Arize Phoenix);
OpenLLMetry (Traceloop); LiteLLM; the Vercel AI SDK; Google's ADK. The first name that is there
counts. Add a library by adding its names.
"""

from enum import StrEnum
from typing import Final

Names = tuple[str, ...]

INPUT: Final[Names] = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "llm.token_count.prompt",
    "llm.usage.prompt_tokens",
    "llm.usage.input_tokens",
    "ai.usage.inputTokens",
    "ai.usage.promptTokens",
)
OUTPUT: Final[Names] = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "llm.token_count.completion",
    "llm.usage.completion_tokens",
    "llm.usage.output_tokens",
    "ai.usage.outputTokens",
    "ai.usage.completionTokens",
)
TOTAL: Final[Names] = (
    "gen_ai.usage.total_tokens",
    "llm.token_count.total",
    "llm.usage.total_tokens",
    "ai.usage.totalTokens",
    "ai.usage.tokens",
)
CACHE_READ: Final[Names] = (
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.cache_read_tokens",
    "gen_ai.usage.cached_input_tokens",
    "gen_ai.usage.cached_tokens",
    "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.input_tokens_details.cached_tokens",
    "gen_ai.usage.input_token_details.cached_tokens",
    "gen_ai.usage.prompt_tokens_details.cached_tokens",
    "gen_ai.usage.details.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.details.cached_tokens",
    "llm.token_count.prompt_details.cache_read",
    "llm.token_count.prompt_details.cached",
    "llm.usage.cache_read_input_tokens",
    "llm.usage.cached_tokens",
    "ai.usage.inputTokenDetails.cacheReadTokens",
    "ai.usage.cachedInputTokens",
)
CACHE_WRITE: Final[Names] = (
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.cache_write_tokens",
    "gen_ai.usage.cache_creation_tokens",
    "gen_ai.usage.details.cache_creation_input_tokens",
    "gen_ai.usage.details.cache_creation_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
    "llm.token_count.prompt_details.cache_write",
    "llm.token_count.prompt_details.cache_creation",
    "llm.usage.cache_creation_input_tokens",
    "ai.usage.inputTokenDetails.cacheWriteTokens",
    "ai.usage.cacheCreationInputTokens",
)
REASONING: Final[Names] = (
    "gen_ai.usage.reasoning.output_tokens",
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.output_tokens_details.reasoning_tokens",
    "gen_ai.usage.completion_tokens_details.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.details.thoughts_tokens",
    "llm.token_count.completion_details.reasoning",
    "llm.usage.reasoning_tokens",
    "ai.usage.outputTokenDetails.reasoningTokens",
    "ai.usage.reasoningTokens",
)
MODEL: Final[Names] = (
    "gen_ai.response.model",
    "ai.response.model",
    "llm.response.model",
    "gen_ai.request.model",
    "llm.model_name",
    "llm.request.model",
    "ai.model.id",
    "embedding.model_name",
    "model_name",
)
RESPONSE_ID: Final[Names] = ("gen_ai.response.id", "ai.response.id", "llm.response.id")
COST: Final[Names] = (
    "gen_ai.usage.cost",
    "gen_ai.usage.total_cost",
    "gen_ai.cost.total_cost",
    "llm.cost.total",
    "operation.cost",
)
SESSION: Final[Names] = (
    "session.id",
    "gen_ai.conversation.id",
    "conversation.id",
    "gcp.vertex.agent.session_id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId",
    "metadata.session_id",
    "session_id",
)
TOOL: Final[Names] = (
    "gen_ai.tool.name",
    "tool.name",
    "ai.toolCall.name",
    "traceloop.entity.name",
)
TOOL_CALL_ID: Final[Names] = (
    "gen_ai.tool.call.id",
    "tool.id",
    "tool_call.id",
    "ai.toolCall.id",
    "call_id",
)
TOOL_ARGUMENTS: Final[Names] = (
    "gen_ai.tool.call.arguments",
    "tool.parameters",
    "ai.toolCall.args",
    "input.value",
)


class Kind(StrEnum):
    """What a span is about, as its library says."""

    REQUEST = "request"
    """One model call."""
    TOOL = "tool"
    AGENT = "agent"
    """An agent's run: if it has tokens, they are the sum of its requests'."""
    OTHER = "other"
    """Something whose tokens, if any, are told by the spans below it."""
    UNSAID = "unsaid"


OPERATIONS: Final[Names] = (
    "gen_ai.operation.name",
    "ai.operationId",
    "openinference.span.kind",
    "llm.request.type",
    "traceloop.span.kind",
)
"""Where a span says what it is about; the first whose word is known counts."""

KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        (
            "chat", "generate_content", "text_completion", "embeddings", "completion", "embedding",
            "responses", "messages", "anthropic_messages", "rerank", "llm", "inference", "call_llm",
            "ai.generatetext.dogenerate", "ai.streamtext.dostream",
            "ai.generateobject.dogenerate", "ai.streamobject.dostream", "ai.embed.doembed",
            "ai.embedmany.doembed",
        ),
        Kind.REQUEST,
    ),
    **dict.fromkeys(("execute_tool", "tool", "ai.toolcall"), Kind.TOOL),
    **dict.fromkeys(("invoke_agent", "agent"), Kind.AGENT),
    **dict.fromkeys(
        (
            "create_agent", "invoke_workflow", "plan", "retrieval", "chain", "retriever",
            "reranker", "guardrail", "evaluator", "workflow", "task", "ai.generatetext",
            "ai.streamtext", "ai.generateobject", "ai.streamobject", "ai.embed", "ai.embedmany",
        ),
        Kind.OTHER,
    ),
}  # fmt: skip
"""What the words mean, in lower case. LiteLLM's asynchronous twins begin with an `a` more."""


def kind_of(word: str) -> Kind:
    """Return what a span of this operation is about."""
    lower = word.lower()
    known = KINDS.get(lower)
    if known is None and lower.startswith("a"):
        twin = KINDS.get(lower[1:])
        known = twin if twin is Kind.REQUEST else None
    return Kind.UNSAID if known is None else known
