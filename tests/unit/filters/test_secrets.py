"""Facts about `gateway/filters/secrets.py`. Examples are put together here, so that no scanner finds them."""

import pytest

from gateway.auth.keys.api_keys import new_key
from gateway.core.policy import FilterKind, FilterRule
from gateway.filters.scan import Scanner
from gateway.filters.secrets import SECRETS, Secrets

RULE = FilterRule("secrets", FilterKind.SECRETS)
LETTERS = "aB3" * 40
JWT = ".".join(["eyJ" + LETTERS[:20], "eyJ" + LETTERS[:40], LETTERS[:43]])

EXAMPLES = {
    "an OpenAI key": ["sk-" + "proj-" + LETTERS[:80], "sk-" + LETTERS[:20] + "T3BlbkFJ" + LETTERS[:20]],
    "an Anthropic key": ["sk-" + "ant-api03-" + LETTERS[:90]],
    "an AWS access key id": ["AKIA" + "Q2W3E4R5T6Y7ABCD", "ASIA" + "Q2W3E4R5T6Y7ABCD"],
    "an AWS secret access key": [
        "AWS_SECRET_ACCESS_KEY=" + LETTERS[:40],
        'aws_secret_access_key: "' + LETTERS[:40] + '"',
        '"awsSecretAccessKey": "' + LETTERS[:40] + '"',
    ],
    "a Google API key": ["AIza" + LETTERS[:35]],
    "a Google OAuth secret": ["GOCSPX-" + LETTERS[:28]],
    "an Azure storage key": ["AccountKey=" + LETTERS[:86] + "=="],
    "a GitHub token": [
        "ghp_" + LETTERS[:36],
        "ghs_" + LETTERS[:36],
        "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59],
    ],
    "a GitLab token": ["glpat-" + LETTERS[:20]],
    "a Slack token": [
        "xoxb-" + "123456789012-123456789012-" + LETTERS[:24],
        "xapp-1-" + "A" * 11 + "-" + "1" * 13 + "-" + "a" * 64,
    ],
    "a Slack webhook": ["https://hooks.slack.com/services/T" + "A" * 8 + "/B" + "A" * 8 + "/" + LETTERS[:24]],
    "a Stripe key": ["sk_" + "live_" + LETTERS[:24], "rk_" + "live_" + LETTERS[:99]],
    "a Stripe webhook secret": ["whsec_" + LETTERS[:32]],
    "an npm token": ["npm_" + LETTERS[:36]],
    "a PyPI token": ["pypi-AgE" + LETTERS[:60]],
    "a private key": [
        f"-----BEGIN {kind}PRIVATE KEY-----" for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    ]
    + ["-----BEGIN PGP PRIVATE KEY BLOCK-----"],
    "a signed token (JWT)": [JWT],
}

HARMLESS = [
    "",
    "How do I rotate an AWS access key? It begins with AKIA.",
    "export OPENAI_API_KEY=sk-...",
    "sk-your-key-here",
    "Authorization: Bearer <token>",
    "aws_secret_access_key = os.environ['AWS_SECRET_ACCESS_KEY']",
    "git commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "-----BEGIN CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----",
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ" + LETTERS,
    "550e8400-e29b-41d4-a716-446655440000",
    "the task-proj-management-and-planning-for-everyone-in-the-team board",
    "risk-ant-hill-" + "a" * 40,
    "eyJhbGciOiJIUzI1NiJ9 is the header of a JWT",
    "https://example.com/path/" + LETTERS,
    "pk_" + "live_" + LETTERS[:24],
    "xoxo, see you tomorrow-at-the-office-at-half-past-nine",
    "gwk_0123456789ab",
    "call_abc123, msg_68e1c4f1a0d88190b0f2c3a4d5e6f708, chatcmpl-BkXyZ0123456789abcdefghij",
]


def names_in(text: str) -> set[str]:
    scanner = Scanner(Secrets().patterns(RULE))
    return {SECRETS[number].name for number in scanner.scan([text])}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in EXAMPLES.items() for text in texts]
)
@pytest.mark.parametrize("around", ["{}", 'key = "{}"', "Here it is: {}.", "<{}>", "a\n{}\nb"])
def test_a_secret_is_found_and_named(name: str, text: str, around: str) -> None:
    assert names_in(around.format(text)) == {name}


def test_a_key_of_this_gateway_is_found() -> None:
    assert names_in(f"use {new_key()[1]} please") == {"a key of this gateway"}


def test_every_kind_of_secret_has_an_example() -> None:
    assert {secret.name for secret in SECRETS} == {*EXAMPLES, "a key of this gateway"}


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_what_people_write_about_secrets_is_not_one(text: str) -> None:
    assert names_in(text) == set()


def test_a_finding_names_the_kind_and_the_filter() -> None:
    number = next(number for number, secret in enumerate(SECRETS) if secret.name == "a GitHub token")

    assert Secrets().finding(RULE, number) == (
        "The request carries what looks like a GitHub token (filter `secrets`). Take it out, and replace it."
    )
