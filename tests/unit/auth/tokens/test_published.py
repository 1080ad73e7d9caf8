"""What an issuer publishes is read strictly, and its keys are taken for what they are."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import get_default_algorithms

from gateway.auth.tokens.published import MOST_KEYS, read_discovery, read_keys
from tests.support.issuer import SigningKey, new_key

URL = "https://issuer.example"
EC = new_key("ES256").published
RSA = new_key("RS256").published


def key_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def rsa_of(bits: int) -> dict[str, Any]:
    return SigningKey("weak", "RS256", rsa.generate_private_key(65_537, bits)).published


def private_jwk(algorithm: str) -> dict[str, Any]:
    """What no issuer should publish."""
    private = new_key(algorithm).private
    return {**get_default_algorithms()[algorithm].to_jwk(private, as_dict=True), "key_ops": None}


class TestDiscovery:
    def test_it_tells_where_the_keys_are(self) -> None:
        told = {
            "issuer": URL,
            "jwks_uri": f"{URL}/keys",
            "scopes_supported": ["openid"],
            "token_endpoint": "t",
        }
        found = read_discovery(URL, json.dumps(told).encode())
        assert found == {"issuer": URL, "jwks_uri": f"{URL}/keys", "token_endpoint": "t"}

    @pytest.mark.parametrize("claimed", [f"{URL}/", URL.upper(), "https://issuer.example.evil", "", None])
    def test_another_issuers_is_refused(self, claimed: str | None) -> None:
        with pytest.raises(ValueError, match="another issuer's"):
            read_discovery(URL, json.dumps({"issuer": claimed, "jwks_uri": "x"}).encode())

    @pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b"[" * 9000, b"\xff"])
    def test_what_is_no_object_is_refused(self, document: bytes) -> None:
        with pytest.raises(ValueError, match="not a JSON object"):
            read_discovery(URL, document)

    def test_one_without_the_keys_place_is_refused(self) -> None:
        with pytest.raises(ValueError, match="jwks_uri"):
            read_discovery(URL, json.dumps({"issuer": URL, "jwks_uri": 1}).encode())


class TestKeys:
    @pytest.mark.parametrize(
        ("algorithm", "fitting"),
        [
            ("RS256", {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
            ("ES256", {"ES256"}),
            ("ES384", {"ES384"}),
            ("ES512", {"ES512"}),
            ("EdDSA", {"EdDSA", "Ed25519"}),
        ],
    )
    def test_the_kind_of_a_key_says_with_what_it_signs(self, algorithm: str, fitting: set[str]) -> None:
        (key,) = read_keys(key_set({**new_key(algorithm).published, "alg": None}))
        assert key.algorithms == fitting

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
    def test_a_key_knows_its_signature(self, algorithm: str) -> None:
        key = new_key(algorithm)
        (read,) = read_keys(key_set(key.published))
        signature = key.signature(b"signed")
        assert read.has_signed(algorithm, b"signed", signature)
        assert not read.has_signed(algorithm, b"signed.", signature)
        assert not read.has_signed("HS256", b"signed", signature)
        assert not read.has_signed("none", b"signed", b"")

    @pytest.mark.parametrize("algorithm", ["PS256", "RS384", "PS512"])
    def test_a_key_that_names_its_algorithm_signs_with_no_other(self, algorithm: str) -> None:
        (read,) = read_keys(key_set({**RSA, "alg": algorithm}))
        assert read.algorithms == {algorithm}

    @pytest.mark.parametrize(
        "key",
        [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
            {**EC, "use": "enc"},
            {**EC, "key_ops": ["encrypt"]},
            {**EC, "alg": "HS256"},
            {**EC, "alg": "none"},
            {**EC, "alg": "ES384"},
            {**EC, "d": "AAAA"},
            private_jwk("ES256"),
            private_jwk("RS256"),
            private_jwk("EdDSA"),
            {**EC, "x": EC["y"]},
            {**EC, "x": None},
            {**EC, "y": "***"},
            {**EC, "crv": "P-384"},
            {**EC, "kid": 7},
            {**RSA, "crv": "P-256"},
            {**RSA, "n": ""},
            {**RSA, "e": "AA"},
            {**RSA, "e": "AQ"},
            {**RSA, "e": "AAAAAf____8"},
            {**RSA, "e": "AgAAAAE"},
            rsa_of(1024),
            SigningKey("k", "ES256K", ec.generate_private_key(ec.SECP256K1())).published,
            SigningKey("k", "EdDSA", ed448.Ed448PrivateKey.generate()).published,
            {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
            {},
            None,
            "key",
        ],
    )
    def test_a_key_that_cannot_be_used_is_passed_over(self, key: Any) -> None:
        good = new_key().published
        assert [read.id for read in read_keys(key_set(key, good))] == [good["kid"]]

    def test_an_rsa_key_that_takes_long_to_check_is_passed_over(self) -> None:
        huge = get_default_algorithms()["RS256"].to_jwk(
            rsa.RSAPublicNumbers(65_537, (1 << 9000) + 1).public_key(), as_dict=True
        )
        with pytest.raises(ValueError, match="none of its keys"):
            read_keys(key_set({**huge, "key_ops": None}))

    def test_more_keys_than_a_hundred_are_passed_over(self) -> None:
        keys = [{**EC, "kid": str(number)} for number in range(MOST_KEYS + 1)]
        assert len(read_keys(key_set(*keys))) == MOST_KEYS

    @pytest.mark.parametrize("document", [b"", b"[]", b'{"keys":{}}', b'{"keys":null}', b"[" * 9000])
    def test_what_is_no_key_set_is_refused(self, document: bytes) -> None:
        with pytest.raises(ValueError, match="not a JSON Web Key Set"):
            read_keys(document)

    def test_a_set_without_a_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="none of its keys can be used"):
            read_keys(b'{"keys":[]}')
