"""A memory with a bound."""

from gateway.auth.recent import Recent


def digest(number: int) -> bytes:
    return number.to_bytes(32)


def test_what_was_put_is_found() -> None:
    recent: Recent[str] = Recent(2)
    recent.put(digest(1), "one")
    assert recent.get(digest(1)) == "one"


def test_it_never_holds_more_than_its_capacity() -> None:
    recent: Recent[int] = Recent(10)
    for number in range(1000):
        recent.put(digest(number), number)
    assert len(recent) == 10


def test_what_was_unused_the_longest_makes_room() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(digest(1), 1)
    recent.put(digest(2), 2)
    recent.get(digest(1))
    recent.put(digest(3), 3)
    assert [recent.get(digest(number)) for number in (1, 2, 3)] == [1, None, 3]


def test_a_peek_is_no_use() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(digest(1), 1)
    recent.put(digest(2), 2)
    assert recent.peek(digest(1)) == 1
    recent.put(digest(3), 3)
    assert [recent.peek(digest(number)) for number in (1, 2, 3)] == [None, 2, 3]


def test_who_peeks_can_say_that_it_was_a_use() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(digest(1), 1)
    recent.put(digest(2), 2)
    recent.use(digest(1))
    recent.put(digest(3), 3)
    assert [recent.peek(digest(number)) for number in (1, 2, 3)] == [1, None, 3]


def test_to_use_what_is_not_there_is_of_no_effect() -> None:
    recent: Recent[int] = Recent(2)
    recent.use(digest(1))
    assert (len(recent), recent.peek(digest(1))) == (0, None)


def test_an_entry_can_be_replaced() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(digest(1), 1)
    recent.put(digest(1), 2)
    assert (recent.get(digest(1)), len(recent)) == (2, 1)


def test_nothing_is_left_of_what_was_cleared() -> None:
    recent: Recent[int] = Recent(2)
    recent.put(digest(1), 1)
    recent.clear()
    assert recent.get(digest(1)) is None
