"""The command, run in this process, on an installation of its own."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import command
from gateway.settings.reading import load_settings
from gateway.settings.tree import Settings
from tests.support.policy_files import write_policies


@dataclass
class Installation:
    """A folder with policies and a database, and the command before it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, **environment: str) -> Result:
        """Run the command. `environment`: more of it, by name without `GATEWAY_`."""
        own = {f"GATEWAY_{name.upper()}": value for name, value in environment.items()}
        return CliRunner().invoke(command, list(words), env={**self.environment, **own})

    @property
    def policies(self) -> Path:
        return Path(self.environment["GATEWAY_POLICIES_DIR"])

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment)

    def new_key(self, team: str = "search", name: str = "web", *words: str) -> str:
        made = self("keys", "create", "--team", team, "--name", name, *words)
        assert made.exit_code == 0, made.stderr
        return made.stdout.strip()


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> Installation:
    for name in ("OPENAI_API_KEY", "GATEWAY_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    return Installation(
        tmp_path,
        {
            "GATEWAY_POLICIES_DIR": str(write_policies(tmp_path, ads="")),
            "GATEWAY_DATABASE_URL": sqlite_url,
            "GATEWAY_KEY_PEPPER": "a pepper for tests only",
            "GATEWAY_LISTEN": "127.0.0.1:0",
            "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
        },
    )
