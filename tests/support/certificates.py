"""Certificates: one for `localhost` that vouches for itself, and authorities that vouch for others."""

import datetime
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(1)


def certificate(folder: Path) -> Path:
    """A file with the key and the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    signed = (
        _certificate(name, name, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    file.write_bytes(_pem(key) + signed.public_bytes(serialization.Encoding.PEM))
    return file


class Authority:
    """Vouches for those to whom it issues certificates."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = (
            _certificate(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        """Whoever trusts it has this."""
        self.file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *, subject: str = "CN=localhost", uris: Sequence[str] = (), days: int = 1
    ) -> Path:
        """A file of this name with a key and its certificate, which ends in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), *map(x509.UniformResourceIdentifier, uris)]
        builder = _certificate(x509.Name.from_rfc4514_string(subject), self._name, key, days=days)
        signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self._key, hashes.SHA256()
        )
        file = self._folder / f"{name}.pem"
        file.write_bytes(_pem(key) + signed.public_bytes(serialization.Encoding.PEM))
        return file


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 3 * _DAY)
        .not_valid_after(now + days * _DAY)
    )


def _pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    encryption = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def encrypted(file: Path, passphrase: bytes = b"a passphrase") -> Path:
    """The same file, whose key nobody can read without the passphrase."""
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of ours is of an elliptic curve")
    _, begin, certificates = file.read_bytes().partition(b"-----BEGIN CERTIFICATE")
    locked = file.with_name(f"encrypted-{file.name}")
    locked.write_bytes(_pem(key, passphrase) + begin + certificates)
    return locked


def servers_side(file: Path) -> ssl.SSLContext:
    """Who shows it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


def clients_side(file: Path, shows: Path | None = None) -> ssl.SSLContext:
    """Who trusts it, and shows one of its own."""
    context = ssl.create_default_context(cafile=file)
    if shows is not None:
        context.load_cert_chain(shows)
    return context
