"""What an exchange is expected to spend, and the most that it can."""

import io
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

from gateway.core.call import Call, Form
from gateway.core.decision import Mode
from gateway.core.endpoint import Endpoint
from gateway.core.errors import ErrorCode
from gateway.core.policy import (
    Budget,
    Catalogue,
    Counted,
    Model,
    Period,
    Policy,
    Price,
    Rates,
    Scope,
    Unpriced,
)
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.expectation import Expectations, Expected
from gateway.limits.amounts import Amounts
from gateway.limits.estimate import TYPICAL_OUTPUT, TypicalOutputs
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED
from gateway.wire.tokens import Tokenizer

RATES: Final = Rates(input=2_000_000, cached_input=1_000_000, output=10_000_000)
DEARER: Final = Rates(input=4_000_000, output=30_000_000)
CEILING: Final = Rates(input=100_000_000, output=500_000_000, image=1_000_000)
MODEL = Model("gpt-4o", "openai", "gpt-4o", context_window=8192, max_output=1000, prices=(Price(RATES),))
NOW: Final = 1_795_000_000.0
PRINCIPAL = Principal(subject="bot", team="search", key_id="k1", key_name="web")
STRICT = Budget("month", Counted.DOLLARS, (Scope.TEAM,), 50_000_000, Period.MONTH, strict=True)
SAYS: Final = [{"role": "user", "content": "Say hello to everybody here"}]


def endpoint_named(name: str) -> Endpoint:
    return next(endpoint for endpoint in SERVED if endpoint.name == name)


def a_call(endpoint: Endpoint = CHAT_COMPLETIONS, *texts: str, **members: Any) -> Call:
    return Call(endpoint, "application/json", msgspec.json.encode(members), members, texts)


def a_form(name: str, *sizes: int, **members: Any) -> Call:
    form = Form(io.BytesIO(), 0, b"b", 0, files=tuple(("file", size) for size in sizes))
    return Call(endpoint_named(name), "multipart/form-data", form, members, ())


def priced(rates: Rates, **kind: Any) -> Model:
    """The model with another price."""
    return replace(MODEL, prices=(Price(rates, **kind),))


UNPRICED = replace(MODEL, prices=())


def expected(
    call: Call,
    *budgets: Budget,
    model: Model = MODEL,
    outputs: TypicalOutputs | None = None,
    unpriced: Unpriced = Unpriced.ALARM,
) -> Expected:
    book = Catalogue({MODEL.name: MODEL}, ceiling=CEILING)
    policy = Policy("search", "5f3c", book, budgets=budgets, unpriced=unpriced)
    expectations = Expectations(outputs=outputs or TypicalOutputs(), tokenizer=Tokenizer())
    return expectations.of(PRINCIPAL, policy, call, model, NOW)


def bound(call: Call, *budgets: Budget, model: Model = MODEL, **policy: Any) -> Amounts:
    found = expected(call, *(budgets or (STRICT,)), model=model, **policy).bound
    assert found is not None
    return found


# The expected.


def test_tokens_are_expected_roughly() -> None:
    found = expected(a_call(CHAT_COMPLETIONS, "x" * 400, max_tokens=50, n=2))
    assert found.usage == Usage(UsageSource.ESTIMATED, input_tokens=100, output_tokens=100)


def test_an_answer_is_expected_to_be_as_those_before_it() -> None:
    outputs, call = TypicalOutputs(), a_call()
    assert expected(call, outputs=outputs).usage.output_tokens == TYPICAL_OUTPUT
    for _ in range(50):
        outputs.learn(PRINCIPAL, MODEL, call, 20)
    assert expected(call, outputs=outputs).usage.output_tokens == 21


def test_what_is_expected_has_its_price() -> None:
    found = expected(a_call(CHAT_COMPLETIONS, "x" * 400, max_tokens=50))
    assert found.cost == 100 * 2 + 50 * 10
    assert found.amounts == Amounts(
        requests=1, tokens=150, input_tokens=100, output_tokens=50, dollars=700, concurrent=1
    )


