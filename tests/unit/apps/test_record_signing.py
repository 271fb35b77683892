"""What `up` tells its parts of signatures, by broker and by the age of its log."""

import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from analytics.contracts.errors import BadSetting
from apps.local import record_signing
from apps.local.broker import BrokerKind
from apps.local.home import Home, make
from apps.runtime.record_keys import signatures_of
from gateway.http.settings import PREFIX
from tests.support.gateway import settings

UNSIGNED = "MAINSTEM_STREAMS_RECORD_UNSIGNED"
FILES = {"MAINSTEM_GATEWAY_RECORD_KEYS_FILE", "MAINSTEM_STREAMS_RECORD_KEYS_FILE"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    record_signing.make_key(made)
    return made


def test_the_key_is_made_once_and_is_the_users_alone(home: Home) -> None:
    before = home.record_keys.read_text()

    record_signing.make_key(home)

    assert home.record_keys.read_text() == before
    assert stat.S_IMODE(home.record_keys.stat().st_mode) == 0o600
    assert signatures_of(settings(record_keys_file=home.record_keys), prefix=PREFIX).keys


def test_brokers_that_up_starts_take_signed_records_only_and_others_are_left_alone(
    home: Home,
) -> None:
    assert record_signing.environment(home, BrokerKind.TANSU).keys() == FILES
    assert record_signing.environment(home, BrokerKind.KAFKA).keys() == FILES
    assert record_signing.environment(home, BrokerKind.EXTERNAL) == {}


def test_a_log_that_is_older_than_the_key_loses_nothing(home: Home) -> None:
    made_s = home.record_keys.stat().st_mtime
    log = home.kafka / "log" / "meta.properties"
    make(log.parent)
    log.touch()

    os.utime(log, (made_s - 60, made_s - 60))
    assert record_signing.environment(home, BrokerKind.KAFKA)[UNSIGNED] == "true"
    os.utime(log, (made_s + 60, made_s + 60))
    assert UNSIGNED not in record_signing.environment(home, BrokerKind.KAFKA)
    long_ago_s = made_s - record_signing.OLD_FOR_S - 60
    os.utime(log, (long_ago_s - 60, long_ago_s - 60))
    os.utime(home.record_keys, (long_ago_s, long_ago_s))
    assert UNSIGNED not in record_signing.environment(home, BrokerKind.KAFKA)


def test_keys_that_are_no_keys_are_refused_in_one_sentence_that_does_not_show_them(
    tmp_path: Path,
) -> None:
    with pytest.raises(BadSetting, match="MAINSTEM_GATEWAY_RECORD_KEYS: ") as error:
        signatures_of(settings(record_keys=SecretStr("geheim")), prefix=PREFIX)
    with pytest.raises(BadSetting, match="RECORD_KEYS_FILE"):
        signatures_of(settings(record_keys_file=tmp_path / "none"), prefix=PREFIX)

    assert "geheim" not in str(error.value)
