"""Tokens in a real database: good, expired, revoked, of a disabled user, and pruned."""

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imagewarden.identity import tokens
from imagewarden.identity.errors import NotAuthenticated, Refusal, UnknownIdentity
from imagewarden.identity.grants import now_ms
from imagewarden.identity.roles import Role
from imagewarden.identity.tables import token, user_account
from tests.identity.conftest import World

pytestmark = pytest.mark.anyio

DAY = 86_400_000


async def refused(connection: AsyncConnection, text: str) -> tuple[Refusal, str]:
    """Return why a token is refused, for us and for the caller."""
    with pytest.raises(NotAuthenticated) as caught:
        await tokens.describe_token(connection, text)
    return caught.value.reason, str(caught.value)


async def test_good_token(connection: AsyncConnection, world: World) -> None:
    before = now_ms()
    issued = await tokens.issue_token(connection, world.user_id, world.project_id, 60)
    assert len(issued.text) == 43
    assert before <= issued.issued_at == issued.expires_at - 60_000
    found = await tokens.describe_token(connection, issued.text)
    assert (found.caller.user_name, found.caller.domain_name) == ("ann", "acme")
    assert found.caller.scope_project_id == world.project_id
    assert found.caller.role_in(world.project_id) is Role.OPERATOR
    assert (found.methods, found.issued_at, found.expires_at) == (("password",), issued.issued_at, issued.expires_at)


async def test_only_a_hash_is_stored(connection: AsyncConnection, world: World) -> None:
    issued = await tokens.issue_token(connection, world.user_id, None, 60)
    row = (await connection.execute(select(token))).one()
    assert issued.text not in repr(tuple(row))
    assert len(row.token_hash) == 32


async def test_every_bad_token_gets_the_same_words(connection: AsyncConnection, world: World) -> None:
    made = [(await tokens.issue_token(connection, world.user_id, None, 60)).text for _ in range(3)]
    revoked, disabled, expired = made
    assert await tokens.revoke_token(connection, revoked)
    expired_hash = tokens.token_hash(expired)
    await connection.execute(update(token).where(token.c.token_hash == expired_hash).values(expires_at=now_ms()))
    answers = [await refused(connection, text) for text in (revoked, expired, "unknown", "", "\x00\xff")]
    await connection.execute(update(user_account).values(enabled=False))
    answers.append(await refused(connection, disabled))
    reasons = [reason for reason, _ in answers]
    unknown = [Refusal.UNKNOWN] * 3
    assert reasons == [Refusal.REVOKED, Refusal.EXPIRED, *unknown, Refusal.DISABLED]
    assert len({words for _, words in answers}) == 1


async def test_revoking_twice(connection: AsyncConnection, world: World) -> None:
    issued = await tokens.issue_token(connection, world.user_id, None, 60)
    assert await tokens.revoke_token(connection, issued.text)
    assert not await tokens.revoke_token(connection, issued.text)
    assert not await tokens.revoke_token(connection, "unknown")


async def test_listed_tokens_can_be_revoked(connection: AsyncConnection, world: World) -> None:
    first = await tokens.issue_token(connection, world.user_id, None, 60)
    second = await tokens.issue_token(connection, world.user_id, world.project_id, 60, "command")
    listed = {each.methods: each for each in await tokens.list_tokens(connection, world.user_id)}
    assert listed[("command",)].project_id == world.project_id
    assert first.text not in repr(listed)
    await tokens.revoke_listed_token(connection, world.user_id, listed[("password",)].id)
    assert (await refused(connection, first.text))[0] is Refusal.REVOKED
    assert (await tokens.describe_token(connection, second.text)).caller.user_id == world.user_id
    assert [each.methods for each in await tokens.list_tokens(connection, world.user_id)] == [("command",)]


async def test_a_token_is_revoked_by_its_whole_id_of_its_own_user(connection: AsyncConnection, world: World) -> None:
    await tokens.issue_token(connection, world.user_id, None, 60)
    listed = (await tokens.list_tokens(connection, world.user_id))[0].id
    for user_id, wanted in [("somebody else", listed), (world.user_id, listed[:8]), (world.user_id, "")]:
        with pytest.raises(UnknownIdentity, match="imagewarden admin token list"):
            await tokens.revoke_listed_token(connection, user_id, wanted)


async def test_pruning_keeps_what_may_still_be_asked_about(connection: AsyncConnection, world: World) -> None:
    ages: dict[str, tuple[int, int | None]] = {
        "good": (DAY, None),
        "just expired": (-DAY, None),
        "long expired": (-8 * DAY, None),
    }
    ages |= {"just revoked": (DAY, -DAY), "long revoked": (DAY, -8 * DAY)}
    for name, (expires, revoked) in ages.items():
        issued = await tokens.issue_token(connection, world.user_id, None, 60, name)
        await connection.execute(
            update(token)
            .where(token.c.token_hash == tokens.token_hash(issued.text))
            .values(expires_at=now_ms() + expires, revoked_at=None if revoked is None else now_ms() + revoked)
        )
    assert await tokens.prune_tokens(connection) == 2
    left = {methods[0] for methods in (await connection.execute(select(token.c.methods))).scalars()}
    assert left == {"good", "just expired", "just revoked"}


async def test_one_statement_authenticates(connection: AsyncConnection, world: World) -> None:
    issued = await tokens.issue_token(connection, world.user_id, None, 60)
    assert connection.sync_connection is not None
    seen: list[str] = []
    event.listen(connection.sync_connection, "before_cursor_execute", lambda *args: seen.append(args[2]))
    await tokens.describe_token(connection, issued.text)
    assert len(seen) == 1
