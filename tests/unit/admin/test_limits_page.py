"""`/admin/limits`: whose limits are meant, and what is said when there are none such."""

from collections.abc import Mapping, Sequence

import pytest

from gateway.admin.interfaces import Asked
from gateway.admin.limits_page import LimitsPage
from gateway.admin.problems import Problem
from gateway.auth.interfaces import StoredKey
from gateway.auth.keys.memory import MemoryKeyStore
from gateway.core.actor import Act, Actor, Role
from gateway.core.errors import StoreUnavailable
from gateway.core.grant import Grant
from gateway.core.policy import Catalogue, Counted, Limit, Model, Policy, Scope
from gateway.limits.interfaces import Holder, Look
from gateway.limits.left import TeamLimits
from gateway.policies.policy_set import PolicySet, TeamPolicies
from tests.support.clock import ManualClock
from tests.support.limit_store import LimitStore

CATALOGUE = Catalogue({"gpt-5": Model("gpt-5", "openai", "gpt-5")}, {"best": "gpt-5"})
KEYS = [
    StoredKey("k1", "search", "web", b"", 1, 1),
    StoredKey("k2", "search", "batch", b"", 2, 2, revoked_at=5),
    StoredKey("k3", "search", "batch", b"", 6, 6),
    StoredKey("k4", "ads", "ads", b"", 7, 7),
    StoredKey("k5", "search", "gone", b"", 8, 8, revoked_at=9),
]
OPS = Actor("token:ops", Role.OPERATOR)
LEAD = Actor("token:lead", Role.TEAM_ADMIN, frozenset({"search"}))


def policy(amount: int) -> Policy:
    limit = Limit("slots", Counted.CONCURRENT, (Scope.KEY,), amount)
    return Policy(team="search", version="v1", catalogue=CATALOGUE, limits=(limit,))


class Keys(MemoryKeyStore):
    """Keys that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    async def list(
        self, team: str | None = None, *, after: str = "", most: int | None = None
    ) -> Sequence[StoredKey]:
        if self.away:
            raise StoreUnavailable("no answer")
        return await super().list(team, after=after, most=most)


class Page:
    """The page, and what it stands on."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.store = LimitStore({"{search}:slots:concurrent:team=search:key=k1": Look(2)})
        self.teams = {"search": TeamPolicies(policy(3), {"batch": policy(9)}), "ads": TeamPolicies(policy(3))}
        self.page = LimitsPage(
            policies=lambda: PolicySet("v1", CATALOGUE, self.teams),
            keys=self.keys,
            overview=self.store.overview(ManualClock()),
        )

    async def answer(self, actor: Actor = OPS, **query: str) -> TeamLimits:
        return await self.page.limits(Asked(actor, query=query))

    async def refusal(self, query: Mapping[str, str], actor: Actor = OPS) -> tuple[int, str]:
        with pytest.raises(Problem) as refused:
            await self.page.limits(Asked(actor, query=query))
        return refused.value.status, refused.value.detail


@pytest.fixture
async def page() -> Page:
    page = Page()
    for key in KEYS:
        await page.keys.add(key, Act("token:ops", "key.created", f"key:{key.id}"))
    return page


async def test_a_team_is_told_what_is_left(page: Page) -> None:
    limits = await page.answer(team="search")
    assert [(each.amount, each.taken, each.key_name) for each in limits.concurrency] == [
        (3, 2, "web"),
        (9, 0, None),
    ]


async def test_the_policies_are_those_in_force(page: Page) -> None:
    page.teams["search"] = TeamPolicies(policy(7))
    (slots,) = (await page.answer(team="search")).concurrency
    assert slots.amount == 7


@pytest.mark.parametrize(
    ("asked", "key"), [("k1", "k1"), ("web", "k1"), ("batch", "k3"), ("k2", "k2"), ("k5", "k5")]
)
async def test_a_key_is_known_by_its_id_and_while_it_lives_by_its_name(
    page: Page, asked: str, key: str
) -> None:
    assert (await page.answer(team="search", key=asked)).key == key


