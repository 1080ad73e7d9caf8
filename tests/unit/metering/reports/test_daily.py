"""Lines as rows of `daily`: what the triggers add up is what queries add up."""

from pathlib import Path

from sqlalchemy import func, select, union_all

from gateway.core.usage import Usage, UsageSource
from gateway.database.tables import DAILY
from gateway.metering.reports.daily import (
    CORRECTED,
    CORRECTED_LINES,
    KEY,
    MEASURES,
    SETTLED,
    SETTLED_LINES,
)
from tests.support.database import closing_database, migrated
from tests.support.ledger_lines import a_settlement, an_admission
from tests.support.written_lines import an_adjustment, rows, write


def test_lines_are_summed_as_the_triggers_sum_them(tmp_path: Path) -> None:
    parts = [
        select(*KEY.values(), *sums.values()).select_from(source)
        for source, sums in ((SETTLED_LINES, SETTLED), (CORRECTED_LINES, CORRECTED))
    ]
    lines = union_all(*parts).subquery()
    keys = [lines.c[name] for name in KEY]
    sums = [func.sum(lines.c[name]).label(name) for name in MEASURES]
    with closing_database(migrated(f"sqlite:///{tmp_path}/gateway.db")) as database:
        write(database, an_admission("att_1"), a_settlement("att_1"), an_adjustment("att_1"))
        unpriced = a_settlement("att_2", cost=None, service_tier="flex")
        fewer = Usage(UsageSource.PROVIDER, input_tokens=-2)
        write(database, an_admission("att_2", number=2), unpriced)
        write(database, an_adjustment("att_2", unpriced=-1, usage=fewer))
        cut = a_settlement("att_3", usage=Usage(UsageSource.PARTIAL, output_tokens=5), answered_model=None)
        write(database, an_admission("att_3", team="ads"), cut)
        with database.transaction(writes=False) as connection:
            summed = connection.execute(select(*keys, *sums).group_by(*keys).order_by(*keys))
            assert [dict(row._mapping) for row in summed] == rows(database, DAILY)


def test_it_has_every_column() -> None:
    assert [*KEY, *MEASURES] == [column.name for column in DAILY.columns]
    assert list(SETTLED) == list(CORRECTED) == list(MEASURES)
