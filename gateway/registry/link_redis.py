"""A connection to Redis as settings say: one node or a cluster, plain or TLS, an ACL user.

Nothing connects before it is used, every wait has a limit, and nothing is tried again here: whoever
asks knows better when.
"""

import importlib.util
from typing import Any, Final

from analytics.contracts.errors import MissingPart
from gateway.registry.settings import RegistrySettings

CLIENT_NAME: Final = "mainstem-gateway"


def connect(settings: RegistrySettings) -> Any:  # noqa: ANN401 - redis-py's two clients
    """Return a client for the Redis that settings name; raise `MissingPart` without redis-py."""
    if importlib.util.find_spec("redis") is None:
        raise MissingPart("Redis needs the extra 'redis'; install mainstem[redis]")
    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    assert settings.redis_url is not None
    password = settings.redis_password
    options: dict[str, Any] = {
        "username": settings.redis_user or None,
        "password": None if password is None else password.get_secret_value(),
        "socket_timeout": settings.redis_timeout_seconds,
        "socket_connect_timeout": settings.redis_timeout_seconds,
        "max_connections": settings.redis_connections_max,
        "client_name": CLIENT_NAME,
    }
    if settings.redis_url.startswith("rediss://"):
        for name, path in (
            ("ssl_ca_certs", settings.redis_ca_file),
            ("ssl_certfile", settings.redis_certificate_file),
            ("ssl_keyfile", settings.redis_key_file),
        ):
            if path is not None:
                options[name] = str(path)
    if settings.redis_cluster:
        return RedisCluster.from_url(settings.redis_url, **options)
    return Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0), **options)
