"""What a Redis is said to have done, it has done."""

from collections.abc import Iterator

import pytest

from tests.bench.own_redis import Work, work_in, work_of
from tests.support.redis_server import ask, running_redis


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_redis() as server:
        yield server.url


def test_scripts_count_by_name_and_in_full() -> None:
    info = {
        "used_cpu_user": 1.5,
        "used_cpu_sys": "0.25",
        "total_reads_processed": 70,
        "cmdstat_evalsha": {"calls": 40},
        "cmdstat_eval": {"calls": 2},
        "cmdstat_get": {"calls": 90},
    }
    assert work_in(info) == Work(1.75, 42, 70)


async def test_a_script_that_has_run_is_counted(url: str) -> None:
    before = await work_of(url)
    await ask(url, "EVAL", "return 1", 0)
    work = (await work_of(url)).since(before)
    assert work.scripts == 1
    assert work.cpu_seconds > 0
    assert work.reads >= 2
