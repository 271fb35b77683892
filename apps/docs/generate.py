"""Write the generated documents: `python -m apps.docs.generate`, or `make docs`.

Everything is made in memory first (`documents`), so a test compares it with what lies in `docs/`
without writing. A schema of an event that is no more is removed.
"""

import json
from pathlib import Path
from typing import Final

from analytics.alerts.rules import exposed
from apps.docs import (
    asyncapi,
    events_page,
    grafana,
    metrics_page,
    pool_page,
    schemas,
    settings_page,
)

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
SCHEMAS: Final = "reference/schemas"


def documents() -> dict[str, str]:
    """Return every generated document by its path below `docs/`."""
    made = {
        "reference/events.md": events_page.page(),
        "reference/settings.md": settings_page.page(),
        "reference/metrics.md": metrics_page.page(),
        "reference/series.md": exposed.page(),
        "reference/pool.md": pool_page.page(),
        "reference/asyncapi.yaml": asyncapi.page(),
        "grafana/gateway.json": grafana.page(),
    }
    for name, schema in schemas.all_schemas():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        made[f"{SCHEMAS}/{name}.json"] = text + "\n"
    return made


def write(folder: Path) -> None:
    """Write every document below `folder`, and remove schemas of events that are no more."""
    made = documents()
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / SCHEMAS).glob("*.json"):
        if f"{SCHEMAS}/{old.name}" not in made:
            old.unlink()
    for path, text in made.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


if __name__ == "__main__":
    write(DOCS)
