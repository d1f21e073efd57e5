"""Listings that are malformed, endless or too large: a typed failure in bounded time and memory."""

import gzip
import itertools
import json
import time
import tracemalloc
import zlib

import httpx
import pytest

from imagewarden.registry.answer import Answer
from imagewarden.registry.errors import (
    Exchange,
    MalformedAnswer,
)
from imagewarden.registry.options import MIB, Limits
from imagewarden.registry.paging import next_page
from tests.support.facing import always, facing, tags
from tests.support.hostile import Asked, Reply, Script, json_reply, reply

pytestmark = pytest.mark.anyio


def endless(asked: Asked) -> Reply:
    number = int(asked.query.get("last", ["0"])[0])
    return json_reply({"tags": [f"t{number}"]}, link=f'</v2/x/tags/list?last={number + 1}>; rel="next"')


def looping(asked: Asked) -> Reply:
    turn = int(asked.query.get("turn", ["0"])[0])
    link = f'</v2/x/tags/list?turn={(turn + 1) % 3}>; rel="next"'
    return json_reply({"tags": [f"{asked.target.count('x')}-{time.monotonic_ns()}"]}, link=link)


BAD_LISTINGS: dict[str, tuple[Script, str]] = {
    "pages without end": (endless, "more than 50 pages"),
    "pages in a circle": (looping, "circle"),
    "the same page under new addresses": (
        lambda asked: json_reply({"tags": ["a"]}, link=f"<?again={len(asked.target)}-{time.monotonic_ns()}>; rel=next"),
        "repeats",
    ),
    "next page on another host": (
        always(json_reply({"tags": ["a"]}, link="<http://elsewhere.example.test/v2/>; rel=next")),
        "another host",
    ),
    "next page by another scheme": (
        always(json_reply({"tags": ["a"]}, link="<file:///etc>; rel=next")),
        "another host",
    ),
    "a link that cannot be read": (always(json_reply({"tags": ["a"]}, link="/v2/next; rel=next")), "Link header"),
    "not JSON": (always(reply(200, b"<html>", content_type="text/html")), "not what was asked"),
    "cut JSON": (always(reply(200, b'{"tags": ["a"')), "not what was asked"),
    "nested JSON": (always(reply(200, b'{"tags": ' + b"[" * 30_000)), "not what was asked"),
    "another shape": (always(json_reply({"tags": {"a": 1}})), "not what was asked"),
    "numbers for names": (always(json_reply({"tags": [1, 2]})), "not what was asked"),
    "not UTF-8": (always(reply(200, b'{"tags": ["\xff"]}')), "not what was asked"),
    "an empty answer": (always(reply(200)), "not what was asked"),
    "no content": (always(reply(204)), "not an answer"),
    "a page too large": (always(reply(200, b'{"tags": ["' + b"a" * 70_000 + b'"]}')), "larger than the 65536"),
    "names without end": (
        always(reply(200, json.dumps({"tags": [f"t{n}" for n in range(5001)]}).encode())),
        "more than 5000 names",
    ),
    "an encoding not asked for": (always(reply(200, b"..", content_encoding="br")), "'br'"),
    "gzip that is none": (always(reply(200, b"no gzip", content_encoding="gzip")), "not gzip"),
    "gzip that breaks off": (
        always(reply(200, gzip.compress(b'{"tags": ["a"]}')[:-4], content_encoding="gzip")),
        "breaks off",
    ),
    "a 404 of a proxy": (always(reply(404, b"<h1>not found</h1>")), "missing"),
    "not HTTP": (always(Reply([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"])), "protocol"),
    "headers without end": (
        always(Reply(itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"x-pad: " + b"y" * 8000 + b"\r\n")))),
        "protocol",
    ),
    "a body that breaks off": (always(reply(200, b'{"tags": []}', content_length="500")), "protocol"),
    "two lengths": (
        always(Reply([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"])),
        "protocol",
    ),
}


@pytest.mark.parametrize("case", BAD_LISTINGS)
async def test_listing_that_is_malformed_endless_or_too_large(case: str) -> None:
    script, why = BAD_LISTINGS[case]
    async with facing(script) as (server, adapter):
        with pytest.raises(MalformedAnswer, match=why) as caught:
            await tags(adapter)
        assert caught.value.code == "malformed_answer"
        assert len(server.asked) <= 51


async def test_gzip_bomb_is_stopped_while_it_is_small() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(300)) + packer.flush()
    limits = Limits(attempts=1, page_bytes=2 * MIB)
    async with facing(always(reply(200, bomb, content_encoding="gzip")), limits=limits) as (_, adapter):
        tracemalloc.start()
        try:
            with pytest.raises(MalformedAnswer, match="larger than"):
                await tags(adapter)
            assert tracemalloc.get_traced_memory()[1] < 12 * MIB
        finally:
            tracemalloc.stop()


async def test_gzip_that_was_not_asked_for_is_understood() -> None:
    names = [f"tag-{number}" for number in range(4000)]
    body = gzip.compress(json.dumps({"tags": names}).encode())
    async with facing(always(reply(200, body, content_encoding="gzip"))) as (server, adapter):
        assert await tags(adapter) == names
        assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_names_outside_the_grammar_are_told_and_never_asked_for() -> None:
    names = [
        "good",
        "../../etc/passwd",
        "UPPER",
        "a b",
        "x" * 300,
        "a/../b",
        "http://169.254.169.254/",
        "\x00",
        "ok/ok",
    ]
    async with facing(always(json_reply({"repositories": names, "tags": ["v1", "-bad", "a/b", ""]}))) as (_, adapter):
        assert [name async for name in adapter.repositories()] == ["good", "ok/ok"]
        assert await tags(adapter) == ["v1"]
        problems = adapter.take_problems()
        assert {problem.where for problem in problems} == {"_catalog", "some/repository"}
        assert len(problems) == 10
        assert adapter.take_problems() == ()


async def test_registry_without_a_catalog() -> None:
    async with facing(always(json_reply({"errors": [{"code": "UNSUPPORTED"}]}, 404))) as (_, adapter):
        with pytest.raises(MalformedAnswer, match="name them"):
            _ = [name async for name in adapter.repositories()]


LINKS: dict[str, str | None] = {
    '</v2/_catalog?last=b&n=5>; rel="next"': "https://r.example.test/v2/_catalog?last=b&n=5",
    "<?last=b>;rel=next": "https://r.example.test/v2/_catalog?last=b",
    '<https://r.example.test:443/v2/x>; rel="prev next"; title="y"': "https://r.example.test/v2/x",
    '<http://r.example.test/v2/x?n=1>; rel="next"': "https://r.example.test/v2/x?n=1",
    '<https://r.example.test:8443/v2/x>; REL="NEXT"': "https://r.example.test/v2/x",
    '<https://user:secret@r.example.test/v2/x>; rel="next"': "https://r.example.test/v2/x",
    '</v2/first>; rel="first", </v2/next>; rel="next"': "https://r.example.test/v2/next",
    '</v2/first>; rel="first"': None,
    " ": None,
}


@pytest.mark.parametrize("link", LINKS)
def test_link_to_the_next_page(link: str) -> None:
    answer = Answer(
        Exchange("GET", ""), httpx.URL("https://r.example.test/v2/_catalog"), 200, httpx.Headers({"link": link}), b""
    )
    found = next_page(answer)
    assert (None if found is None else str(found)) == LINKS[link]


async def test_pages_are_read_to_the_end_and_names_given_once() -> None:
    pages = {"": ("b a b", "a"), "a": ("c a d", "d"), "d": ("e", "")}

    def script(asked: Asked) -> Reply:
        names, following = pages[asked.query.get("last", [""])[0]]
        link = f'</v2/x/tags/list?last={following}>; rel="next"' if following else ""
        return json_reply({"tags": names.split()}, link=link)

    async with facing(script) as (server, adapter):
        assert await tags(adapter) == ["b", "a", "c", "d", "e"]
        assert len(server.asked) == 3


@pytest.mark.parametrize("most", [100, 50, 0])
async def test_page_size_is_lowered_to_what_the_registry_takes(most: int) -> None:
    def script(asked: Asked) -> Reply:
        size = int(asked.query.get("n", ["0"])[0])
        if size > most:
            return json_reply({"errors": [{"code": "PAGINATION_NUMBER_INVALID"}]}, 400)
        return json_reply({"tags": [f"of-{size}"]})

    async with facing(script) as (_, adapter):
        assert await tags(adapter) == ["of-100" if most == 100 else "of-0"]


async def test_registry_that_takes_no_listing_at_all() -> None:
    async with facing(always(json_reply({"errors": [{"code": "UNSUPPORTED"}]}, 400))) as (server, adapter):
        with pytest.raises(MalformedAnswer, match="not an answer"):
            await tags(adapter)
        assert len(server.asked) == 3
