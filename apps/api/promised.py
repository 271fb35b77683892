"""What OpenAPI says of the routes in Prometheus' own words: parameters, forms and answers."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from gateway.http.openapi import responses

FORM: Final = "application/x-www-form-urlencoded"
MATCH: Final = "match[]"
_JSON: Final[dict[str, Any]] = {"application/json": {"schema": {"type": "object"}}}
_TIME: Final = "Unix seconds or RFC 3339; now where nothing is said."
_BACK: Final = "Unix seconds or RFC 3339; a day back where nothing is said."
_SELECTORS: Final = {
    "start": _BACK,
    "end": _TIME,
    MATCH: "Selectors of series; may be given several times.",
}
_LIMIT: Final = {"limit": "How many at most, with a warning where there are more; 0 is all."}
QUERY: Final = {"query": "The expression, in PromQL.", "time": _TIME, **_LIMIT}
RANGE: Final = {
    "query": QUERY["query"],
    "start": "Unix seconds or RFC 3339.",
    "end": "Unix seconds or RFC 3339.",
    "step": "Seconds, or a number with a unit such as 5m.",
    **_LIMIT,
}
LISTED: Final[Mapping[str, str]] = {**_SELECTORS, **_LIMIT}
METADATA: Final = {
    "metric": "Only of this metric.",
    "limit": "How many metrics at most; 0 is all.",
    "limit_per_metric": "How many descriptions of each at most; 0 is all.",
}
RULES: Final = {
    "type": "Only rules of one kind: alert or record.",
    "rule_name[]": "Only rules of these names.",
    "rule_group[]": "Only groups of these names.",
    "file[]": "Only groups of these files.",
    MATCH: "Only rules with labels that any of these selectors match.",
    "exclude_alerts": "true leaves the alerts of rules out.",
    "group_limit": "How many groups at most; 0 is all.",
    "group_next_token": "Where the page before said that the next one begins.",
}
_NEEDED: Final = ({"query"}, {"query", "start", "end", "step"})


def asked(
    parameters: Mapping[str, str], *, in_path: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what OpenAPI says of a question by GET."""
    needed = _needed(parameters)
    listed = [
        _parameter(name, about, where="query", is_needed=name in needed)
        for name, about in parameters.items()
    ]
    return answered({"parameters": [*_in_path(in_path or {}), *listed]})


def posted(
    parameters: Mapping[str, str], *, in_path: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what OpenAPI says of the same question by POST, with a form."""
    form = {
        "type": "object",
        "properties": {
            name: {**_schema(name), "description": about} for name, about in parameters.items()
        },
        "required": sorted(_needed(parameters)),
    }
    body = {"content": {FORM: {"schema": form}}, "required": bool(form["required"])}
    return answered({"parameters": _in_path(in_path or {}), "requestBody": body})


def answered(
    extra: Mapping[str, Any] | None = None, *, content: Mapping[str, Any] = _JSON
) -> dict[str, Any]:
    """Return what OpenAPI says of an answer."""
    return {
        "response_class": Response,
        "openapi_extra": dict(extra or {}),
        "responses": {
            200: {"description": "The answer.", "content": dict(content)},
            304: {"description": "The caller has it: If-None-Match names its ETag."},
            **responses(401, 403, 408, 413, 429),
            **{status: {"description": about, "content": _JSON} for status, about in _FAILED},
        },
    }


def _needed(parameters: Mapping[str, str]) -> set[str]:
    return {name for name in parameters if any(name in one <= set(parameters) for one in _NEEDED)}


def _in_path(named: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_parameter(name, about, where="path", is_needed=True) for name, about in named.items()]


def _parameter(name: str, about: str, *, where: str, is_needed: bool) -> dict[str, Any]:
    return {
        "name": name, "in": where, "required": is_needed, "description": about,
        "schema": _schema(name),
    }  # fmt: skip


def _schema(name: str) -> dict[str, Any]:
    text = {"type": "string"}
    return {"type": "array", "items": text} if name.endswith("[]") else text


_FAILED: Final = (
    (400, "The question has no meaning: what, and where."),
    (422, "It cannot be evaluated."),
    (503, "The store is away; ask again after Retry-After."),
)
