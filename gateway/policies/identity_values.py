"""The smallest words of identity.yaml: places in a token, spans of time, URLs, networks, headers, names."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from cryptography.x509 import Name
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from gateway.core.identity import Network
from gateway.policies.problems import did_you_mean
from gateway.policies.rule import spoken

_SPAN: Final = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS: Final[Mapping[str, float]] = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+")
_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie", "set-cookie"}
)
_FRAMING: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("content-length", "content-type", "content-encoding", "expect", "host"),
    }
)
_OF_EVERYBODY: Final = frozenset(
    {
        *("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"),
        *("x-real-ip", "accept", "accept-encoding", "user-agent", "x-client-request-id", "x-request-id"),
    }
)


def _steps(path: Any) -> Any:
    """A text is taken apart at its dots; names that have dots themselves stand in a list."""
    if not isinstance(path, str):
        return path
    if "/" in path:
        raise ValueError(f"has a name with signs of its own: write it as a list, such as `[{path}]`")
    return path.split(".")


def _spelled(value: Any) -> Any:
    """As JSON spells it. Numbers are not guessed at: 0815 would be 815."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        raise ValueError("must stand in quotes, or it is a number, whose leading zeros do not count")
    return value


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line of text, without spaces around it")
    return text


def _seconds(text: Any) -> float:
    found = _SPAN.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("must be a whole number with its unit, such as `30s`, `15m`, `1h` or `7d`")
    return int(found[1]) * _SECONDS[found[2]]


def _between(least: str, most: str) -> Callable[[float], float]:
    def judge(seconds: float) -> float:
        if not _seconds(least) <= seconds <= _seconds(most):
            raise ValueError(f"must be between `{least}` and `{most}`")
        return seconds

    return judge


def _https(url: str) -> str:
    """Everywhere, this machine too: who can answer in an issuer's place can be anybody."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme != "https" or not url.startswith("https://"):
        raise ValueError("must begin with `https://`: what comes by any other way cannot be trusted")
    if not host or "@" in parts.netloc or "#" in url or not url.isascii() or re.search(r"[\s\\<>\"]", url):
        raise ValueError("must be a URL such as `https://login.example.com`, without credentials in it")
    return url


def _without_query(url: str) -> str:
    if "?" in url:
        raise ValueError("must be as it stands in the tokens' `iss`, which has no query")
    return url


def _asymmetric(algorithm: str) -> str:
    if algorithm in _ALGORITHMS:
        return algorithm
    if algorithm.lower() == "none":
        raise ValueError("`none` is no signature: anybody could write such a token")
    if algorithm.upper().startswith("HS"):
        raise ValueError(f"`{algorithm}` is symmetric: whoever can check such a token can also make one")
    like = did_you_mean(algorithm.upper(), _ALGORITHMS)
    raise ValueError(f"`{algorithm}` is no algorithm that is known here{like or f': {spoken(_ALGORITHMS)}'}")


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or not text.isprintable():
        raise ValueError("must be an absolute path, such as `/etc/gateway/ca.crt`")
    return path


def _network(text: Any) -> Network:
    try:
        if not isinstance(text, str):
            raise ValueError
        found = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("must be a network, such as `10.0.0.0/8` or `2001:db8::/32`") from None
    if "/" in text and ip_network(text.partition("/")[0]).network_address != found.network_address:
        raise ValueError(f"is an address within a network; the network is `{found}`")
    if found.prefixlen == 0:
        raise ValueError("is every address there is: what anybody says would be believed")
    return found


def _identity_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("must be a header's name: letters, digits and hyphens")
    name = name.lower()
    if name in _CREDENTIALS:
        raise ValueError(f"`{name}` carries credentials: it cannot say who asks")
    if name in _FRAMING:
        raise ValueError(f"`{name}` says how a message is sent: it cannot say who asks")
    if name in _OF_EVERYBODY:
        raise ValueError(f"`{name}` is set by clients and by every proxy: it cannot say who asks")
    return name


def _spiffe_id(text: str) -> str:
    if len(text) > 2048 or not _SPIFFE.fullmatch(text):
        raise ValueError("must be a SPIFFE id, such as `spiffe://example.org/ns/search/sa/indexer`")
    return text


def _subject(text: str) -> str:
    """In the one way in which certificates' own subjects are spelled as well."""
    try:
        subject = Name.from_rfc4514_string(text).rfc4514_string()
    except ValueError:
        subject = ""
    if not subject:
        raise ValueError("must be a subject as RFC 4514 spells it, such as `CN=search-api,O=Acme`")
    return subject


_Step = Annotated[str, Field(min_length=1, max_length=200)]
ClaimSteps = Annotated[
    list[_Step],
    BeforeValidator(_steps, json_schema_input_type=str | list[str]),
    Field(min_length=1, max_length=8),
]
"""Where a claim stands: `realm_access.roles`, or `[kubernetes.io, namespace]`."""
ClaimValue = Annotated[
    str,
    BeforeValidator(_spelled, json_schema_input_type=str | bool),
    Field(max_length=1_000),
]
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]
HttpsUrl = Annotated[str, Field(max_length=1_000), AfterValidator(_https)]
IssuerUrl = Annotated[HttpsUrl, AfterValidator(_without_query)]
Algorithm = Annotated[str, AfterValidator(_asymmetric)]
File = Annotated[Path, PlainValidator(_absolute, json_schema_input_type=str)]
NetworkText = Annotated[Network, PlainValidator(_network, json_schema_input_type=str)]
HeaderName = Annotated[str, AfterValidator(_identity_header)]
SpiffeId = Annotated[str, AfterValidator(_spiffe_id)]
Subject = Annotated[str, Field(max_length=1_000), AfterValidator(_subject)]

_Text = Annotated[str, Field(pattern=f"^{_SPAN.pattern}$")]
_Span = BeforeValidator(_seconds, json_schema_input_type=_Text)
Leeway = Annotated[float, _Span, AfterValidator(_between("0s", "5m"))]
TokenLife = Annotated[float, _Span, AfterValidator(_between("1m", "30d"))]
KeyLife = Annotated[float, _Span, AfterValidator(_between("1m", "24h"))]
