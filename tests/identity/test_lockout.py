"""Access keys that rest after wrong signatures."""

from imagewarden.identity.lockout import KEPT, LIMIT, REST_SECONDS, Lockout


class Clock:
    """A clock that tests turn."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def locked(*, failures: int) -> tuple[Lockout, Clock]:
    clock = Clock()
    lockout = Lockout(clock)
    for _ in range(failures):
        lockout.count("A")
    return lockout, clock


def test_the_fifth_failure_locks() -> None:
    lockout, _ = locked(failures=LIMIT - 1)
    assert not lockout.is_locked("A")
    lockout.count("A")
    assert lockout.is_locked("A")
    assert not lockout.is_locked("B")


def test_the_rest_ends_and_counting_starts_anew() -> None:
    lockout, clock = locked(failures=LIMIT)
    clock.now += REST_SECONDS - 1
    assert lockout.is_locked("A")
    clock.now += 1
    assert not lockout.is_locked("A")
    lockout.count("A")
    assert not lockout.is_locked("A")


def test_the_rest_starts_with_the_last_failure() -> None:
    lockout, clock = locked(failures=LIMIT - 1)
    clock.now += REST_SECONDS - 1
    lockout.count("A")
    clock.now += REST_SECONDS - 1
    assert lockout.is_locked("A")


def test_failures_far_apart_do_not_add_up() -> None:
    lockout, clock = locked(failures=0)
    for _ in range(LIMIT * 4):
        lockout.count("A")
        clock.now += REST_SECONDS / 4
        assert not lockout.is_locked("A")


def test_a_right_signature_forgets() -> None:
    lockout, _ = locked(failures=LIMIT - 1)
    lockout.forget("A")
    lockout.count("A")
    assert not lockout.is_locked("A")


def test_memory_is_bounded_and_keeps_those_that_still_fail() -> None:
    lockout, _ = locked(failures=LIMIT)
    lockout.count("B")
    for number in range(KEPT - 1):
        lockout.count(f"other-{number}")
    lockout.count("B")
    lockout.count("new")
    assert len(lockout._failed) == KEPT
    assert not lockout.is_locked("A")
    assert "B" in lockout._failed