async def test_a_key_is_counted_by_its_own_policy(page: Page) -> None:
    (slots,) = (await page.answer(team="search", key="batch")).concurrency
    assert (slots.amount, slots.keys) == (9, ("batch",))


@pytest.mark.parametrize("asked", ["gpt-5", "best"])
async def test_a_model_is_known_by_its_other_names(page: Page, asked: str) -> None:
    assert (await page.answer(team="search", model=asked)).model == "gpt-5"


async def test_a_user_can_be_anybody(page: Page) -> None:
    assert (await page.answer(team="search", user="alice")).user == "alice"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"team": "serch"}, "There is no team `serch` in the policy files. Did you mean `search`?"),
        ({"team": "x"}, "There is no team `x` in the policy files. There are: `ads`, `search`"),
        ({"team": "search", "key": "bach"}, "There is no key `bach` of this team. Did you mean `batch`?"),
        ({"team": "search", "key": "k4"}, "There is no key `k4` of this team. There are: `batch`, `web`"),
        ({"team": "search", "key": "gone"}, "There is no key `gone` of this team. There are: `batch`, `web`"),
        (
            {"team": "search", "model": "gtp-5"},
            "There is no model `gtp-5` in models.yaml. Did you mean `gpt-5`?",
        ),
    ],
)
async def test_what_there_is_not_is_told_with_what_there_is(
    page: Page, query: Mapping[str, str], told: str
) -> None:
    assert await page.refusal(query) == (404, told)


async def test_of_many_names_some_are_told(page: Page) -> None:
    page.teams.update({f"team-{number:02}": TeamPolicies(policy(1)) for number in range(40)})
    _, told = await page.refusal({"team": "x"})
    assert told.endswith("`team-16`, `team-17`, …")


async def test_where_there_is_nothing_nothing_is_listed(page: Page) -> None:
    page.teams.clear()
    assert (await page.refusal({"team": "x"}))[1].endswith("There is none at all.")


async def test_to_a_team_admin_there_are_its_own_teams_alone(page: Page) -> None:
    assert await page.refusal({"team": "ads"}, LEAD) == (
        404,
        "There is no team `ads` in the policy files. There are: `search`",
    )


@pytest.mark.parametrize(("actor", "holders"), [(OPS, 1), (LEAD, 0)])
async def test_who_holds_what_all_teams_share_is_not_told_to_a_team_admin(
    page: Page, actor: Actor, holders: int
) -> None:
    shared = Limit("slots", Counted.CONCURRENT, (Scope.ORGANIZATION,), 3)
    page.teams["search"] = TeamPolicies(
        Policy(team="search", version="v1", catalogue=CATALOGUE, limits=(shared,), counters="*")
    )
    page.store.looks = {"{*}:slots:concurrent": Look(1, holders=(Holder("req_9", 1, 9.0),))}
    (slots,) = (await page.answer(actor, team="search")).concurrency
    assert (slots.taken, len(slots.holders)) == (1, holders)


async def test_a_store_that_is_away_is_told_in_a_sentence(page: Page) -> None:
    page.store.away = True
    status, told = await page.refusal({"team": "search"})
    assert (status, told[:53]) == (503, "Nobody knows what is left: Redis, which keeps the cou")
    assert "no answer" not in told


async def test_so_is_a_database_that_is(page: Page) -> None:
    page.keys.away = True
    assert (await page.refusal({"team": "search"}))[0] == 503


async def test_limits_that_a_key_brings_are_shown_beside_those_of_its_team(page: Page) -> None:
    own = StoredKey("k6", "search", "ci", b"", 10, 10, grant=Grant(concurrent=2))
    await page.keys.add(own, Act("token:ops", "key.created", "key:k6"))
    limits = await page.answer(team="search", key="ci")
    assert [(each.limit, each.amount, each.taken) for each in limits.concurrency] == [
        ("slots", 3, 0),
        ("key.concurrent", 2, 0),
    ]
    others = await page.answer(team="search", key="web")
    assert [each.limit for each in others.concurrency] == ["slots"]
