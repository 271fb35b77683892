"""What share of secrets the filter finds, by form, and what it takes for one without need."""

import random
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import HIDDEN, scrub
from analytics.privacy.wording import is_secret_field
from tests.support.secret_forms import OURS, PUBLIC, Form, forms
from tests.support.secret_texts import texts

RULES: Final = PrivacyRules(emails=True, paths=True)
"""Secrets are hidden, nothing else."""
RECALL_MIN: Final = 0.95
FALSE_PER_MB_MAX: Final = 1.0
DRAWS: Final = 2
MB: Final = 1_000_000
TEXT_MB: Final = 8
FORMS: Final = [*forms(PUBLIC), *forms(OURS)]
LEFT: Final = 10
"""Characters of a secret, from either end, that may not be left of it."""


def _is_hidden(text: str, secret: str) -> bool:
    kept = scrub(text, RULES)
    return secret not in kept and secret[:LEFT] not in kept and secret[-LEFT:] not in kept


def test_there_are_as_many_forms_as_the_public_rules_have() -> None:
    assert len(FORMS) >= 240
    assert len({form.id for form in FORMS}) == len(FORMS)


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.id)
def test_secrets_of_a_form_are_found_wherever_they_stand(form: Form) -> None:
    chance = random.Random(f"{form.id} 2")
    drawn = [form.draw(chance) for _ in range(DRAWS)]
    samples = [(text, secret) for secret in drawn for text in texts(form.service, secret)]

    missed = [text for text, secret in samples if not _is_hidden(text, secret)]

    assert 1 - len(missed) / len(samples) >= RECALL_MIN, missed


def test_texts_and_code_of_others_are_left_alone() -> None:
    size = found = 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        size += len(text)
        found += scrub(text, RULES).count(HIDDEN)
        if size > TEXT_MB * MB:
            break

    assert size > 3 * MB
    assert found / (size / MB) <= FALSE_PER_MB_MAX


R: Final = "xK3q9ZtB7mW2" + "vLr8"
"""What might be drawn at random; no one's."""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"DB_PASSWORD={R}", "DB_PASSWORD=<secret>"),
        ("PGPASSWORD=hunter22 psql", "PGPASSWORD=<secret> psql"),
        ("password: s3cr3t!", "password: <secret>"),
        ('"password": "hunter22",', '"password": "<secret>",'),
        ("'secret' => 'hunter22'", "'secret' => '<secret>'"),
        ("client_secret=ab12cd34ef56&x=1", "client_secret=<secret>&x=1"),
        (rf'"{{\"api_key\": \"{R}\"}}"', r'"{\"api_key\": \"<secret>\"}"'),
        (f"x-api-key: {R}", "x-api-key: <secret>"),
        (f"X-Auth-Token: {R}", "X-Auth-Token: <secret>"),
        ("Authorization: Basic YWRhOmdlaGVpbQ==", "Authorization: Basic <secret>"),
        (f"Authorization: token {R}", "Authorization: token <secret>"),
        (f"AUTHORIZATION={R}", "AUTHORIZATION=<secret>"),
        ("curl -u ada:geheim https://x", "curl -u <secret> https://x"),
        ("curl -s \\\n  --user 'ada:h0pk1ns~1' x", "curl -s \\\n  --user <secret> x"),
        ('curl -u "k3yAsName7:" x', "curl -u <secret> x"),
        ("kind: secret\ndata:\n\tx: YWRtaW46cGFz\n", "kind: secret\ndata:\n\tx: <secret>\n"),
        ('<add key="ClearTextPassword" value="SomeWords" />', '<add key="<secret>" />'),
        ('curl -H "Api-Token: Sk94HG7f6KB"', 'curl -H "Api-Token: <secret>"'),
        (f"cli login --token {R} now", "cli login <secret> now"),
        ("mysql -h db -phunter22 app", "mysql -h db -p<secret> app"),
        ("machine x login ada password geheim1x", "machine x login ada password <secret>"),
        ("the password is hunter22.", "the password is <secret>"),
        ("create user a identified by 'geheim1'", "create user a identified by '<secret>'"),
        (f"- name: API_TOKEN\n  value: {R}", "- name: <secret>"),
        ('<add key="Password" value="hunter22" />', '<add key="<secret>" />'),
        ("redis://:geheim@cache:6379/0", "redis://<secret>@cache:6379/0"),
        ("postgres://user:password@db/x", "postgres://<secret>@db/x"),
        ("amqp://guest:g%40heim@mq", "amqp://<secret>@mq"),
        (f"https://{R}{R}@example.org/1", "https://<secret>@example.org/1"),
        (f"AccountKey={R}{R}==;EndpointSuffix=x", "AccountKey=<secret>;EndpointSuffix=x"),
        (f"https://a.example/c?sv=1&sig={R}%3D", "https://a.example/c?sv=1&sig=<secret>"),
        (
            "kind: Secret\ndata:\n  tls: YWJjZGVmZ2hpamtsbW5v\n",
            "kind: Secret\ndata:\n  tls: <secret>\n",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1r\\ncut off",
            "<secret>",
        ),
    ],
)
def test_what_words_say_is_a_secret_is_hidden(text: str, kept: str) -> None:
    assert scrub(text, RULES) == kept


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password(user)",
        "token = self.tokens[0]",
        "api_key=settings.api_key2",
        "secret: str | None = None",
        "PASSWORD=${DB_PASSWORD1}",
        "password: <your password1>",
        "max_tokens: 4096, input_tokens=512k",
        "token_type: bearer2",
        "key = EllipticCurvePrivateKeyWithSerialization",
        "the token is *not* read",
        "http://%s:%s@%s/",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        '"-----BEGIN PRIVATE KEY-----"',
        "git@github.com:o/r.git",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "req_011CSxyzABCdef0123456789",
        "toolu_01A09q90qw90lq917835lq9",
        "7d0c9a34-1111-4222-8333-444455556666",
        "claude-sonnet-4-5-20250929",
    ],
)
def test_what_only_stands_in_for_a_secret_stays(text: str) -> None:
    assert scrub(text, RULES) == text


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("password", "swordfish", True),
        ("db.password", "x", True),
        ("http.request.header.authorization", "Negotiate abc", True),
        ("x-api-key", "abc", True),
        ("aws_secret_access_key", "short", True),
        ("session_token", R, True),
        ("DATADOG", "0123456789abcdef0123456789abcdef01234567", True),
        ("gen_ai.token.type", "input", False),
        ("token_type", "bearer", False),
        ("secret_name", "db-credentials", False),
        ("password", "<secret>", False),
        ("session.id", "7d0c9a34-1111-4222-8333-444455556666", False),
        ("prompt.id", "7d0c9a34-1111-4222-8333-444455556666", False),
        ("model", "claude-sonnet-4-5", False),
    ],
)
def test_the_name_of_a_field_tells_of_a_secret(name: str, value: str, told: bool) -> None:
    assert is_secret_field(name, value) is told


def test_fields_lists_and_pairs_lose_what_their_names_tell() -> None:
    given = (
        b'{"a":{"password":"swordfish"},"env":[{"name":"DB_PASSWORD","value":"swordfish"}],'
        b'"kv":[{"key":"api_key","value":{"stringValue":"swordfish"}}],"passwords":["swordfish"]}'
    )

    assert b"swordfish" not in Filter(PrivacyRules()).pass_dead_letter(given)