def test_what_has_no_price_is_no_money() -> None:
    found = expected(a_call(max_tokens=50), model=UNPRICED)
    assert (found.cost, found.amounts.dollars) == (None, 0)


@pytest.mark.parametrize(
    ("tier", "dollars"),
    [(None, 1), ("auto", 1), ("default", 1), ("flex", 5), ("priority", 9), ("fast", 9), ("scale", None)],
)
def test_what_is_expected_costs_what_the_tier_costs_that_is_asked_for(
    tier: str | None, dollars: int | None
) -> None:
    rates = {"": 1, "flex": 5, "priority": 9}
    lines = [Price(Rates(input=n * 10**6, output=0), tier=tier) for tier, n in rates.items()]
    call = a_call(CHAT_COMPLETIONS, "x" * 400, service_tier=tier)
    found = expected(call, model=replace(MODEL, prices=tuple(lines)))
    assert found.cost == (None if dollars is None else 100 * dollars)


def test_the_price_of_the_moment_is_expected() -> None:
    lines = (Price(RATES, since=NOW + 1), Price(DEARER, until=NOW + 1))
    found = expected(a_call(CHAT_COMPLETIONS, "x" * 400, max_tokens=50), model=replace(MODEL, prices=lines))
    assert found.cost == 100 * 4 + 50 * 30


def test_where_the_ceiling_is_charged_it_is_expected() -> None:
    call = a_call(CHAT_COMPLETIONS, "x" * 400, max_tokens=50)
    assert expected(call, model=UNPRICED, unpriced=Unpriced.CEILING).cost == 100 * 100 + 50 * 500


# What has no price.

IMAGES: Final = endpoint_named("images_generations")
MODERATIONS: Final = endpoint_named("moderations")


@pytest.mark.parametrize(
    ("call", "model", "param"),
    [
        (a_call(), UNPRICED, "model"),
        (a_call(), priced(RATES, since=NOW + 1), "model"),
        (a_call(), priced(RATES, until=NOW), "model"),
        (a_call(), priced(RATES, upstream="azure"), "model"),
        (a_call(), priced(Rates(image=1)), "model"),
        (a_call(IMAGES), priced(Rates(audio_minute=1)), "model"),
        (a_call(service_tier="flex"), UNPRICED, "model"),
        (a_call(service_tier="flex"), MODEL, "service_tier"),
        (a_call(service_tier="fast"), MODEL, "service_tier"),
        (a_call(service_tier="nonsense"), MODEL, "service_tier"),
    ],
)
def test_a_policy_may_refuse_what_has_no_price(call: Call, model: Model, param: str) -> None:
    (deny,) = expected(call, model=model, unpriced=Unpriced.REFUSE).denials
    assert (deny.code, deny.rule, deny.mode) == (ErrorCode.MODEL_NOT_ALLOWED, "unpriced", Mode.ENFORCE)
    assert deny.param == param
    assert "`gpt-4o`" in deny.reason
    assert "price book" in deny.reason
    assert "nonsense" not in deny.reason


@pytest.mark.parametrize("unpriced", [Unpriced.ALARM, Unpriced.CEILING])
def test_other_policies_do_not(unpriced: Unpriced) -> None:
    assert expected(a_call(), model=UNPRICED, unpriced=unpriced).denials == ()


@pytest.mark.parametrize(
    ("call", "model"),
    [
        (a_call(), MODEL),
        (a_call(service_tier="auto"), MODEL),
        (a_call(service_tier="default"), MODEL),
        (a_call(service_tier=["flex"]), MODEL),
        (a_call(MODERATIONS), UNPRICED),
        (a_call(IMAGES), MODEL),
        (a_call(IMAGES), priced(Rates(image=1))),
    ],
)
def test_what_has_a_price_or_needs_none_is_not_refused(call: Call, model: Model) -> None:
    assert expected(call, model=model, unpriced=Unpriced.REFUSE).denials == ()


