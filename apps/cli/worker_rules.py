"""What the settings of a worker come to beside its topology: retention, monitoring, notices."""

from analytics.alerts.notify.delivery import Policy
from analytics.monitoring.monitor import WatchRules
from streams.maintenance.retention import Retention
from streams.monitoring.alerts import EvaluationLimits
from streams.monitoring.stage import StageOptions
from streams.notify.notifier import NotifierOptions as NoticeRules
from streams.notify.sender import SendOptions
from streams.settings import StreamsSettings


def retention(settings: StreamsSettings) -> Retention:
    """Return how long the settings ask the store to keep each kind of row."""
    return Retention(
        events_days=settings.events_days,
        window_10s_days=settings.window_10s_days,
        window_1m_days=settings.window_1m_days,
        window_5m_days=settings.window_5m_days,
        window_1h_days=settings.window_1h_days,
        window_1d_days=settings.window_1d_days,
        sessions_days=settings.sessions_days,
        identities_days=settings.identities_days,
        dead_letters_days=settings.dead_letters_days,
    )


def watching(settings: StreamsSettings) -> StageOptions:
    """Return how the settings ask closed windows to be watched."""
    return StageOptions(
        watch=WatchRules(
            series_max=settings.watch_series_max,
            snapshot_minutes=settings.watch_snapshot_minutes,
        ),
        stalled_ms=settings.watch_stalled_ms,
        external_url=settings.dashboard_url,
        limits=EvaluationLimits(rule_ms=settings.rule_ms_max, rules_ms=settings.rules_ms_max),
    )


def notifying(settings: StreamsSettings) -> NoticeRules:
    """Return how the settings ask for alerts to be sent."""
    return NoticeRules(
        manner=SendOptions(
            timeout_s=settings.notify_timeout_s,
            is_private_allowed=settings.notify_private,
            files=settings.notify_files,
            external_url=settings.dashboard_url,
        ),
        policy=Policy(lasts_ms=settings.notify_lasts_s * 1_000),
        at_once=settings.notify_at_once,
    )
