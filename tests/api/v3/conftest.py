"""An installation that answers the identity API, with the administrator's credentials."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from imagewarden.identity.vault import Vault
from tests.support.inventory import Installation, install
from tests.support.postgres import fresh_database
from tests.support.server import serve


class Home:
    """A served installation."""

    def __init__(self, url: str, installation: Installation) -> None:
        self.url = url
        self.installation = installation
        self.keys = installation.credentials

    def login(self, **changes: Any) -> dict[str, Any]:
        """Return the body of a login as the administrator; `changes` go to the user, `scope` beside it."""
        scope = changes.pop("scope", {"project": {"id": self.keys.project_id}})
        user = {"name": self.keys.user, "password": self.keys.password, "domain": {"name": self.keys.domain}}
        identity = {"methods": ["password"], "password": {"user": user | changes}}
        return {"auth": {"identity": identity} | ({} if scope is None else {"scope": scope})}

    def token(self, client: httpx.Client, **changes: Any) -> str:
        """Log in and return the token."""
        answer = client.post("/v3/auth/tokens", json=self.login(**changes))
        assert answer.status_code == 201, answer.text
        return str(answer.headers["X-Subject-Token"])


@pytest.fixture(scope="module")
def home(embedded_conninfo: str, vault: Vault) -> Iterator[Home]:
    """Serve an installation for all tests of a module."""
    with fresh_database(embedded_conninfo) as database:
        installation = asyncio.run(install(database, vault))
        with serve(database, vault) as url:
            yield Home(url, installation)


@pytest.fixture
def client(home: Home) -> Iterator[httpx.Client]:
    """Give a client without credentials."""
    with httpx.Client(base_url=home.url, trust_env=False) as found:
        yield found
