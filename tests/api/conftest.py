"""An installation, served on a socket."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from imagewarden.identity.vault import Vault
from tests.support.inventory import Installation, install, random_image, store_images
from tests.support.postgres import fresh_database
from tests.support.server import serve


@dataclass(frozen=True)
class Served:
    """An installation that answers at an address."""

    url: str
    """The address."""
    installation: Installation
    """What is behind it."""
    images: list[dict[str, Any]]
    """The rows of the image table, by id."""

    @property
    def project_id(self) -> str:
        """The project of all rows."""
        return self.installation.credentials.project_id


@pytest.fixture(scope="module", params=["embedded", "debian"])
def served(request: pytest.FixtureRequest, vault: Vault) -> Iterator[Served]:
    """Serve 60 random images, on each kind of database server; shared by the tests of a module, which only read."""
    with fresh_database(request.getfixturevalue(f"{request.param}_conninfo")) as database:
        installation = asyncio.run(install(database, vault))
        chance = random.Random(7)
        engine = database.sync_engine()
        with engine.begin() as connection:
            rows = [random_image(installation, chance, number) for number in range(60)]
            images = store_images(connection, rows)
        engine.dispose()
        with serve(database, vault) as url:
            yield Served(url, installation, images)
