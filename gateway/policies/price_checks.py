"""What budgets must know of the models that they count: the price, if they are of money; how long an answer
can be, if they are strict. A mistake is told where the budget stands, or where a level allows models that the
budget it inherits cannot count: there it can be mended.

A model without a price can be counted where the policy charges the book's ceiling for it, and need not be
where the policy refuses it. Whether a price holds today is no matter of files: see `gateway prices check`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.core.decision import Mode
from gateway.core.patterns import matches
from gateway.core.policy import Counted, Model, Unpriced
from gateway.policies.budget_rules import BudgetRule
from gateway.policies.levels import Level, families_of
from gateway.policies.problems import Problem
from gateway.policies.reading import Files
from gateway.policies.schema import Allowed
from gateway.wire.document import Path

_MEND: Final = "say it in {}, or narrow the budget's `models`"
_OUTPUT_COUNTS: Final = frozenset({Counted.DOLLARS, Counted.TOKENS, Counted.OUTPUT_TOKENS})


def check_prices(files: Files) -> Iterator[Problem]:
    """Silent while the organization, the models or the prices cannot be read: then nobody knows what is
    inherited, or what costs anything.
    """
    if files.organization is None or files.models is None or files.prices is None:
        return
    book = files.prices.content
    models = files.models.content.compiled(book).models
    for family in families_of(files):
        for level in family:
            if level.says.unpriced is Unpriced.CEILING and book.ceiling is None:
                message = "prices.yaml has no `ceiling`: say there what is charged for what has no price"
                yield level.problem("unpriced", message=message)
            yield from _check_level(level, models)


def _check_level(level: Level, models: Mapping[str, Model]) -> Iterator[Problem]:
    allowed_by, allowed = level.allow_list() or (level, Allowed(allow=[]))
    unpriced_by, unpriced = level.unpriced()
    for name, (said_by, budget) in level.in_force("budgets").items():
        if level not in (said_by, allowed_by, unpriced_by):
            continue  # found above, where one of the three is said
        what = f"budget `{name}`" if level is said_by else f"inherited budget `{name}`"
        for model in models.values():
            if not (_permits(allowed, model.name) and matches(budget.models, model.name)):
                continue
            place = ("budgets", name) if level is said_by else _place(allowed, model.name)
            if unpriced is Unpriced.ALARM:
                where = place if level in (said_by, allowed_by) else ("unpriced",)
                yield from (level.problem(*where, message=why) for why in _lacks_price(what, budget, model))
            if level in (said_by, allowed_by):
                yield from (level.problem(*place, message=why) for why in _lacks_bound(what, budget, model))


def _lacks_price(what: str, budget: BudgetRule, model: Model) -> Iterator[str]:
    if budget.counts is Counted.DOLLARS and not model.prices:
        mend = _MEND.format("prices.yaml")
        yield f"the {what} counts dollars, and the model `{model.name}` has no price: {mend}"


def _lacks_bound(what: str, budget: BudgetRule, model: Model) -> Iterator[str]:
    if budget.strict and budget.counts in _OUTPUT_COUNTS and model.max_output is None and _answers(model):
        why, mend = "since nothing else bounds an answer", _MEND.format("models.yaml")
        yield f"the strict {what} needs `max_output` of the model `{model.name}`, {why}: {mend}"


def _answers(model: Model) -> bool:
    """Whether it has output that counts. One that has a price, but none for output (embeddings), has none."""
    rates = [line.rates for line in model.prices]
    priced = [price for each in rates for price in (each.output, each.audio_output, each.image_output)]
    return not rates or any(price is not None for price in priced)


def _permits(allowed: Allowed, model: str) -> bool:
    """A list that is not enforced stops nobody."""
    return allowed.mode is not Mode.ENFORCE or matches(tuple(allowed.allow), model)


def _place(allowed: Allowed, model: str) -> Path:
    """What in an allow-list lets the model through: one of its names, or its mode."""
    for index, name in enumerate(allowed.allow):
        if matches((name,), model):
            return ("models", "allow", index)
    return ("models", "mode")