def test_what_has_no_price_is_told_before_what_has_no_bound() -> None:
    endless = replace(UNPRICED, max_output=None)
    found = expected(a_call(messages=SAYS), STRICT, model=endless, unpriced=Unpriced.REFUSE)
    assert [deny.rule for deny in found.denials] == ["unpriced", "budgets.month"]


# In which unit.


@pytest.mark.parametrize(
    ("call", "usage"),
    [
        (a_call(endpoint_named("images_generations"), n=3), {"images": 3}),
        (a_call(endpoint_named("images_generations")), {"images": 1}),
        (a_form("images_edits", 500, n="2"), {"images": 2}),
        (a_form("images_edits", 500, n="many"), {"images": 1}),
        (a_call(endpoint_named("audio_speech"), input="Hello there"), {"characters": 11}),
        (a_form("audio_transcriptions", 8000, 16), {"audio_milliseconds": 1002}),
        (a_call(endpoint_named("moderations")), {}),
    ],
    ids=lambda value: value.endpoint.name if isinstance(value, Call) else None,
)
def test_what_is_not_billed_by_tokens_is_expected_in_its_own_unit(call: Call, usage: dict[str, int]) -> None:
    assert expected(call).usage == Usage(UsageSource.ESTIMATED, **usage)


def test_images_and_seconds_are_amounts_too() -> None:
    assert expected(a_form("images_edits", 500, n="2")).amounts.images == 2
    assert expected(a_form("audio_transcriptions", 8016)).amounts.audio_seconds == 2


def test_what_nobody_could_count_is_bounded() -> None:
    found = expected(a_call(endpoint_named("images_generations"), n=10**30), model=UNPRICED)
    assert found.amounts.images == 10**12


# The most.


@pytest.mark.parametrize(
    "budget",
    [
        replace(STRICT, strict=False),
        replace(STRICT, mode=Mode.OFF),
        replace(STRICT, models=("gpt-5*",)),
        replace(STRICT, counts=Counted.REQUESTS),
        replace(STRICT, counts=Counted.IMAGES),
    ],
    ids=["not strict", "off", "other models", "requests", "images"],
)
def test_the_most_is_reckoned_for_strict_budgets_alone(budget: Budget) -> None:
    found = expected(a_call(messages=SAYS), budget)
    assert (found.bound, found.denials) == (None, ())


def test_without_budgets_there_is_no_most() -> None:
    assert expected(a_call(messages=SAYS)).bound is None


def test_the_most_of_an_answer_is_what_is_allowed_and_not_what_is_typical() -> None:
    call = a_call(CHAT_COMPLETIONS, *("Say hello",), messages=SAYS, max_tokens=900)
    assert expected(call, STRICT).amounts.output_tokens == TYPICAL_OUTPUT
    assert bound(call).output_tokens == 900
    assert bound(a_call(messages=SAYS)).output_tokens == 1000


def test_the_most_of_the_money_is_for_the_most_of_the_tokens() -> None:
    most = bound(a_call(messages=SAYS, max_tokens=900))
    assert most.dollars == most.input_tokens * 2 + 900 * 10
    assert most.tokens == most.input_tokens + 900
    assert (most.requests, most.concurrent) == (1, 1)


def test_tokens_may_all_be_of_the_dearest_kind() -> None:
    model = priced(replace(RATES, audio_input=40_000_000, audio_output=80_000_000))
    most = bound(a_call(messages=SAYS, max_tokens=900), model=model)
    assert most.dollars == most.input_tokens * 40 + 900 * 80


@pytest.mark.parametrize("tier", [None, "default", "flex", "priority"])
def test_the_answer_may_name_any_tier_whatever_is_asked_for(tier: str | None) -> None:
    model = replace(MODEL, prices=(Price(RATES), Price(DEARER, tier="priority")))
    most = bound(a_call(messages=SAYS, max_tokens=900, service_tier=tier), model=model)
    assert most.dollars == most.input_tokens * 4 + 900 * 30


