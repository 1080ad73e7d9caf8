"""`gateway check`: every mistake, with file and line."""

from tests.support.redis_server import running_redis
from tests.unit.cli.conftest import Installation


def test_what_is_right_is_said_to_be(gateway: Installation) -> None:
    checked = gateway("check")
    assert checked.exit_code == 0
    assert "settings and policies are good: 2 teams" in checked.stdout


def test_nothing_is_made_by_looking(gateway: Installation) -> None:
    (gateway.folder / "gateway.db").unlink()
    gateway("check")
    assert [file.name for file in gateway.folder.iterdir()] == ["policies"]


def test_every_mistake_in_the_policies_is_told_with_file_and_line(gateway: Installation) -> None:
    (gateway.policies / "organization.yaml").write_text("models: ['*']\nodd: 1\neven: 2\n")
    (gateway.policies / "teams" / "ads.yaml").write_text("team: ads\n\nlimits:\n  few: {per: cat, tokens: 5}")
    checked = gateway("check")
    assert (checked.exit_code, checked.stdout) == (1, "")
    told = [line.removeprefix(f"✗ {gateway.policies}/") for line in checked.stderr.splitlines()]
    assert [": ".join(line.split(": ")[:2]) for line in told] == [
        "organization.yaml:2: odd",
        "organization.yaml:3: even",
        "teams/ads.yaml:4: limits.few.per",
    ]


def test_a_folder_that_is_not_there_is_told(gateway: Installation) -> None:
    checked = gateway("check", policies_dir=str(gateway.folder / "nowhere"))
    assert checked.exit_code == 1
    assert f"{gateway.folder}/nowhere" in checked.stderr


def test_no_secret_is_told(gateway: Installation) -> None:
    checked = gateway("check", key_pepper="too short", upstream__api_key="sk-sec ret")
    assert checked.exit_code == 1
    assert "too short" not in checked.output
    assert "sk-sec" not in checked.output


def test_a_good_redis_is_said_to_be(gateway: Installation) -> None:
    with running_redis() as server:
        checked = gateway("check", redis_url=server.url)
    assert checked.exit_code == 0, checked.stderr
    assert "✓ the Redis is good" in checked.stdout


def test_without_a_redis_nothing_is_said_of_one(gateway: Installation) -> None:
    assert "Redis" not in gateway("check").output


def test_a_redis_that_evicts_is_warned_of(gateway: Installation) -> None:
    with running_redis("--maxmemory-policy", "allkeys-lru") as server:
        checked = gateway("check", redis_url=server.url)
    assert checked.exit_code == 0
    assert "the Redis is good" not in checked.stdout
    assert checked.stderr.startswith(f"! {server.path} evicts keys")


def test_a_redis_that_passes_no_signals_on_is_warned_of(gateway: Installation) -> None:
    user = "--user default on nopass ~* +@all resetchannels"
    with running_redis(*user.split()) as server:
        checked = gateway("check", redis_url=server.url)
    assert checked.exit_code == 0
    assert checked.stderr.startswith(f"! {server.path} does not let the gateway's user publish and subscribe")


def test_a_redis_that_cannot_keep_limits_is_refused(gateway: Installation) -> None:
    with running_redis("--cluster-enabled", "yes", "--maxmemory-policy", "allkeys-lru") as server:
        checked = gateway("check", redis_url=server.url)
    assert checked.exit_code == 1
    assert checked.stderr == f"✗ {server.path} is a node of a cluster. Name it as redis+cluster://…\n"


def test_a_redis_that_cannot_be_reached_is_told(gateway: Installation) -> None:
    checked = gateway("check", redis_url="redis://me:hush@127.0.0.1:1")
    assert checked.exit_code == 1
    assert checked.stderr.startswith("✗ Redis cannot be reached: ")
    assert "hush" not in checked.output


def test_a_file_without_certificates_is_told(gateway: Installation) -> None:
    checked = gateway("check", redis_url="rediss://localhost:1", redis_ca_file=str(gateway.folder / "ca.pem"))
    assert checked.exit_code == 1
    assert checked.stderr == f"✗ {gateway.folder}/ca.pem holds no certificates that can be read\n"
