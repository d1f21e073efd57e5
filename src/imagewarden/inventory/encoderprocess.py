"""Processes that encode blocks of rows: each into a row file of its own, none outlives the one that started it."""

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from imagewarden.inventory.blocks import Block, Registries
from imagewarden.inventory.encoding import BlockEncoder
from imagewarden.inventory.errors import InventoryError
from imagewarden.inventory.parts import Part
from imagewarden.inventory.rowfile import RowFileWriter, row_file_path
from imagewarden.inventory.rows import ImageRow
from imagewarden.storage.processes import end_with_parent

__all__ = ["EncoderEnded", "EncoderProcess", "EncoderSetup"]

_SECONDS_TO_END = 10.0


class EncoderEnded(InventoryError):
    """A process that encoded rows is gone before it was done: killed, or ended by an error of its own."""


class EncoderSetup(NamedTuple):
    """What an encoder needs."""

    encode: Callable[[ImageRow], bytes]
    """A function of a module."""
    registries: Registries
    """Name and kind of registries, by id."""
    folder: Path
    """Where its row file is made."""
    number: int
    """Number of its row file."""

    def writer(self) -> RowFileWriter:
        """Make the row file; raises OSError."""
        return RowFileWriter(row_file_path(self.folder, self.number), self.number)


class EncoderProcess:
    """A process with a BlockEncoder; one thread at a time may ask it."""

    def __init__(self, setup: EncoderSetup) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=run_encoder, args=(setup, other, os.getpid()), daemon=True)
        try:
            self._process.start()
        finally:
            other.close()

    def encode(self, blocks: Sequence[Block]) -> Part:
        """Return the rows of blocks; raises OSError where they cannot be written, and EncoderEnded."""
        try:
            with suppress(ConnectionError):  # it may have told why it ended
                self._connection.send(blocks)
            answer: Part | OSError = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join(_SECONDS_TO_END)
            raise EncoderEnded(f"a process that encoded rows ended, exit code {self._process.exitcode}") from error
        if isinstance(answer, OSError):
            raise answer
        return answer

    def kill(self) -> None:
        """End the process, whatever it is at; whoever asked it gets EncoderEnded."""
        self._process.kill()

    def close(self) -> None:
        """Let the process end."""
        self._connection.close()
        self._process.join(_SECONDS_TO_END)
        self._process.kill()
        self._process.join()
        self._process.close()

    def __enter__(self) -> Self:
        """Return the process, closed in the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the process end."""
        self.close()


def run_encoder(setup: EncoderSetup, connection: Connection, parent: int) -> None:
    """Answer each list of blocks with a Part until the other side is gone; an OSError is the last answer."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to act on
    gc.disable()  # no cycles are made, and the collector would go through all rows at hand again and again
    try:
        with setup.writer() as writer:
            encoder = BlockEncoder(setup.encode, setup.registries, writer)
            while True:
                connection.send(encoder.encode(connection.recv()))
    except (EOFError, ConnectionError):
        return
    except OSError as error:
        connection.send(error)
