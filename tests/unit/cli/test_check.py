"""`gateway check`: every mistake, with file and line."""

from tests.unit.cli.conftest import Installation


def test_what_is_right_is_said_to_be(gateway: Installation) -> None:
    checked = gateway("check")
    assert checked.exit_code == 0
    assert "settings and policies are good: 2 teams" in checked.stdout


def test_nothing_is_made_by_looking(gateway: Installation) -> None:
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
