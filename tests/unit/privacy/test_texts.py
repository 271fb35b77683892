"""What is taken for an address, a home path or a secret, and what is not."""

import pytest

from analytics.privacy.rules import PrivacyRules
from analytics.privacy.texts import scrub

NOTHING = PrivacyRules()


@pytest.mark.requirement("privacy-filter")
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("write to alice@example.com please", "write to <email> please"),
        ("<Bob.Builder+x@sub.example.co.uk>", "<<email>>"),
        ("jürgen@müller.de", "<email>"),
        ("a@b.com@c.org", "<email>"),
        ("alice%40example.com", "<email>"),
        ("/home/ada/src/app.py:3", "~/src/app.py:3"),
        ("cwd=/Users/bob", "cwd=~"),
        (r"C:\Users\Alice Smith\code", r"~\code"),
        (r"C:\\Users\\bob\\code", r"~\\code"),
        ("file:///home/ada/x", "file://~/x"),
        ("/mnt/c/Users/alice/x and /var/home/bob", "~/x and ~"),
        ("~/.claude/projects/-home-ada-app/1.jsonl", "~/.claude/projects/-~-app/1.jsonl"),
        ("key sk-ant-api03-abcdefgh12345678 used", "key <secret> used"),
        ("ghp_0123456789abcdefghij0123456789abcdef", "<secret>"),
        ("AKIAIOSFODNN7EXAMPLE1", "<secret>"),
        ("Authorization: Bearer abc.def-0123456789", "Authorization: Bearer <secret>"),
        ("password=hunter2", "password=<secret>"),
        ('{"api_key": "0123456789"}', '{"api_key": "<secret>"}'),
        ("postgres://me:geheim@db/x", "postgres://<secret>@db/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----.", "<secret>."),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "<secret>"),
    ],
)
def test_what_is_of_people_leaves_a_mark(text: str, kept: str) -> None:
    assert scrub(text, NOTHING) == kept


@pytest.mark.parametrize(
    "text",
    [
        "react@18.2.0 and @types/node",
        "@pytest.mark.parametrize",
        "claude-code@3f2a9c0d11aa",
        "https://example.com/home/page",
        "task-0123456789abcdef0123",
        "sk-learn-contrib-is-no-key",
        "max_tokens: 1000, input_tokens=5",
        "bearer authentication failed",
        "/home/~/x",
        "50% @ 3.5",
        "",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert scrub(text, NOTHING) == text


def test_what_the_rules_keep_stays() -> None:
    text = "alice@example.com /home/ada password=hunter2"

    assert scrub(text, PrivacyRules(emails=True, paths=True, secrets=True)) == text
    assert scrub(text, PrivacyRules(emails=True, secrets=True)) == (
        "alice@example.com ~ password=hunter2"
    )
