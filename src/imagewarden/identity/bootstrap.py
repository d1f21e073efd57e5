"""The first domain, project, administrator and access key of an installation."""

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity.accesskeys import create_access_key
from imagewarden.identity.directory import create_domain, create_project, create_user, grant_role
from imagewarden.identity.passwords import generate_password
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import user_account
from imagewarden.identity.vault import Vault

__all__ = ["Credentials", "bootstrap"]

DOMAIN = "imagewarden"
USER = "admin"


class Credentials(msgspec.Struct, frozen=True):
    """What `imagewarden init` shows once."""

    project_id: str
    """Id of the first project."""
    project: str
    """Its name: the region's, so that clients that look their project up by region find it."""
    domain: str
    """Name of the domain."""
    domain_id: str
    """Id of the domain."""
    user: str
    """Name of the administrator."""
    password: str
    """Its password."""
    access_key: str
    """Its access key."""
    secret_key: str
    """The access key's secret."""


async def bootstrap(connection: AsyncConnection, vault: Vault, region: str) -> Credentials | None:
    """Create the first of everything; None when the installation has users already. For one transaction."""
    if (await connection.execute(select(func.count()).select_from(user_account))).scalar_one():
        return None
    domain_id = await create_domain(connection, DOMAIN)
    project = await create_project(connection, domain_id, region, "made by imagewarden init")
    password = generate_password()
    user_id = await create_user(connection, domain_id, USER, password)
    await grant_role(connection, user_id, project.id, Role.ADMIN)
    key = await create_access_key(connection, vault, user_id, "made by imagewarden init")
    return Credentials(project.id, project.name, DOMAIN, domain_id, USER, password, key.access, key.secret)
