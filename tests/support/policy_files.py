"""Policy directories for tests: the shipped models and prices, and rules of the test's own."""

from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "policies"

EVERYTHING = """
endpoints: ["*"]
models: ["*"]
"""
"""An organization in which everything is allowed and nothing is changed."""


def write_policies(
    folder: Path, organization: str = EVERYTHING, *, identity: str | None = None, **teams: str
) -> Path:
    """A policy directory in the folder. Teams are written without their `team:` line; there is `search`.
    Without `identity` nobody but the gateway vouches for anybody."""
    directory = folder / "policies"
    (directory / "teams").mkdir(parents=True, exist_ok=True)
    for name in ("models.yaml", "prices.yaml"):
        (directory / name).write_bytes((SHIPPED / name).read_bytes())
    (directory / "organization.yaml").write_text(organization)
    if identity is not None:
        (directory / "identity.yaml").write_text(identity)
    for team, rules in {"search": "", **teams}.items():
        (directory / "teams" / f"{team}.yaml").write_text(f"team: {team}\n{rules}")
    return directory


def write_models(directory: Path, models: str, prices: str = "") -> None:
    """Other models in place of the shipped ones, and other prices; none unless they are said."""
    (directory / "models.yaml").write_text(models)
    (directory / "prices.yaml").write_text(prices)
