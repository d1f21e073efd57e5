"""Access keys in a real database, and requests signed with them."""

import time
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity import accesskeys
from imagewarden.identity.accesskeys import AccessKey, authenticate_signature, create_access_key
from imagewarden.identity.directory import set_user_enabled
from imagewarden.identity.errors import NotAuthenticated, Refusal, UnknownIdentity, VaultError
from imagewarden.identity.lockout import LIMIT, Lockout
from imagewarden.identity.roles import Role
from imagewarden.identity.signature import RequestParts, verify
from imagewarden.identity.tables import access_key
from imagewarden.identity.vault import Vault
from tests.identity.conftest import World
from tests.support.signing import DATE, NOW

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _fresh_lockout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesskeys, "_LOCKOUT", Lockout())


def signed(access: str, secret: str, date: str = DATE) -> RequestParts:
    """Return a request as the official client signs it."""
    request = SdkRequest("GET", "https", "h", "/v3/projects", "", [("name", "local")], {"X-Sdk-Date": date}, "")
    made = Signer(BasicCredentials(access, secret)).sign(request)
    headers = [(name.encode(), value.encode()) for name, value in made.header_params.items()]
    return RequestParts("GET", b"/v3/projects", b"name=local", headers, b"")


async def refused(connection: AsyncConnection, vault: Vault, parts: RequestParts) -> tuple[Refusal, str]:
    """Return why a request is refused, for us and for the caller."""
    with pytest.raises(NotAuthenticated) as caught:
        await authenticate_signature(connection, vault, parts, NOW)
    return caught.value.reason, str(caught.value)


@pytest.fixture
async def key(connection: AsyncConnection, vault: Vault, world: World) -> AccessKey:
    """Give an access key of the world's user."""
    return await create_access_key(connection, vault, world.user_id, "tests")


async def test_signed_request(connection: AsyncConnection, vault: Vault, world: World, key: AccessKey) -> None:
    caller = await authenticate_signature(connection, vault, signed(key.access, key.secret), NOW)
    assert (caller.user_id, caller.domain_name, caller.scope_project_id) == (world.user_id, "acme", None)
    assert caller.role_in(world.project_id) is Role.OPERATOR


async def test_keys_have_the_usual_shape_and_secrets_are_sealed(connection: AsyncConnection, key: AccessKey) -> None:
    assert (len(key.access), len(key.secret)) == (20, 40)
    row = (await connection.execute(select(access_key))).one()
    assert key.secret.encode() not in row.secret_encrypted


async def test_unknown_wrong_and_disabled_get_the_same_words(
    connection: AsyncConnection, vault: Vault, world: World, key: AccessKey
) -> None:
    answers = [
        await refused(connection, vault, signed("NOSUCHKEY", key.secret)),
        await refused(connection, vault, signed(key.access, "wrong")),
    ]
    await accesskeys.set_access_key_enabled(connection, key.access, enabled=False)
    answers.append(await refused(connection, vault, signed(key.access, key.secret)))
    await accesskeys.set_access_key_enabled(connection, key.access, enabled=True)
    await set_user_enabled(connection, world.user_id, enabled=False)
    answers.append(await refused(connection, vault, signed(key.access, key.secret)))
    assert {reason for reason, _ in answers} == {Refusal.SIGNATURE}
    assert len({words for _, words in answers}) == 1


async def test_unknown_key_opens_a_sealed_secret_too(
    connection: AsyncConnection, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of an unknown key are those of a wrong signature, so that time does not tell them apart."""
    steps: list[str] = []

    class Watched(Vault):
        def open(self, sealed: bytes, place: str) -> str:
            steps.append("open")
            return super().open(sealed, place)

    def watched(*args: Any) -> None:
        steps.append("verify")
        verify(*args)

    monkeypatch.setattr(accesskeys, "verify", watched)
    vault = Watched(bytes(32))
    key = await create_access_key(connection, vault, world.user_id)
    assert connection.sync_connection is not None
    event.listen(connection.sync_connection, "before_cursor_execute", lambda *_: steps.append("select"))
    await refused(connection, vault, signed("NOSUCHKEY", "wrong"))
    unknown, steps[:] = list(steps), []
    await refused(connection, vault, signed(key.access, "wrong"))
    assert unknown == steps == ["select", "open", "verify"]


@pytest.mark.parametrize("known", [True, False])
async def test_wrong_signatures_lock_the_key(
    connection: AsyncConnection, vault: Vault, key: AccessKey, *, known: bool
) -> None:
    access = key.access if known else "NOSUCHKEY"
    reasons = [(await refused(connection, vault, signed(access, "wrong")))[0] for _ in range(LIMIT + 1)]
    assert reasons == [Refusal.SIGNATURE] * LIMIT + [Refusal.LOCKED]
    assert (await refused(connection, vault, signed(access, key.secret)))[0] is Refusal.LOCKED


async def test_right_signature_forgets_the_wrong_ones(
    connection: AsyncConnection, vault: Vault, key: AccessKey
) -> None:
    for _ in range(2):
        for _ in range(LIMIT - 1):
            await refused(connection, vault, signed(key.access, "wrong"))
        await authenticate_signature(connection, vault, signed(key.access, key.secret), NOW)


async def test_a_wrong_clock_does_not_lock_the_key(connection: AsyncConnection, vault: Vault, key: AccessKey) -> None:
    """The answer says what is wrong for as long as it is; it is no guess at the secret."""
    late = signed(key.access, key.secret, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW - 3600)))
    reasons = {(await refused(connection, vault, late))[0] for _ in range(LIMIT * 2)}
    assert reasons == {Refusal.DATE}
    await authenticate_signature(connection, vault, signed(key.access, key.secret), NOW)


async def test_two_authorization_headers(connection: AsyncConnection, vault: Vault, key: AccessKey) -> None:
    parts = signed(key.access, key.secret)
    twice = RequestParts(parts.method, parts.raw_path, parts.raw_query, [*parts.headers, *parts.headers[-1:]], b"")
    assert (await refused(connection, vault, twice))[0] is Refusal.MALFORMED


async def test_another_vault_says_what_to_do(connection: AsyncConnection, key: AccessKey) -> None:
    with pytest.raises(VaultError, match="another key"):
        await authenticate_signature(connection, Vault(bytes(32)), signed(key.access, key.secret), NOW)


async def test_listing_and_deleting(connection: AsyncConnection, vault: Vault, world: World, key: AccessKey) -> None:
    shown = await accesskeys.list_access_keys(connection, world.domain_id)
    assert [(each.access, each.user_name, each.description, each.enabled) for each in shown] == [
        (key.access, "ann", "tests", True)
    ]
    assert key.secret not in repr(shown)
    assert await accesskeys.list_access_keys(connection, "another") == []
    await accesskeys.delete_access_key(connection, key.access)
    assert (await refused(connection, vault, signed(key.access, key.secret)))[0] is Refusal.SIGNATURE
    for change in (
        accesskeys.delete_access_key(connection, key.access),
        accesskeys.set_access_key_enabled(connection, key.access, enabled=True),
    ):
        with pytest.raises(UnknownIdentity, match=key.access):
            await change
