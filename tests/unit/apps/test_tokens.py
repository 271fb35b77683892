"""The key and tokens of this machine: private, made once, and good for the gateway."""

import stat
from pathlib import Path

import pytest

from apps.local import tokens
from apps.local.home import Home, Unusable
from gateway.auth import Scope, Verifier


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data")


@pytest.mark.requirement("secrets-private")
def test_key_and_token_are_made_once_and_private(home: Home) -> None:
    key, token = tokens.key(home), tokens.token(home)

    assert (tokens.key(home), tokens.token(home)) == (key, token)
    assert tokens.is_signed(token, key)
    for path in (home.key, home.token):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_another_key_makes_another_token(home: Home) -> None:
    before = tokens.token(home)
    home.key.unlink()

    after = tokens.token(home)

    assert after != before
    assert tokens.is_signed(after, tokens.key(home))
    assert not tokens.is_signed(before, tokens.key(home))


def test_an_empty_key_is_made_anew_and_an_unreadable_one_is_said(home: Home) -> None:
    home.root.mkdir()
    home.key.write_text("\n")

    assert len(tokens.key(home)) >= 32
    home.token.write_bytes(b"\xff\xfe")
    with pytest.raises(Unusable, match="cannot be read"):
        tokens.token(home)


def test_the_gateway_reads_what_is_issued(home: Home) -> None:
    secret = tokens.key(home)
    text = tokens.issue(
        secret, tenant="acme", user="ci", scopes=("publish",), now_s=1_000, ttl_s=60
    )

    grant = Verifier(secret.encode(), cached_max=1).verify(text, now_ms=1_059_000)

    assert (grant.tenant, grant.user, grant.scopes) == ("acme", "ci", frozenset({Scope.PUBLISH}))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.b.c"])
def test_what_is_no_token_is_not_signed(text: str) -> None:
    assert not tokens.is_signed(text, "k" * 40)
