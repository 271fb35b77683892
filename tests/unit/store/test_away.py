"""Which errors of a database say that the same work may succeed later."""

import pytest
from psycopg import Error, OperationalError, errors
from psycopg_pool import PoolTimeout

from analytics.contracts.errors import StoreAway
from streams.clients.errors import Unstorable, mapped


@pytest.mark.parametrize(
    "error",
    [
        errors.DiskFull,
        errors.OutOfMemory,
        errors.TooManyConnections,
        errors.QueryCanceled,
        errors.LockNotAvailable,
        errors.SerializationFailure,
        errors.DeadlockDetected,
        errors.AdminShutdown,
        errors.CannotConnectNow,
        errors.IoError,
        errors.ReadOnlySqlTransaction,
        errors.IdleInTransactionSessionTimeout,
        errors.TransactionTimeout,
        OperationalError,
        PoolTimeout,
        TimeoutError,
    ],
)
def test_a_store_that_is_away_full_or_slow_is_waited_for(error: type[Exception]) -> None:
    with (
        pytest.raises(StoreAway, match="the store did not do a commit: no luck"),
        mapped("a commit"),
    ):
        raise error("no luck")


@pytest.mark.parametrize("error", [errors.StringDataRightTruncation, errors.NumericValueOutOfRange])
def test_a_value_that_the_store_cannot_hold_is_refused(error: type[Error]) -> None:
    with pytest.raises(Unstorable), mapped("a commit"):
        raise error("too much")