def test_the_input_may_be_as_long_as_it_can_be() -> None:
    lines = (Price(DEARER, above=8), Price(RATES))
    most = bound(a_call(messages=SAYS, max_tokens=900), model=replace(MODEL, prices=lines))
    assert most.dollars == most.input_tokens * 4 + 900 * 30
    lines = (Price(DEARER, above=8000), Price(RATES))
    most = bound(a_call(messages=SAYS, max_tokens=900), model=replace(MODEL, prices=lines))
    assert most.dollars == most.input_tokens * 2 + 900 * 10


def test_an_answer_in_a_tier_without_a_price_may_cost_the_ceiling() -> None:
    most = bound(a_call(messages=SAYS, max_tokens=900), unpriced=Unpriced.CEILING)
    assert most.dollars == most.input_tokens * 100 + 900 * 500


def test_audio_may_last_eight_times_as_long_as_is_expected_of_its_size() -> None:
    model = priced(Rates(audio_minute=6_000))
    call = a_form("audio_transcriptions", 8000)
    assert expected(call, STRICT, model=model).cost == 100
    assert bound(call, model=model).dollars == 800
    assert bound(call, replace(STRICT, counts=Counted.AUDIO_SECONDS), model=model).audio_seconds == 8


def test_images_cost_their_price_or_all_tokens_that_the_model_can_give_for_them() -> None:
    call = a_call(endpoint_named("images_generations"), n=3)
    apiece = priced(Rates(image=40_000))
    assert bound(call, model=apiece).dollars == 120_000
    by_tokens = priced(Rates(image=40_000, input=2_000_000, image_output=40_000_000, output=1))
    assert bound(call, model=by_tokens).dollars == 8192 * 2 + 3 * 1000 * 40
    assert bound(call, model=replace(by_tokens, max_output=1)).dollars == 120_000


def test_what_is_free_costs_nothing_at_most() -> None:
    assert bound(a_call(endpoint_named("moderations"), input="Hello")).dollars == 0


def test_embeddings_answer_without_tokens() -> None:
    call = a_call(endpoint_named("embeddings"), input=["Hello"] * 5)
    most = bound(call, model=replace(MODEL, max_output=None))
    assert most.input_tokens > 5
    assert most.output_tokens == 0


def test_the_most_is_no_more_than_can_be_counted() -> None:
    assert bound(a_call(messages=SAYS, best_of=10**30)).output_tokens == 10**12


# No most.

ENDLESS = replace(MODEL, max_output=None)


def test_a_request_that_could_cost_anything_is_denied_by_the_strict_budget() -> None:
    found = expected(a_call(messages=SAYS), STRICT, model=ENDLESS)
    (deny,) = found.denials
    assert found.bound is None
    assert (deny.code, deny.rule) == (ErrorCode.REQUEST_EXCEEDS_LIMIT, "budgets.month")
    assert (deny.param, deny.mode) == ("max_completion_tokens", Mode.ENFORCE)
    assert "`month`" in deny.reason
    assert "`max_completion_tokens`" in deny.reason


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.WARN])
def test_the_denial_has_the_mode_of_its_budget(mode: Mode) -> None:
    found = expected(a_call(messages=SAYS), replace(STRICT, mode=mode), model=ENDLESS)
    assert [deny.mode for deny in found.denials] == [mode]


def test_each_strict_budget_denies() -> None:
    week = replace(STRICT, name="week", period=Period.WEEK, mode=Mode.WARN)
    found = expected(a_call(messages=SAYS), week, replace(STRICT, strict=False), STRICT, model=ENDLESS)
    assert [deny.rule for deny in found.denials] == ["budgets.week", "budgets.month"]


def test_who_sends_a_cap_has_a_bound() -> None:
    assert expected(a_call(messages=SAYS, max_tokens=5), STRICT, model=ENDLESS).denials == ()


def test_tools_that_the_provider_runs_have_no_bound() -> None:
    call = a_call(messages=SAYS, tools=[{"type": "web_search"}])
    assert len(expected(call, STRICT).denials) == 1
