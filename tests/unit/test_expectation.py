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
from gateway.core.policy import Budget, Catalogue, Counted, Model, Period, Policy, Price, Scope
from gateway.core.principal import Principal
from gateway.core.usage import Usage, UsageSource
from gateway.expectation import Expectations, Expected
from gateway.limits.amounts import Amounts
from gateway.limits.estimate import TYPICAL_OUTPUT, TypicalOutputs
from gateway.wire.endpoints import CHAT_COMPLETIONS, SERVED
from gateway.wire.tokens import Tokenizer

PRICE: Final = Price(input=2_000_000, cached_input=1_000_000, output=10_000_000)
MODEL = Model("gpt-4o", "openai", "gpt-4o", context_window=8192, max_output=1000, price=PRICE)
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


def expected(
    call: Call, *budgets: Budget, model: Model = MODEL, outputs: TypicalOutputs | None = None
) -> Expected:
    policy = Policy("search", "5f3c", Catalogue({MODEL.name: MODEL}), budgets=budgets)
    expectations = Expectations(outputs=outputs or TypicalOutputs(), tokenizer=Tokenizer())
    return expectations.of(PRINCIPAL, policy, call, model)


def bound(call: Call, *budgets: Budget, model: Model = MODEL) -> Amounts:
    found = expected(call, *(budgets or (STRICT,)), model=model).bound
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
    found = expected(a_call(max_tokens=50), model=replace(MODEL, price=None))
    assert (found.cost, found.amounts.dollars) == (None, 0)


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
    found = expected(a_call(endpoint_named("images_generations"), n=10**30), model=replace(MODEL, price=None))
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
    model = replace(MODEL, price=replace(PRICE, audio_input=40_000_000, audio_output=80_000_000))
    most = bound(a_call(messages=SAYS, max_tokens=900), model=model)
    assert most.dollars == most.input_tokens * 40 + 900 * 80


def test_audio_may_last_eight_times_as_long_as_is_expected_of_its_size() -> None:
    model = replace(MODEL, price=Price(audio_minute=6_000))
    call = a_form("audio_transcriptions", 8000)
    assert expected(call, STRICT, model=model).cost == 100
    assert bound(call, model=model).dollars == 800
    assert bound(call, replace(STRICT, counts=Counted.AUDIO_SECONDS), model=model).audio_seconds == 8


def test_images_cost_their_price_or_all_tokens_that_the_model_can_give_for_them() -> None:
    call = a_call(endpoint_named("images_generations"), n=3)
    apiece = replace(MODEL, price=Price(image=40_000))
    assert bound(call, model=apiece).dollars == 120_000
    by_tokens = replace(MODEL, price=Price(image=40_000, input=2_000_000, image_output=40_000_000, output=1))
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
