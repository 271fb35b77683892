"""What people change by a click: each change on a small writable connection, told in a sentence.

Only a click's handler calls `change`. What became of it is shown once, at the top of the page, and
answers that were kept from before are not shown after it.
"""

from collections.abc import Callable
from typing import Final

import streamlit as st

from analytics.contracts.errors import Refused, StoreAway
from apps.dashboard import markup, viewer, viewing
from apps.dashboard.text import Html, escaped
from streams.store import controls
from streams.store.controls import Db

_TOLD: Final = "controls_told"
_VERSION: Final = "controls_version"


def change(work: Callable[[Db, str], object], *, done: str) -> bool:
    """Do `work` for the tenant, remember what to say of it, and say whether it was done."""
    chosen = viewing.settings()
    if not viewer.may_change():
        refuse(viewer.READ_ONLY)
        return False
    try:
        with controls.opened(chosen.store_url.get_secret_value()) as db:
            work(db, viewing.chosen_tenant())
    except (Refused, StoreAway) as error:
        st.session_state[_TOLD] = (False, str(error))
        return False
    st.session_state[_TOLD] = (True, done)
    st.session_state[_VERSION] = version() + 1
    return True


def version() -> int:
    """Return how often this viewer changed something: part of what answers are kept under."""
    return int(st.session_state.get(_VERSION, 0))


def refuse(words: str) -> None:
    """Remember why nothing was changed."""
    st.session_state[_TOLD] = (False, words)


def told() -> None:
    """Say what became of the last change, once."""
    said = st.session_state.pop(_TOLD, None)
    if said is None:
        return
    went, words = said
    mark = "✓ Done." if went else "✗ Not done."
    viewing.show(
        markup.panel(
            Html(f'<p role="status"><strong>{mark}</strong> {escaped(words, most=600)}</p>'),
            kind="calm" if went else "alarm",
        )
    )
