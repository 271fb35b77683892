"""The key and tokens of this machine: private, made once, and good for the gateway."""

import json
import stat
import time
from pathlib import Path

import pytest

from apps.cli.token import command
from apps.local import tokens
from apps.local.home import Home, Unusable
from gateway.http.auth import Grant, TokenScope, Verifier


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

    assert (grant.tenant, grant.user, grant.scopes) == (
        "acme",
        "ci",
        frozenset({TokenScope.PUBLISH}),
    )


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "é.b.c"])
def test_what_is_no_token_is_not_signed(text: str) -> None:
    assert not tokens.is_signed(text, "k" * 40)


def test_every_token_has_an_end_and_an_id_of_its_own(home: Home) -> None:
    secret = tokens.key(home)
    texts = [tokens.token(home), tokens.of_tenant(home, "demo")]
    texts += [
        tokens.issue(secret, tenant="t", user="u", scopes=("work",), now_s=1, ttl_s=60)
        for _ in range(2)
    ]

    claims = [tokens.claims_of(text) for text in texts]

    assert all(isinstance(one["exp"], int) for one in claims)
    assert len({one["jti"] for one in claims}) == len(claims)


def test_a_token_near_its_end_is_made_anew_and_an_old_one_without_an_end_is_kept(
    home: Home,
) -> None:
    secret = tokens.key(home)
    asked = {"tenant": "local", "user": "local", "scopes": ("publish",)}
    now_s = int(time.time())
    for ttl_s, is_kept in ((None, True), (400 * 86_400, True), (20 * 86_400, False), (-1, False)):
        text = tokens.issue(secret, now_s=now_s, ttl_s=ttl_s, **asked)  # type: ignore[arg-type]  # by name
        home.token.write_text(text)

        assert (tokens.token(home) == text) is is_kept


def test_every_scope_can_be_asked_for() -> None:
    assert set(tokens.SCOPES) == {scope.value for scope in TokenScope}


@pytest.mark.parametrize("scope", [scope.value for scope in TokenScope])
def test_the_command_issues_a_token_of_each_scope_and_tells_of_a_new_key(
    scope: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(home.root))
    for name in ("TOKEN_KEY", "TOKEN_KEY_FILE"):
        monkeypatch.delenv(f"MAINSTEM_GATEWAY_{name}", raising=False)

    command(user="runner", scopes=f"publish,{scope}")
    first = capsys.readouterr()
    command(user="runner", scopes=scope)
    second = capsys.readouterr()

    grant = _granted(tokens.key(home), second.out)
    assert (grant.user, grant.scopes) == ("runner", frozenset({scope}))
    assert str(home.key) in first.err
    assert second.err == ""


def test_the_command_signs_with_the_key_that_the_gateway_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAINSTEM_HOME", str(home.root))
    monkeypatch.setenv("MAINSTEM_GATEWAY_TOKEN_KEY", "k" * 40)

    command(ttl="never", as_json=True)

    told = json.loads(capsys.readouterr().out)
    assert _granted("k" * 40, told["token"]).token_id == told["id"]
    assert told["expires_s"] is None
    assert not tokens.has_key(home)


def _granted(key: str, text: str) -> Grant:
    return Verifier(key.encode(), cached_max=1).verify(
        text.strip(), now_ms=int(time.time() * 1_000)
    )
