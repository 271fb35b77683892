"""The tenants of one machine: the user's own, and those of what is not the user's data.

What the demo plays and what `doctor` sends stay apart from the user's own figures, and
`mainstem erase --tenant NAME --everything` removes either whole.
"""

from typing import Final

from analytics.contracts.ids import DEFAULT_TENANT, TenantId

DEMO: Final = TenantId("demo")
DOCTOR: Final = TenantId("doctor")
ALL: Final = (DEFAULT_TENANT, DEMO, DOCTOR)
"""What the dashboard of `mainstem up` offers to look at."""
