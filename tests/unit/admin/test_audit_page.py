"""`/admin/audit`: pages of the trail, and whether it is whole."""

from typing import Any

import pytest

from tests.support.operators import Client, by, problem


async def get(client: Client, path: str, **query: str) -> Any:
    return await (await client.get(path, params=query, headers=by("auditor"))).json()


@pytest.mark.parametrize("limit", ["1", "2", "5", "200"])
async def test_every_line_is_on_one_page_the_newest_first(client: Client, limit: str) -> None:
    numbers: list[int] = []
    query = {"limit": limit}
    while True:
        told = await get(client, "/admin/audit", **query)
        numbers += [line["number"] for line in told["data"]]
        if not told["has_more"]:
            break
        query["after"] = told["next"]
    assert numbers == [5, 4, 3, 2, 1]


async def test_lines_are_picked_by_team(client: Client) -> None:
    told = await get(client, "/admin/audit", team="ads")
    assert [(line["number"], line["target"]) for line in told["data"]] == [(2, "key:k2")]


async def test_a_whole_trail_is_told_with_its_head(client: Client) -> None:
    told = await get(client, "/admin/audit/verify", head="5:" + "ab" * 32)
    assert (told["intact"], told["lines"], told["broken_at"]) == (True, 5, None)
    assert told["head"].startswith("5:abab")


async def test_a_head_that_is_none_is_named(client: Client) -> None:
    answer = await client.get("/admin/audit/verify", params={"head": "6:" + "ab" * 32}, headers=by("auditor"))
    assert (answer.status, (await problem(answer))["field"]) == (400, "head")
