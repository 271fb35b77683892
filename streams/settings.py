"""What a worker can be told: typed, bounded and explained; a wrong setting stops it at start.

Every field reads `MAINSTEM_STREAMS_<FIELD>` from the environment; the store's URL may also come
from `DATABASE_URL`.
"""

from pathlib import Path
from typing import Final

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from analytics.contracts.errors import BadSetting

PREFIX: Final = "MAINSTEM_STREAMS_"


class StreamsSettings(BaseSettings):
    """One worker process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True)

    broker: str = Field(
        "127.0.0.1:9092",
        pattern=r"^[^\s:,]+:\d{1,5}(,[^\s:,]+:\d{1,5})*$",
        description="Kafka bootstrap servers, HOST:PORT, comma separated.",
    )
    store_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices(f"{PREFIX}STORE_URL", "DATABASE_URL"),
        description="PostgreSQL or TimescaleDB, as postgresql://…; DATABASE_URL is read too.",
    )
    store_connections_max: int = Field(
        4, ge=2, le=100, description="Connections that a worker holds to the store."
    )
    partitions: int | None = Field(
        None, ge=1, le=1_000, description="Width of topics made here; unset takes the declared one."
    )
    replication: int = Field(1, ge=1, le=9, description="Replicas of topics made here.")
    group: str = Field(
        "mainstem-worker",
        min_length=1,
        max_length=200,
        description="Consumer group; workers of one group share the partitions.",
    )
    instance: str = Field(
        "",
        max_length=200,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this worker in its group, its own and the same after a restart (such "
        "as a StatefulSet's pod): a worker that is back keeps its partitions, without a rebalance.",
    )
    log_generation: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Set to a number it had not before, the broker's logs count as others and are "
        "read from their beginning; events that the store remembers by their ids count once. For a "
        "broker that was restored from a backup.",
    )
    record_keys: SecretStr | None = Field(
        None,
        description="Secrets that sign records on the broker (HMAC-SHA256), at least 32 bytes of "
        "text each, separated by blanks: the first signs, records signed with any are taken, and "
        "others go to the dead letters. The gateways' are the same. Unset, nothing is checked.",
    )
    record_keys_file: Path | None = Field(None, description="File with those secrets, one a line.")
    record_unsigned: bool = Field(
        default=False,
        description="Take records without a signature too, as those are from before there were "
        "keys; a wrong signature never is.",
    )
    prices_file: Path | None = Field(
        None, description="YAML of prices that go before the ones Mainstem comes with."
    )

    batch_records_max: int = Field(
        5_000, ge=1, le=100_000, description="Records taken at once from one partition."
    )
    batch_bytes_max: int = Field(
        4_194_304, ge=1_024, description="Bytes of records taken at once from one partition."
    )
    batches_at_once: int = Field(
        3,
        ge=1,
        le=99,
        description="Batches being folded or committed at once, over all partitions; keep it below "
        "the connections to the store.",
    )
    waiting_bytes_max: int = Field(
        8_388_608,
        ge=1_024,
        description="Bytes of records that wait for the store, over all partitions; a partition "
        "with its share of them is not read further.",
    )
    fetch_bytes_max: int = Field(
        1_048_576, ge=1_024, description="Bytes of one partition that one fetch asks for."
    )
    fetch_total_bytes_max: int = Field(
        8_388_608, ge=1_024, description="Bytes that one fetch asks for, over all partitions."
    )
    fetch_wait_ms: int = Field(
        250, ge=10, le=30_000, description="How long a fetch waits when there is nothing new."
    )
    tick_ms: int = Field(
        1_000, ge=50, description="How often quiet partitions are asked for windows to close."
    )

    lateness_ms: int = Field(
        15_000, ge=0, description="How long a window stays open for events that come late."
    )
    future_skew_ms: int = Field(
        30_000, ge=0, description="How far ahead of the broker's clock an event may move time."
    )
    idle_ms: int = Field(
        20_000,
        ge=0,
        description="Quiet time after which a partition's windows close; at least the lateness.",
    )
    partials_kept_ms: int = Field(
        600_000,
        ge=1_000,
        description="How long after it closed a window of several partitions can be revised.",
    )
    partials_max: int = Field(
        200_000,
        ge=1_000,
        description="Partials, of about 1 KB, that the second stage keeps a partition; beyond it "
        "the oldest windows are let go, and close early if they are open.",
    )
    stuck_repeats: int = Field(
        5, ge=2, description="Calls of one tool with one input in a row that make a session stuck."
    )
    sessions_max: int = Field(
        2_000, ge=1, description="Sessions that a partition keeps in memory; others are recalled."
    )
    remembered_max: int = Field(
        100_000,
        ge=1,
        description="Entries (ids, requests, tool calls) that the sessions of a partition hold in "
        "memory together; beyond it those least recently heard of are recalled.",
    )

    tenant_values_max: int = Field(
        1_000,
        ge=1,
        le=100_000,
        description="Values of one dimension (project, model, tool …) that a partition tells apart "
        "of one tenant; further ones are counted as the value `other`.",
    )
    tenant_series_max: int = Field(
        5_000,
        ge=1,
        le=1_000_000,
        description="Series that a partition tells apart of one tenant, of all sessions and again "
        "by session; further ones are counted in series of the value `other`.",
    )
    tenant_sessions_max: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Sessions of one tenant that have windows of their own in a partition; the "
        "windows of further ones are those of the session `other`, and their totals their own.",
    )
    tenant_idle_ms: int = Field(
        3_600_000,
        ge=60_000,
        le=86_400_000,
        description="How long a value, series or session that nobody uses takes up room in the "
        "limits of its tenant.",
    )

    rebalance_timeout_s: float = Field(
        5, ge=1, description="How long the group waits for its members at a rebalance."
    )
    session_timeout_s: float = Field(
        6, ge=6, description="Silence after which the group gives a worker's partitions away."
    )
    heartbeat_s: float = Field(1, gt=0, description="How often a worker says that it is there.")
    commit_interval_s: float = Field(
        0.1,
        ge=0.1,
        description="How soon after one word the next tells Kafka how far the store is, to display "
        "the lag, and for gateways to set their pace by.",
    )

    retry_wait_ms: int = Field(
        200, ge=1, description="First wait for a store or broker that is away; doubles each time."
    )
    retry_wait_ms_max: int = Field(
        10_000, ge=1, description="Longest wait for a store or broker that is away."
    )
    fenced_wait_ms: int = Field(
        15_000,
        ge=0,
        description="Wait before a partition that another worker claimed is claimed back, when the "
        "group still says it is ours.",
    )
    stalled_ms: int = Field(
        60_000, ge=1_000, description="Lag without progress after which a worker starts again."
    )
    stop_wait_s: float = Field(
        20, ge=1, description="Longest time that a batch in hand may take after SIGTERM."
    )

    outbox_records_max: int = Field(
        2_000, ge=1, le=10_000, description="Results sent to the broker at once."
    )
    outbox_waiting_max: int = Field(
        200_000,
        ge=1,
        description="Results that may wait to be sent; beyond it nothing is stored until some are.",
    )
    outbox_wait_ms: int = Field(
        5_000, ge=50, description="How often results that were left unsent are looked for."
    )

    jobs_wait_s: float = Field(
        15,
        ge=1,
        description="How often the store's jobs are looked at: rollups each time, partition care "
        "and retention each hour.",
    )
    events_days: int = Field(7, ge=1, description="Days that raw events are kept.")
    window_10s_days: int = Field(7, ge=1, description="Days that 10-second windows are kept.")
    window_1m_days: int = Field(30, ge=1, description="Days that 1-minute windows are kept.")
    window_5m_days: int = Field(
        90, ge=1, description="Days that 5-minute rollups are kept; at least as many as 1-minute."
    )
    window_1h_days: int = Field(
        365, ge=1, description="Days that 1-hour rollups are kept; at least as many as 5-minute."
    )
    window_1d_days: int = Field(
        1_826, ge=1, description="Days that 1-day rollups are kept; at least as many as 1-hour."
    )
    sessions_days: int = Field(
        365, ge=1, description="Days that a session is kept after its last event."
    )
    identities_days: int = Field(
        365, ge=1,
        description="Days that it is remembered which session told of a request first.",
    )  # fmt: skip
    dead_letters_days: int = Field(30, ge=1, description="Days that dead letters are kept.")
    watch: bool = Field(
        default=True, description="Whether this worker looks for anomalies, forecasts and alerts."
    )
    watch_series_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Series of one tenant that are watched."
    )
    watch_snapshot_minutes: int = Field(
        120,
        ge=1,
        le=1_440,
        description="How often a watched series is saved whole; what came since is taken again "
        "when another worker takes over.",
    )
    watch_stalled_ms: int = Field(
        120_000,
        ge=1_000,
        le=3_600_000,
        description="How long event time may stand still before rules are looked at by the clock.",
    )
    rule_ms_max: int = Field(
        2_000, ge=10, le=60_000, description="Milliseconds that evaluating one rule may take."
    )
    rules_ms_max: int = Field(
        5_000,
        ge=10,
        le=600_000,
        description="Milliseconds that evaluating all rules of a tenant that are due may take; "
        "the rest has failed, which an alert RuleError tells.",
    )
    dashboard_url: str = Field(
        "", max_length=2_048, description="Where the dashboard is, for links in notifications."
    )

    alerts_folder: Path | None = Field(
        None,
        description="Folder of files of rules and of routing that are taken as they are dropped, "
        "changed and removed there; what lies under tenants/NAME/ is of that tenant.",
    )
    alerts_tenant: str = Field(
        "local",
        min_length=1,
        max_length=200,
        description="The tenant of all other files in the folder of alerts.",
    )

    notify: bool = Field(default=True, description="Whether this worker tells receivers of alerts.")
    notify_at_once: int = Field(
        16, ge=1, le=256, description="Notifications being sent at once; two to one receiver."
    )
    notify_timeout_s: float = Field(
        10, gt=0, le=60, description="The most that one attempt to send a notification takes."
    )
    notify_lasts_s: int = Field(
        900,
        ge=0,
        le=86_400,
        description="How long a notification is tried before it is given up and passed on to the "
        "next receiver; five times at least.",
    )
    notify_private: bool = Field(
        default=False,
        description="Whether receivers may have addresses that are not public, such as of this "
        "machine or network: whoever may write routing files can then reach them.",
    )
    notify_files: Path | None = Field(
        None,
        description="Folder of the files that routing files name, of secrets and certificates; "
        "unset, none may be named.",
    )

    metrics_host: str = Field(
        "127.0.0.1", min_length=1, description="Address of /metrics and /health."
    )
    metrics_port: int = Field(
        9_464, ge=0, le=65_535, description="Port of /metrics and /health; 0 takes a free one."
    )


def load(**given: object) -> StreamsSettings:
    """Return the settings of the environment, `given` first; raise `BadSetting` if one is wrong."""
    named = {name: value for name, value in given.items() if value is not None}
    try:
        return StreamsSettings(**named)  # type: ignore[arg-type]  # pydantic checks what is given
    except ValidationError as error:
        raise BadSetting(_explain(error)) from error
    except SettingsError as error:
        raise BadSetting(f"a setting of the worker cannot be read: {error}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    name = field if field.isupper() else PREFIX + field.upper()
    shown = "" if "url" in field.lower() else f" (it is {first['input']!r})"
    return f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}{shown}"
