"""Where secrets stand: assignments as programs, shells and files write them, and plain texts."""

from typing import Final

NAMED: Final = (
    '{i}_token="{s}"',
    '{i}Token = "{s}"',
    "{i}_token={s}",
    "{i}_token = {s}",
    '{{\n    "{i}_token": "{s}"\n}}',
    '{{"config.ini": "{I}_TOKEN={s}\\nBACKUP_ENABLED=true"}}',
    "<{i}Token>\n    {s}\n</{i}Token>",
    "{i}_token: {s}",
    "{i}_token: '{s}'",
    'string {i}Token = "{s}";',
    'var {i}Token string = "{s}"',
    '{i}Token := "{s}"',
    "{i}Token := `{s}`",
    '${i}Token .= "{s}"',
    'System.setProperty("{I}_TOKEN", "{s}")',
    '  "{i}Token" => "{s}"',
    '{i}_TOKEN ?= "{s}"',
    "export {I}_API_KEY={s}",
    '{{\\"{i}_key\\":\\"{s}\\"}}',
    "https://example.org/?{i}_secret={s}&x=1",
    "--{i}-token {s}",
)
"""Texts with the name of a service (`{i}`, in capitals `{I}`) before a secret (`{s}`)."""
PLAIN: Final = (
    "{s}",
    "use {s} please",
    "x={s}",
    '{{"n":"{s}"}}',
    "https://example.org/?q={s}&b=1",
    'curl -H "X: {s}"',
    "\x1b[31m{s}\x1b[0m",
    "a\n{s}\nb",
)
"""Texts in which nothing but its own form tells of a secret."""


def texts(service: str, secret: str) -> list[str]:
    """Return a secret in each text where it is to be found."""
    name = service or "my"
    where = NAMED if service else (*PLAIN, *NAMED)
    return [text.format(i=name, I=name.upper(), s=secret) for text in where]
