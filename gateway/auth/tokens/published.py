"""What an issuer publishes, read strictly: its discovery document, and the keys that it signs with.

A key is taken for what it is: its kind says with which algorithms it can have signed, and no token has a say
in that. A key that is too weak, private, or meant for something else is passed over.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import InvalidKeyError
from jwt.algorithms import Algorithm, OKPAlgorithm, get_default_algorithms

MOST_KEYS: Final = 100
"""Keys of one issuer; what follows is passed over."""

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_FITTING: Final[Mapping[tuple[str, str | None], frozenset[str]]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),  # RFC 8037 and RFC 9864 name it
}
"""By `kty` and `crv`: the algorithms with which a key of that kind signs."""
_ALGORITHMS: Final[Mapping[str, Algorithm]] = {"Ed25519": OKPAlgorithm(), **get_default_algorithms()}
_READERS: Final = {"RSA": _ALGORITHMS["RS256"], "EC": _ALGORITHMS["ES256"], "OKP": _ALGORITHMS["EdDSA"]}
_RSA_BITS: Final = range(2048, 8192 + 1)
_LARGEST_EXPONENT: Final = 2**32


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A public key."""

    id: str | None
    """Its `kid`."""
    algorithms: frozenset[str]
    """With which it may have signed: asymmetric ones."""
    public: Any = field(repr=False)

    def has_signed(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether this is its signature, made in this way."""
        return algorithm in self.algorithms and _ALGORITHMS[algorithm].verify(signed, self.public, signature)


class _KeyList(msgspec.Struct):
    keys: list[msgspec.Raw]


class _Key(msgspec.Struct):
    """A key as RFC 7517 writes it: the members by which it is judged."""

    kty: str
    kid: str | None = None
    crv: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    d: None = None
    """Private keys have it: they cannot be read as this."""

    @property
    def algorithms(self) -> frozenset[str]:
        """None of them, when it is no public key for signatures."""
        fitting = _FITTING.get((self.kty, self.crv), frozenset())
        signs = self.use in (None, "sig") and (self.key_ops is None or "verify" in self.key_ops)
        if not signs:
            return frozenset()
        return fitting if self.alg is None else fitting & {self.alg}


def read_discovery(issuer: str, document: bytes) -> Mapping[str, str]:
    """What it tells in strings: `jwks_uri` and others. Raises ValueError with a sentence."""
    try:
        found = msgspec.json.decode(document, type=dict[str, Any])
    except (ValueError, RecursionError):
        raise ValueError("its discovery document is not a JSON object") from None
    told = {name: value for name, value in found.items() if type(value) is str}
    if told.get("issuer") != issuer:
        raise ValueError("its discovery document is another issuer's")
    if "jwks_uri" not in told:
        raise ValueError("its discovery document does not tell `jwks_uri`")
    return told


def read_keys(document: bytes) -> tuple[IssuerKey, ...]:
    """Those that can be used, at least one. Raises ValueError with a sentence."""
    try:
        listed = msgspec.json.decode(document, type=_KeyList).keys
    except (ValueError, RecursionError):
        raise ValueError("its keys are not a JSON Web Key Set") from None
    keys: list[IssuerKey] = []
    for raw in listed[:MOST_KEYS]:
        with suppress(ValueError, TypeError, RecursionError, UnsupportedAlgorithm, InvalidKeyError):
            keys += _read_key(bytes(raw))
    if not keys:
        raise ValueError("none of its keys can be used")
    return tuple(keys)


def _read_key(raw: bytes) -> list[IssuerKey]:
    """None or one."""
    told = msgspec.json.decode(raw, type=_Key)
    if not told.algorithms:
        return []
    public = _READERS[told.kty].from_jwk(msgspec.json.decode(raw))
    return [IssuerKey(told.kid, told.algorithms, public)] if _is_sound(public) else []


def _is_sound(public: Any) -> bool:
    """Strong enough to be believed, and small enough to be checked fast. Curves are by their names."""
    if not isinstance(public, RSAPublicKey):
        return True
    return public.key_size in _RSA_BITS and public.public_numbers().e < _LARGEST_EXPONENT
