"""The registry that settings ask for, in Redis or in this process, and its keeper."""

from collections.abc import Callable

from gateway.registry.journal import Journal
from gateway.registry.link_redis import connect
from gateway.registry.registry import Load, Registry
from gateway.registry.registry_keeper import RegistryKeeper, RegistryOptions
from gateway.registry.registry_memory import MemoryRegistry
from gateway.registry.settings import RegistrySettings


def keeper_of(
    settings: RegistrySettings,
    *,
    node: str,
    now_ms: Callable[[], int],
    load: Callable[[], Load],
) -> RegistryKeeper:
    """Return the keeper, not yet running; raise `MissingPart` if Redis needs to be installed."""
    journal = Journal(changes_max=settings.registry_changes_max, told_max=settings.recent_told_max)
    ways = RegistryOptions(
        beat_s=settings.registry_beat_seconds,
        dead_s=settings.registry_dead_seconds,
        members_max=settings.registry_members_max,
    )
    return RegistryKeeper(_registry(settings, now_ms), journal, ways, node=node, load=load)


def _registry(settings: RegistrySettings, now_ms: Callable[[], int]) -> Registry:
    dead_ms = int(settings.registry_dead_seconds * 1_000)
    if settings.redis_url is None:
        return MemoryRegistry(now_ms=now_ms, dead_ms=dead_ms)
    from gateway.registry.registry_redis import RedisRegistry

    return RedisRegistry(
        connect(settings),
        prefix=settings.redis_prefix,
        dead_ms=dead_ms,
        timeout_s=settings.redis_timeout_seconds,
    )
