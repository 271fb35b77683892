"""Who looks at the dashboard, and what they may do, until people sign in to it themselves.

On loopback it is whoever uses the machine. Beyond it a proxy in front signs people in and says who
each is by a header, which is believed from the networks of trusted proxies alone. The dashboard
does not listen beyond loopback without such a header.
"""

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final

import streamlit as st

from analytics.contracts.errors import BadSetting
from apps.dashboard import markup, viewing
from apps.dashboard.settings import PREFIX, DashboardSettings
from apps.dashboard.text import Html

LOOPBACK: Final = "127.0.0.1"
WHO: Final = "dashboard"
"""Who is said to have changed something where nobody gave a name."""
NAME_LENGTH_MAX: Final = 200
READ_ONLY: Final = "this dashboard only shows; change things from the command line or elsewhere"


def check_reach(host: str, chosen: DashboardSettings) -> None:
    """Raise `BadSetting` where strangers could reach a dashboard at `host` and be taken for us."""
    if chosen.reader_header or chosen.published_on_loopback or _is_loopback(host):
        return
    raise BadSetting(
        f"the dashboard has no sign-in and does not listen on {host!r}: put a proxy in front that "
        f"signs people in, and set {PREFIX}READER_HEADER to the header that says who reads; or "
        f"listen on {LOOPBACK}"
    )


def admit() -> None:
    """Stop the page, with a sentence, for who is not named by a trusted proxy where one has to."""
    if not viewing.settings().reader_header or name():
        return
    said = "This dashboard is read through its proxy, which did not say who you are."
    viewing.show(markup.panel(Html(f'<p role="alert">{said}</p>'), kind="alarm"))
    st.stop()


def name() -> str:
    """Return who reads by a trusted proxy's word, or nothing."""
    chosen = viewing.settings()
    if not chosen.reader_header or not _trusts(chosen.proxies, st.context.ip_address or LOOPBACK):
        return ""
    said: str = st.context.headers.get(chosen.reader_header, "")
    return said.strip()[:NAME_LENGTH_MAX]


def who() -> str:
    """Return who is said to have changed something."""
    return name() or WHO


def may_change() -> bool:
    """Say whether anything can be changed from here."""
    return not viewing.settings().read_only


def _trusts(proxies: Iterable[str], peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in ip_network(one) for one in proxies)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
