"""What `gateway check` sees around a gateway: the pepper, TLS files, the files that identity.yaml names."""

from pathlib import Path

import pytest

from tests.support.certificates import certificate, encrypted
from tests.unit.cli.conftest import Installation

_ISSUER = """issuers:
  corp:
    issuer: https://idp.example.com
    audiences: [gateway]
    team: search
    ca_file: {ca}
    token_file: {token}
"""


def _identity(gateway: Installation, *, ca: Path, token: Path) -> None:
    (gateway.policies / "identity.yaml").write_text(_ISSUER.format(ca=ca, token=token))


def test_the_pepper_that_keys_were_made_with_is_good(gateway: Installation) -> None:
    gateway.new_key()
    checked = gateway("check")
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_another_pepper_is_told(gateway: Installation) -> None:
    gateway.new_key()
    checked = gateway("check", key_pepper="another pepper than before")
    assert checked.exit_code == 1
    assert checked.stderr.startswith("✗ The keys in this database were made with another pepper")
    assert "another pepper than before" not in checked.output


def test_looking_takes_no_pepper_for_the_first_one(gateway: Installation) -> None:
    assert gateway("check", key_pepper="whatever somebody tries").exit_code == 0
    gateway.new_key()
    assert gateway("check").exit_code == 0


def test_a_pepper_of_its_own_that_is_gone_is_told_and_not_made(gateway: Installation) -> None:
    del gateway.environment["GATEWAY_KEY_PEPPER"]
    gateway.new_key()
    pepper = gateway.folder / "pepper"
    pepper.unlink()
    checked = gateway("check")
    assert checked.exit_code == 1
    assert checked.stderr.startswith(f"✗ {pepper} is not there, and the keys in {gateway.folder}/gateway.db")
    assert not pepper.exists()


def test_a_shared_database_needs_a_pepper(gateway: Installation, postgres_url: str) -> None:
    del gateway.environment["GATEWAY_KEY_PEPPER"]
    checked = gateway("check", database_url=postgres_url)
    assert checked.exit_code == 1
    assert checked.stderr.startswith("✗ GATEWAY_KEY_PEPPER is not set: a shared database needs")


def test_a_shared_database_without_tables_has_no_pepper_yet(
    gateway: Installation, empty_postgres_url: str
) -> None:
    checked = gateway("check", database_url=empty_postgres_url)
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_a_database_that_is_away_is_told(gateway: Installation) -> None:
    checked = gateway("check", database_url="postgresql://me:hush@127.0.0.1:1/gateway")
    assert checked.exit_code == 1
    assert "Connection refused" in checked.stderr
    assert "hush" not in checked.output


def test_good_tls_files_are_nothing_to_talk_about(gateway: Installation, tmp_path: Path) -> None:
    file = str(certificate(tmp_path))
    checked = gateway("check", tls__cert_file=file, tls__key_file=file)
    assert (checked.exit_code, checked.stderr) == (0, "")


def test_tls_files_that_cannot_be_used_are_told(gateway: Installation, tmp_path: Path) -> None:
    file = encrypted(certificate(tmp_path))
    checked = gateway("check", tls__cert_file=str(file), tls__key_file=str(file))
    assert checked.exit_code == 1
    assert "the key is encrypted" in checked.stderr


def test_files_of_issuers_that_can_be_read_are_nothing_to_talk_about(
    gateway: Installation, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t\n")
    _identity(gateway, ca=certificate(tmp_path), token=token)
    checked = gateway("check")
    assert (checked.exit_code, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read: No such file or directory"), (b" \n", "is empty")]
)
def test_a_token_file_that_cannot_be_used_is_told(
    gateway: Installation, tmp_path: Path, content: bytes | None, told: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    _identity(gateway, ca=certificate(tmp_path), token=token)
    checked = gateway("check")
    assert checked.exit_code == 1
    where = f"{gateway.policies}/identity.yaml: issuers.corp.token_file"
    assert checked.stderr == f"✗ {where}: {token} {told}\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"no certificate", "holds no certificates that can be read"),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_told(
    gateway: Installation, tmp_path: Path, content: bytes | None, told: str
) -> None:
    token, authorities = tmp_path / "token", tmp_path / "ca.pem"
    token.write_text("t")
    if content is not None:
        authorities.write_bytes(content)
    _identity(gateway, ca=authorities, token=token)
    checked = gateway("check")
    assert checked.exit_code == 1
    where = f"{gateway.policies}/identity.yaml: issuers.corp.ca_file"
    assert checked.stderr == f"✗ {where}: {authorities} {told}\n"


def test_every_mistake_is_told_at_once(gateway: Installation, tmp_path: Path) -> None:
    gateway.new_key()
    _identity(gateway, ca=tmp_path / "ca.pem", token=tmp_path / "token")
    nowhere = str(tmp_path / "tls.pem")
    checked = gateway(
        "check",
        key_pepper="another pepper than before",
        tls__cert_file=nowhere,
        tls__key_file=nowhere,
        redis_url="redis://127.0.0.1:1",
    )
    assert checked.exit_code == 1
    assert checked.stderr.count("✗") == 5
