"""Passwords, sessions and hashes are found as people and programs say them; code stays as it is."""

import random
from typing import Final

import pytest

from analytics.privacy.filter import Filter
from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import scrub
from tests.support.secret_forms import Form, forms
from tests.support.secret_said import HOSTILE, ISSUED, KINDS, MADE_UP, Kind, said
from tests.support.secret_texts import texts

RULES: Final = PrivacyRules(content=True, emails=True, paths=True)
RECALL_MIN: Final = 0.95
DRAWS: Final = 3


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.id)
def test_secrets_that_are_said_are_found(kind: Kind) -> None:
    chance = random.Random(kind.id)
    samples = [
        (said(text, secret), secret)
        for _ in range(DRAWS)
        for text in kind.texts
        for secret in (kind.draw(chance),)
    ]

    missed = [text for text, secret in samples if secret in scrub(text, RULES)]

    assert 1 - len(missed) / len(samples) >= RECALL_MIN, missed


@pytest.mark.parametrize("form", list(forms(ISSUED)), ids=lambda form: form.id)
def test_secrets_of_more_issuers_are_found(form: Form) -> None:
    chance = random.Random(form.id)
    samples = [
        (text, secret)
        for _ in range(DRAWS)
        for secret in (form.draw(chance),)
        for text in texts("", secret)
    ]

    missed = [text for text, secret in samples if secret in scrub(text, RULES)]

    assert 1 - len(missed) / len(samples) >= RECALL_MIN, missed


@pytest.mark.parametrize("before", MADE_UP)
@pytest.mark.parametrize("template", ["ghp_{a:36}", "sk-ant-api03-{w:90}", "glpat-{w:20}"])
def test_a_telling_form_is_found_right_behind_letters(before: str, template: str) -> None:
    secret = Form("glued", "", template).draw(random.Random(before))

    assert secret not in scrub(f"{before}{secret}", RULES)


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password()", "password=None", "def f(password: str) -> None: ...",
        "password: str | None = None", "password: Optional[str]", "password=<password>",
        "PASSWORD=${PASSWORD}", "PASSWORD=$DB_PASSWORD", "password: ********", "password=changeme",
        "password = input('Password: ')", "self.password = password",
        "f(user=user, password=pw_in)",
        "password = args.password", "password: string;", "password?: string", "passwords: string[]",
        "if password == other:", "password = os.environ['DB_PASSWORD']", "let password = value;",
        '"password": "string"', '"password": "Enter your password"', "password: {{ password }}",
        'placeholder="Password"', "password = %s", "PASSWORD=", "password: required",
        "<input type='password' name='password'>", "mysql -u root -p shop", "mysql -p$PASS shop",
        "docker run -p 8080:80 image", "ssh -p 2222 host", "mkdir -p some/folder", "sshpass -p $P",
        "redis-cli -a <password>", "curl -u user:password x", "session=Session()", "session = None",
        "with session.begin() as session:", "session_id=7d0c9a34-1111-4222-8333-444455556666",
        "one pass: collect the names", "the password is required", "cookie: Cookie | None = None",
        "Cookie: theme=dark; lang=en", "otpauth://totp/x", "price $5 and $6 each", "a$1$b",
        "password manager: use one", "forgot password: yes", "token: str = field(name='token')",
        "for password in passwords: check(password)", "passwordHash = hash(password)",
        "PWD=/srv/app", "secret: deriveSecret(a)", "password = user_input\ncheck(user_input)",
        ":param client_secret: Resource owner secret.", ":type password: Unicode",
        "the first pass of semantic analysis: analyze what is reached",
        '("passwd:gecos", "passwd:dir")',
        "urn:ietf:params:oauth:jwk-thumbprint:sha-256:aB3dE5fG7hI9",
        "password = word\nfor word in words: pass", "sk-learn", "tr_dev", "fw_update",
        "e2b_sandbox",
    ],
)  # fmt: skip
def test_code_and_what_stands_in_for_a_password_stay(text: str) -> None:
    assert scrub(text, RULES) == text


@pytest.mark.parametrize(
    ("torn", "kept"),
    [
        ('{"password":"swordfishes', '{"password":"<secret>"'),
        ('{"a":1,"password":"x y","b":2', '{"a":1,"password":"<secret>","b":2'),
        ('{"password":918273645,"b":', '{"password":"<secret>","b":'),
        ('{"пароль":"x","b":', '{"пароль":"<secret>","b":'),
        ('{"passwords":["ab", "cd"', '{"passwords":["<secret>", "<secret>"'),
        ('{"x":"password","b":[', '{"x":"password","b":['),
    ],
)
def test_fields_of_torn_json_are_hidden_by_name(torn: str, kept: str) -> None:
    assert Filter(RULES).pass_dead_letter(torn.encode()).decode() == kept


LONG: Final = 65_536
MB: Final = 1_000_000


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_are_gone_through_in_full(piece: str) -> None:
    """A scan of more than linear time would not come back from this."""
    text = piece * (LONG // len(piece))

    assert len(scrub(text, RULES)) <= 2 * len(text)


def test_a_megabyte_of_all_that_is_hostile_is_gone_through_in_full() -> None:
    text = "".join(
        piece * (MB // len(HOSTILE) // len(piece) // 4) + "x\n" * 9_000 for piece in HOSTILE
    )

    assert len(scrub(text, RULES)) <= 2 * len(text)
