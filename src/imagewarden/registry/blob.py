"""Reading a blob: verified as it comes, taken up again where a connection broke."""

import hashlib
import re
from collections.abc import AsyncIterator

import httpx

from imagewarden.registry.adapter import Descriptor
from imagewarden.registry.errors import BlobNotFound, DigestMismatch, MalformedAnswer, RegistryError
from imagewarden.registry.transport import BlobStream, RegistryTransport
from imagewarden.registry.wire import exchange_of

__all__ = ["read_blob"]

_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)")


class _Check:
    """Compares what has come with what the descriptor says."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor = descriptor
        algorithm, _, self._hex = descriptor.digest.partition(":")
        self._hash = hashlib.new(algorithm)
        self.received = 0
        """Bytes that have come so far."""

    def add(self, chunk: bytes) -> None:
        """Count and hash a chunk; raises DigestMismatch as soon as there is too much."""
        self.received += len(chunk)
        if self.received > self._descriptor.size:
            raise DigestMismatch(f"{self._descriptor.digest} is larger than its {self._descriptor.size} bytes")
        self._hash.update(chunk)

    def finish(self) -> None:
        """Raise DigestMismatch unless all of it came and it is the digest's."""
        if self.received != self._descriptor.size:
            raise DigestMismatch(
                f"{self._descriptor.digest} has {self.received} bytes, not its {self._descriptor.size}"
            )
        if self._hash.hexdigest() != self._hex:
            raise DigestMismatch(f"the bytes served for {self._descriptor.digest} are others")


async def read_blob(
    transport: RegistryTransport, url: httpx.URL, descriptor: Descriptor, scope: str
) -> AsyncIterator[bytes]:
    """Yield a blob's bytes; size and digest hold when the last has come. Raises RegistryError."""
    check = _Check(descriptor)
    failures = 0
    limits = transport.options.limits
    seconds = limits.answer_seconds + descriptor.size / limits.blob_bytes_per_second
    while True:
        headers = {"Range": f"bytes={check.received}-"} if check.received else {}
        try:
            async with transport.stream(url, scope=scope, headers=headers, seconds=seconds) as stream:
                async for chunk in _remainder(stream, check.received):
                    check.add(chunk)
                    yield chunk
            check.finish()
        except RegistryError as failure:
            failures += 1
            await transport.wait(failures, failure)
        else:
            return


async def _remainder(stream: BlobStream, offset: int) -> AsyncIterator[bytes]:
    """Yield what comes after `offset`, whether or not the registry heeds a range."""
    response, chunks = stream
    exchange = exchange_of(response)
    if response.status_code == 404:
        raise BlobNotFound("the layer or config is not there", exchange)
    skip = offset
    if response.status_code == 206 and offset:
        found = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None or int(found[1]) != offset:
            raise MalformedAnswer(f"the answer does not go on at byte {offset}", exchange)
        skip = 0
    elif response.status_code != 200:
        raise MalformedAnswer("not an answer to a blob", exchange)
    async for chunk in chunks:
        if skip >= len(chunk):
            skip -= len(chunk)
            continue
        yield chunk[skip:] if skip else chunk
        skip = 0
