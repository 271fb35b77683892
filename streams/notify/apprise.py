"""Every other service, through apprise: an extra, imported when a receiver first needs it.

Its URLs hold secrets and it logs them, so its logger is off. It says only whether it worked, so all
that fails is tried again. Where only public addresses are allowed, a service on a host of one's
own is looked up before, and follows no redirect.
"""

import logging
from typing import TYPE_CHECKING

from analytics.contracts.errors import MissingPart
from streams.notify.connections import dial
from streams.notify.failures import ReceiverAway, ReceiverRefused

if TYPE_CHECKING:
    import apprise


class Others:
    """Sends by apprise, from any thread."""

    def __init__(self, *, timeout_s: float, is_private_allowed: bool) -> None:
        self._timeout_s = timeout_s
        self._is_private_allowed = is_private_allowed

    def send(self, url: str, *, title: str, body: str) -> None:
        """Return once the service took it; raise `MissingPart` or what it failed with."""
        try:
            import apprise
        except ImportError as error:
            raise MissingPart(
                "receivers of apprise_configs need the extra: pip install 'mainstem[apprise]'"
            ) from error
        logging.getLogger("apprise").disabled = True
        service = apprise.Apprise.instantiate(url, asset=_asset(), suppress_exceptions=True)
        if service is None:
            raise ReceiverRefused("the URL is of no service that apprise knows")
        self._check(service)
        if not self._is_private_allowed:
            service.redirects = False
        try:
            is_sent = service.notify(body=body, title=title)
        except Exception as error:  # noqa: BLE001 - plugins raise what their libraries do
            kind = type(error).__name__
            raise ReceiverAway(f"apprise could not send it ({kind})") from None
        if not is_sent:
            raise ReceiverAway("apprise could not send it")

    def _check(self, service: "apprise.NotifyBase") -> None:
        """Refuse services of one's own that lie where we do not go."""
        host, port = getattr(service, "host", None), getattr(service, "port", None)
        if self._is_private_allowed or not isinstance(host, str) or not host:
            return
        port = port if isinstance(port, int) and port else 443 if service.secure else 80
        dial(host, port, timeout_s=self._timeout_s, is_private_allowed=False).close()


def _asset() -> "apprise.AppriseAsset":
    import apprise

    return apprise.AppriseAsset(app_id="Mainstem", app_desc="Mainstem", async_mode=False)
