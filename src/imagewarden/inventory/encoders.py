"""The encoders of one project: this process, and others that help if the project is large."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple, Self

from imagewarden.inventory.batch import Batch
from imagewarden.inventory.blocks import Block
from imagewarden.inventory.encoderprocess import EncoderProcess, EncoderSetup
from imagewarden.inventory.encoding import BlockEncoder
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.parts import Part, PartReader
from imagewarden.inventory.vocabulary import Terms

__all__ = ["Encoders"]

_ALONE = 16
"""So many tasks are done by this process before others are started, which takes as long as some tasks."""
_AHEAD = 3
"""Tasks that a helper is given before it has done them."""


class _Helper(NamedTuple):
    """A process that encodes, and the thread that asks it: one, so that parts come in the order of their tasks."""

    process: EncoderProcess
    reader: PartReader
    thread: ThreadPoolExecutor
    waiting: deque[Future[Part]]

    def load(self) -> int:
        """Return how many tasks it has yet to do."""
        while self.waiting and self.waiting[0].done():
            self.waiting.popleft()
        return len(self.waiting)

    def start(self, task: list[Block]) -> Future[Part]:
        """Have a task done."""
        future = self.thread.submit(self.process.encode, task)
        self.waiting.append(future)
        return future


class Encoders:
    """Encodes tasks; in the end its helpers are gone."""

    def __init__(self, setup: Callable[[], EncoderSetup], terms: Mapping[ImageColumn, Terms], helpers: int) -> None:
        """Use `setup` once an encoder, and up to so many helpers."""
        self._setup = setup
        self._terms = terms
        self._wanted = helpers
        self._helpers: list[_Helper] = []
        self._stack = ExitStack()
        own = setup()
        self._own = BlockEncoder(own.encode, own.registries, self._stack.enter_context(own.writer()))
        self._reader = PartReader(terms)

    def __enter__(self) -> Self:
        """Return the encoders."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the helpers: at once if there was an error, for their threads wait for them."""
        if error is not None:
            for helper in self._helpers:
                helper.process.kill()
        self._stack.close()

    def batches(self, tasks: Iterable[list[Block]]) -> Iterator[tuple[Batch, list[int]]]:
        """Yield the rows of each task, in the tasks' order, and the first ids of blocks that were refused."""
        parts: deque[tuple[PartReader, Future[Part]]] = deque()
        for number, task in enumerate(tasks):
            if number == _ALONE:
                self._start_helpers()
            parts.append(self._started(task))
            while parts and parts[0][1].done():
                yield _read(*parts.popleft())
        for reader, part in parts:
            yield _read(reader, part)

    def _start_helpers(self) -> None:
        """Start the helpers, each with what it needs until it is gone."""
        for _ in range(self._wanted):
            process = self._stack.enter_context(EncoderProcess(self._setup()))
            thread = self._stack.enter_context(ThreadPoolExecutor(1, "encoder"))
            self._helpers.append(_Helper(process, PartReader(self._terms), thread, deque()))

    def _started(self, task: list[Block]) -> tuple[PartReader, Future[Part]]:
        """Have a task done by the helper with least to do; by this process if all have enough."""
        helper = min(self._helpers, key=_Helper.load, default=None)
        if helper is not None and helper.load() < _AHEAD:
            return helper.reader, helper.start(task)
        done = Future[Part]()
        done.set_result(self._own.encode(task))
        return self._reader, done


def _read(reader: PartReader, part: Future[Part]) -> tuple[Batch, list[int]]:
    found = part.result()
    return reader.batch(found), found.refused
