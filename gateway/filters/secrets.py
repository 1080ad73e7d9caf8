"""Credentials, by their published formats. Only what can hardly be anything else: a false alarm stops
somebody's work, and a filter that cries wolf is switched off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.core.policy import FilterRule


@dataclass(frozen=True, slots=True)
class SecretKind:
    name: str
    """With its article, as in "looks like an AWS access key id"."""
    pattern: str


SECRETS: Final[tuple[SecretKind, ...]] = (
    SecretKind("a key of this gateway", r"\bgwk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b"),
    SecretKind("an OpenAI key", r"\bsk-(?:proj|svcacct|admin|None)-[0-9A-Za-z_-]{24,}"),
    SecretKind("an OpenAI key", r"\bsk-[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}"),
    SecretKind("an Anthropic key", r"\bsk-ant-[a-z0-9]{3,12}-[0-9A-Za-z_-]{32,}"),
    SecretKind("an AWS access key id", r"\b(?:AKIA|ASIA|ABIA|ACCA)[2-7A-Z]{16}\b"),
    SecretKind(
        "an AWS secret access key",
        r"(?i)\baws_?secret_?access_?key['\"]?\s{0,3}(?:=|:|=>)\s{0,3}['\"]?[0-9a-z/+]{40}\b",
    ),
    SecretKind("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
    SecretKind("a Google OAuth secret", r"\bGOCSPX-[0-9A-Za-z_-]{28}"),
    SecretKind("an Azure storage key", r"\bAccountKey=[0-9A-Za-z+/]{86}=="),
    SecretKind("a GitHub token", r"\bgh[opusr]_[0-9A-Za-z]{36}"),
    SecretKind("a GitHub token", r"\bgithub_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"),
    SecretKind("a GitLab token", r"\bgl(?:pat|dt|rt|ptt|agent|soat|cbt)-[0-9A-Za-z_-]{20,}"),
    SecretKind("a Slack token", r"\bxox[abeoprs](?:\.xox[abp])?-[0-9A-Za-z-]{24,}"),
    SecretKind("a Slack token", r"\bxapp-[0-9]-[0-9A-Z]{8,}-[0-9]{8,}-[0-9a-f]{32,}"),
    SecretKind(
        "a Slack webhook", r"\bhooks\.slack\.com/services/T[0-9A-Z]{8,}/B[0-9A-Z]{8,}/[0-9A-Za-z]{20,}"
    ),
    SecretKind("a Stripe key", r"\b(?:sk|rk)_live_[0-9A-Za-z]{16,}"),
    SecretKind("a Stripe webhook secret", r"\bwhsec_[0-9A-Za-z+/]{32,}"),
    SecretKind("an npm token", r"\bnpm_[0-9A-Za-z]{36}"),
    SecretKind("a PyPI token", r"\bpypi-AgE[0-9A-Za-z_-]{50,}"),
    SecretKind("a private key", r"-----BEGIN (?:[0-9A-Z]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    SecretKind("a signed token (JWT)", r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{20,}"),
)


class Secrets:
    """Brings its own patterns; the rule only says that they are wanted."""

    def patterns(self, rule: FilterRule) -> Sequence[str]:
        return [secret.pattern for secret in SECRETS]

    def finding(self, rule: FilterRule, which: int) -> str:
        name = SECRETS[which].name
        return (
            f"The request carries what looks like {name} (filter `{rule.name}`). Take it out, and replace it."
        )
