"""What operators do to a whole gateway is on record: to its policies, and at its console."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.admin.sessions import COOKIE
from gateway.audit.reading import Line
from gateway.database.engine import open_database
from tests.support.acts import acts
from tests.support.eventually import eventually
from tests.support.house import ADMIN_TOKEN, House, hasten, house
from tests.support.policy_files import EVERYTHING, write_policies

FROM_CONSOLE = {"x-requested-with": "gateway-console"}
WRONG = "canary-of-a-wrong-token"


def on_record(home: House, beginning: str) -> Sequence[Line]:
    database = open_database(home.settings.database_url.get_secret_value())
    try:
        return acts(database, beginning)
    finally:
        database.release()
        database.engine.dispose()


async def eventually_on_record(home: House, beginning: str, lines: int) -> Sequence[Line]:
    def look() -> Sequence[Line]:
        found = on_record(home, beginning)
        return found if len(found) >= lines else []

    return await eventually(look)


def versions(line: Line) -> tuple[str, Any, Any]:
    return line.action, line.details["before"]["version"], line.details["after"]["version"]


async def test_every_version_of_the_policies_is_on_record(tmp_path: Path) -> None:
    policies = write_policies(tmp_path, EVERYTHING)
    organization = policies / "organization.yaml"
    async with house(tmp_path, policies=policies, pause=hasten) as home:
        (first,) = await eventually_on_record(home, "policies.", 1)
        organization.write_text("limits: [")
        await eventually_on_record(home, "policies.", 2)
        organization.write_text(EVERYTHING + "\n# changed\n")
        _, broken, second = await eventually_on_record(home, "policies.", 3)
    old, new = first.details["after"]["version"], second.details["after"]["version"]
    assert versions(first) == ("policies.loaded", None, old)
    assert versions(broken) == ("policies.broken", old, old)
    assert versions(second) == ("policies.loaded", old, new)
    assert old != new
    assert len({line.details["replica"] for line in (first, broken, second)}) == 1


async def test_who_signs_in_and_out_and_who_cannot_is_on_record(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        session = f"{home.operators}/console/session"
        for token in (WRONG, ADMIN_TOKEN):
            answer = await home.http.post(session, json={"token": token}, headers=FROM_CONSOLE)
        cookie = f"{COOKIE}={answer.cookies[COOKIE].value}"
        await home.http.delete(session, headers={**FROM_CONSOLE, "cookie": cookie})
        await home.http.get(f"{home.operators}/admin/keys", headers={"authorization": f"Bearer {WRONG}"})
    (entered,) = on_record(home, "console.")
    assert (entered.action, entered.actor) == ("console.signed_in", "token:admin")
    (refused,) = on_record(home, "refused")
    assert (refused.details["rule"], refused.details["times"]) == ("operators.sign_in", 2)
    assert WRONG not in str(on_record(home, ""))
