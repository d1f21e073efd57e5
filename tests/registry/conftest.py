"""Fixtures of the registry room: a real registry in each mode, an adapter for it, a hostile one."""

from collections.abc import Iterator

import pytest

from tests.support.registry import RealRegistry, real_registry


@pytest.fixture(scope="module")
def open_registry() -> Iterator[RealRegistry]:
    """Give a real registry without authentication."""
    with real_registry() as found:
        yield found


@pytest.fixture(scope="module", params=["none", "basic", "token"])
def any_registry(request: pytest.FixtureRequest) -> Iterator[RealRegistry]:
    """Give a real registry, in each authentication mode in turn."""
    with real_registry(request.param) as found:
        yield found
