"""Docker's schema 1: what its digest is over, with and without signatures."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.model.digest import digest_of
from imagewarden.model.media_type import SCHEMA1, SCHEMA1_SIGNED
from imagewarden.registry.errors import DigestMismatch
from imagewarden.registry.schema1 import signed_payload
from tests.support.facing import always, facing
from tests.support.hostile import reply

PAYLOAD = b'{\n   "schemaVersion": 1,\n   "name": "library/old",\n   "tag": "v1",\n   "fsLayers": []\n}'


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(payload: bytes, *, length: object = None, tail: object = None, count: int = 1) -> bytes:
    """Splice signatures into a payload as Docker does: its last line is the tail."""
    cut = payload.rindex(b"\n}")
    protected = {"formatLength": cut if length is None else length, "formatTail": tail or encoded(payload[cut:])}
    signature = {"protected": encoded(json.dumps(protected).encode()), "signature": "AA", "header": {}}
    return payload[:cut] + b',\n   "signatures": ' + json.dumps([signature] * count).encode() + b"\n}"


@pytest.mark.parametrize("count", [1, 3])
def test_payload_of_a_signed_manifest(count: int) -> None:
    assert signed_payload(signed(PAYLOAD, count=count)) == PAYLOAD


@pytest.mark.parametrize(
    "content",
    [
        PAYLOAD,
        b"",
        b"[]",
        b'{"signatures": []}',
        b'{"signatures": [{"protected": "!"}]}',
        b'{"signatures": [{"protected": "e30"}]}',
        signed(PAYLOAD, length=-1),
        signed(PAYLOAD, length=0),
        signed(PAYLOAD, length=10**9),
        signed(PAYLOAD, length="5"),
        signed(PAYLOAD, tail="\u00e9"),
        signed(PAYLOAD, tail="a"),
    ],
)
def test_what_is_not_signed_has_no_payload(content: bytes) -> None:
    assert signed_payload(content) is None


def test_signatures_that_disagree_have_no_payload() -> None:
    one, two = json.loads(signed(PAYLOAD)), json.loads(signed(PAYLOAD, length=5))
    assert signed_payload(json.dumps({**one, "signatures": one["signatures"] + two["signatures"]}).encode()) is None


@given(st.binary(max_size=300))
def test_any_bytes_have_a_payload_or_none(content: bytes) -> None:
    assert signed_payload(content) is None


@pytest.mark.anyio
@pytest.mark.parametrize(("content", "kind"), [(signed(PAYLOAD), SCHEMA1_SIGNED), (PAYLOAD, SCHEMA1)])
async def test_digest_is_over_the_payload(content: bytes, kind: str) -> None:
    async with facing(always(reply(200, content, content_type=f"{kind}; charset=utf-8"))) as (_, adapter):
        for reference in ("v1", digest_of(PAYLOAD)):
            found = await adapter.manifest("library/old", reference)
            assert (found.content, found.digest, found.media_type) == (content, digest_of(PAYLOAD), kind)
        with pytest.raises(DigestMismatch):
            await adapter.manifest("library/old", digest_of(b"another"))


@pytest.mark.anyio
async def test_signatures_do_not_hide_content_of_other_kinds() -> None:
    """Only schema 1 has signatures: elsewhere what they cut off would be unverified."""
    async with facing(always(reply(200, signed(PAYLOAD), content_type="application/json"))) as (_, adapter):
        with pytest.raises(DigestMismatch):
            await adapter.manifest("library/old", digest_of(PAYLOAD))
