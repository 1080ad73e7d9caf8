"""`/admin/me`. The document: test_document.py."""

from tests.support.operators import Client, by


async def test_somebody_is_told_who_he_is(client: Client) -> None:
    told = await (await client.get("/admin/me", headers=by("both-lead"))).json()
    assert told == {"name": "token:both-lead", "role": "team_admin", "teams": ["ads", "search"]}
