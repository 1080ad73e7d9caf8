"""TLS at the clients' port: TLS 1.2 or later, HTTP/1.1, and client certificates where they are asked for.

A certificate file that was renewed is taken over without a restart; one that cannot be used changes nothing.
"""

import ssl
from pathlib import Path
from typing import Final, Literal, NoReturn

_PROTOCOL: Final = "http/1.1"


ClientCertificates = Literal["off", "optional", "required"]
"""Whether clients are asked for one. `optional`: who shows one shows one that the authority vouches for, and
who shows none sends a key. `required`: who shows none is not let in."""


def server_context(
    *,
    cert_file: Path,
    key_file: Path | None = None,
    client_ca_file: Path | None = None,
    client_certificates: ClientCertificates = "off",
) -> ssl.SSLContext:
    """What the clients' listener shows, and asks for.

    `cert_file`: PEM, the certificate first, then those between it and its authority; `key_file`: its key, if
    that is not in there as well. `client_ca_file`: PEM, who may vouch for clients; nobody else does.
    Raises OSError for a file that cannot be read, ValueError for what cannot be used: both with a sentence.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_PROTOCOL])
    _show(context, cert_file, key_file)
    if client_certificates != "off":
        _ask(context, client_ca_file, client_certificates)
    return context


class ServerTls:
    """A context, and the files that it came from."""

    def __init__(
        self,
        *,
        cert_file: Path,
        key_file: Path | None = None,
        client_ca_file: Path | None = None,
        client_certificates: ClientCertificates = "off",
    ) -> None:
        """Raises OSError and ValueError, as `server_context` does."""
        self._cert_file = cert_file
        self._key_file = key_file
        self._shown = self._files()
        self.context = server_context(
            cert_file=cert_file,
            key_file=key_file,
            client_ca_file=client_ca_file,
            client_certificates=client_certificates,
        )
        """For every connection that begins from now on, and after every reload too: it stays the same."""

    def reload(self) -> bool:
        """Take the certificate over if it was renewed. Says whether it was.

        Raises OSError and ValueError; then the one before it is shown as before. Who may vouch for clients is
        not read again.
        """
        files = self._files()
        if files == self._shown:
            return False
        server_context(cert_file=self._cert_file, key_file=self._key_file)  # a pair half renewed raises here
        _show(self.context, self._cert_file, self._key_file)
        self._shown = files
        return True

    def _files(self) -> list[bytes]:
        return [_read(file) for file in (self._cert_file, self._key_file) if file is not None]


def _show(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    for file in (cert_file, key_file):
        if file is not None:
            _read(file)
    try:
        context.load_cert_chain(cert_file, key_file, password=_refuse_to_ask)
    except ssl.SSLError as error:
        pair = f"{cert_file} with the key in {key_file}" if key_file else str(cert_file)
        raise ValueError(f"{pair} cannot be used: {_reason(error)}") from None


def _ask(context: ssl.SSLContext, ca_file: Path | None, wanted: ClientCertificates) -> None:
    if ca_file is None:
        raise ValueError("nobody is named who may vouch for clients: client certificates need a CA file")
    _read(ca_file)
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise ValueError(f"{ca_file} cannot be used: {_reason(error)}") from None
    context.verify_mode = ssl.CERT_OPTIONAL if wanted == "optional" else ssl.CERT_REQUIRED


def _read(file: Path) -> bytes:
    """OpenSSL does not say which file it could not read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise OSError(f"{file} cannot be read: {error.strerror}") from error


def _refuse_to_ask() -> NoReturn:
    """Without this OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted: store it without a passphrase, readable by the gateway alone")


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, without numbers. Never anything of the files."""
    words = (error.reason or "what is wanted of it is not in it, as PEM").replace("_", " ")
    return "the key is another certificate's" if words == "KEY VALUES MISMATCH" else words
