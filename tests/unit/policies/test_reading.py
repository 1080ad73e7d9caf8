"""Facts about `gateway/policies/reading.py`. The messages themselves are in tests/golden/policies."""

import pytest

from gateway.policies.reading import Files, kind_of, read_source
from gateway.policies.schema import FileKind, Organization


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("organization.yaml", FileKind.ORGANIZATION),
        ("models.yaml", FileKind.MODELS),
        ("prices.yaml", FileKind.PRICES),
        ("identity.yaml", FileKind.IDENTITY),
        ("teams/identity.yaml", FileKind.TEAM),
        ("teams/search.yaml", FileKind.TEAM),
        ("team-search.yaml", FileKind.TEAM),
        ("teams/models.yaml", FileKind.TEAM),
    ],
)
def test_the_path_says_which_kind_a_file_is(file: str, kind: FileKind) -> None:
    assert kind_of(file) is kind


def test_an_organization_that_says_nothing_is_good() -> None:
    source = read_source("organization.yaml", b"# to be done\n")

    assert source.content == Organization()
    assert source.problems == []


def test_all_mistakes_of_a_file_are_found_at_once() -> None:
    text = b"modles: []\nlimits:\n  a: {per: nobody, tokens: 0}\n  b:\n"

    source = read_source("organization.yaml", text)

    assert source.content is None
    assert sorted((problem.line, problem.path) for problem in source.problems) == [
        (1, "modles"),
        (3, "limits.a.per"),
        (3, "limits.a.tokens"),
        (4, "limits.b"),
    ]


def test_files_that_could_not_be_read_are_left_out() -> None:
    sources = [read_source("organization.yaml", b"limits: 5"), read_source("a.yaml", b"team: a")]

    files = Files.of(sources)

    assert files.organization is None
    assert files.has_all_teams
    assert [team.content.team for team in files.teams] == ["a"]


def test_it_is_known_whether_all_teams_could_be_read() -> None:
    sources = [read_source("a.yaml", b"team: a"), read_source("b.yaml", b"taem: b")]

    assert not Files.of(sources).has_all_teams
