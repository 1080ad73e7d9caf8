"""What budgets must know of the models that they count: the price, if they are of money; how long an answer
can be, if they are strict. A mistake is told where the budget stands, or where a level allows models that the
budget it inherits cannot count: there it can be mended.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from gateway.core.decision import Mode
from gateway.core.patterns import matches
from gateway.core.policy import Counted, Model, Price
from gateway.policies.budget_rules import BudgetRule
from gateway.policies.levels import Level, families_of
from gateway.policies.problems import Problem
from gateway.policies.reading import Files
from gateway.policies.schema import Allowed
from gateway.wire.document import Path

_NO_PRICE: Final = (None, Price())
_MEND: Final = "say it in models.yaml, or narrow the budget's `models`"
_OUTPUT_COUNTS: Final = frozenset({Counted.DOLLARS, Counted.TOKENS, Counted.OUTPUT_TOKENS})


def check_prices(files: Files) -> Iterator[Problem]:
    """Silent while the organization or the models cannot be read: then nobody knows what is inherited."""
    if files.organization is None or files.models is None:
        return
    models = files.models.content.compiled().models
    for family in families_of(files):
        for level in family:
            yield from _check_level(level, models)


def _check_level(level: Level, models: Mapping[str, Model]) -> Iterator[Problem]:
    allowed_by, allowed = level.allow_list() or (level, Allowed(allow=[]))
    for name, (said_by, budget) in level.in_force("budgets").items():
        if level not in (said_by, allowed_by):
            continue  # found above, where one of the two is said
        what = f"budget `{name}`" if level is said_by else f"inherited budget `{name}`"
        for model in models.values():
            if _permits(allowed, model.name) and matches(budget.models, model.name):
                place = ("budgets", name) if level is said_by else _place(allowed, model.name)
                for message in _lacks(what, budget, model):
                    yield level.problem(*place, message=message)


def _lacks(what: str, budget: BudgetRule, model: Model) -> Iterator[str]:
    """What stands in the way of counting this model."""
    if budget.counts is Counted.DOLLARS and model.price in _NO_PRICE:
        yield f"the {what} counts dollars, and the model `{model.name}` has no price: {_MEND}"
    if budget.strict and budget.counts in _OUTPUT_COUNTS and model.max_output is None and _answers(model):
        why = "since nothing else bounds an answer"
        yield f"the strict {what} needs `max_output` of the model `{model.name}`, {why}: {_MEND}"


def _answers(model: Model) -> bool:
    """Whether it has output that counts. One that has a price, but none for output (embeddings), has none."""
    price = model.price or Price()
    has_output = (price.output, price.audio_output, price.image_output) != (None, None, None)
    return has_output or model.price in _NO_PRICE


def _permits(allowed: Allowed, model: str) -> bool:
    """A list that is not enforced stops nobody."""
    return allowed.mode is not Mode.ENFORCE or matches(tuple(allowed.allow), model)


def _place(allowed: Allowed, model: str) -> Path:
    """What in an allow-list lets the model through: one of its names, or its mode."""
    for index, name in enumerate(allowed.allow):
        if matches((name,), model):
            return ("models", "allow", index)
    return ("models", "mode")
