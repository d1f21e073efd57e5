"""The distinct texts of a column, as byte blobs with offsets: a Python string a tag would cost 150 bytes.

A vocabulary grows by pieces that are never changed again, one a segment of the model; a term's code is its number over
all pieces. A piece finds a term by binary search; terms that contain a text are looked for among
those that its trigrams leave.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.grams import GRAM_ARRAYS, Grams, gram_arrays
from imagewarden.inventory.texts import Texts

__all__ = ["TermPiece", "Terms", "Vocabulary", "code_type"]

_CACHED = 4
"""Searches that a piece remembers, at one byte a term: pages of one search are asked for one after another."""
_INDEXED = 1 << 12
"""Terms from which a piece has postings of trigrams."""
_MANY = 8
"""More than one term in so many is not looked at apart from the others."""


def code_type(terms: int) -> type[np.unsignedinteger]:
    """Return the narrowest type that holds the codes of so many terms."""
    return np.uint8 if terms <= 2**8 else np.uint16 if terms <= 2**16 else np.uint32


class TermPiece:
    """Terms with codes `first` to `first + len(self) - 1`; never changes."""

    ARRAYS = ("blob", "ends", "order", *GRAM_ARRAYS)
    """The arrays it is made of, as a file keeps them; a small piece has no postings."""

    def __init__(self, first: int, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take the arrays of `arrays_of`, from memory or mapped."""
        self.first = first
        self.arrays = arrays
        self.blob: npt.NDArray[np.uint8] = arrays["blob"]  # type: ignore[assignment] # as they were made
        self.ends: npt.NDArray[np.uint32] = arrays["ends"]  # type: ignore[assignment]
        self._ends, self._order, self._blob = self.ends.data, arrays["order"].data, self.blob.data
        self._texts = Texts(self.blob, self.ends)
        self._grams = Grams(arrays) if GRAM_ARRAYS[0] in arrays else None
        self._searched: dict[bytes, npt.NDArray[np.bool_]] = {}

    @staticmethod
    def arrays_of(terms: Sequence[bytes]) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays of a piece: texts in a blob, where each ends, numbers in order of the texts, postings."""
        ends = np.cumsum(np.fromiter(map(len, terms), dtype=np.int64, count=len(terms)))
        if len(ends) and ends[-1] >= 2**32:
            raise OverflowError("the texts of a column are longer than 4 GiB")
        order = np.array(sorted(range(len(terms)), key=terms.__getitem__), dtype=np.uint32)
        blob = np.frombuffer(b"".join(terms), dtype=np.uint8)
        postings = gram_arrays(blob, ends.astype(np.uint32)) if len(terms) >= _INDEXED else {}
        return {"blob": blob, "ends": ends.astype(np.uint32), "order": order, **postings}

    def __len__(self) -> int:
        """Return how many terms it holds."""
        return len(self.ends)

    def __getitem__(self, number: int) -> bytes:
        """Return the term of a number within the piece."""
        start = self._ends[number - 1] if number else 0
        return bytes(self._blob[start : self._ends[number]])

    def find(self, term: bytes) -> int | None:
        """Return the code of a term, None where it is not of this piece."""
        order = self._order
        place = bisect_left(range(len(self)), term, key=lambda rank: self[order[rank]])
        if place < len(self) and self[order[place]] == term:
            return self.first + order[place]
        return None

    def containing(self, text: bytes) -> npt.NDArray[np.bool_]:
        """Return which terms contain a text in ASCII lower case, ASCII case ignored; one truth value a term."""
        found = self._searched.get(text)
        if found is None:
            if len(self._searched) >= _CACHED:
                self._searched.pop(next(iter(self._searched)))
            found = self._searched[text] = self._search(text)
        return found

    def _search(self, text: bytes) -> npt.NDArray[np.bool_]:
        """Search the texts: those that the postings leave, where there are any."""
        found = np.zeros(len(self), dtype=np.bool_)
        if self._grams is None:
            found[self._texts.containing(text)] = True
            return found
        candidates, sure = self._grams.candidates(text)
        found[candidates] = True
        if not sure and len(candidates):
            numbers = np.flatnonzero(found)
            found[:] = False
            if len(numbers) * _MANY > len(self):
                found[self._texts.containing(text)] = True
            else:
                found[numbers[self._texts.among(numbers).containing(text)]] = True
        return found


class Vocabulary:
    """All terms of a column in one version of the model."""

    def __init__(self, pieces: Iterable[TermPiece] = ()) -> None:
        """Take the pieces in the order of their codes."""
        self.pieces = tuple(piece for piece in pieces if len(piece))

    def __len__(self) -> int:
        """Return how many terms there are."""
        return self.pieces[-1].first + len(self.pieces[-1]) if self.pieces else 0

    def __getitem__(self, code: int) -> bytes:
        """Return the term of a code; raises IndexError."""
        for piece in self.pieces:
            if piece.first <= code < piece.first + len(piece):
                return piece[code - piece.first]
        raise IndexError(code)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the terms in the order of their codes."""
        for piece in self.pieces:
            yield from map(piece.__getitem__, range(len(piece)))

    def find(self, term: bytes) -> int | None:
        """Return the code of a term, None for one that no row ever had."""
        return next((code for piece in self.pieces if (code := piece.find(term)) is not None), None)

    def containing(self, text: bytes) -> npt.NDArray[np.bool_]:
        """Return by code which terms contain a text in ASCII lower case, ASCII case ignored."""
        parts = [piece.containing(text) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


class _Codes(dict[bytes, int]):
    """Codes of the terms that were met, looked up as fast as Python can."""

    def __init__(self, known: Vocabulary) -> None:
        super().__init__()
        self._find = known.find if len(known) else None
        self._first = len(known)
        self.added: list[bytes] = []

    def __missing__(self, term: bytes) -> int:
        """Return the code of a term not met yet."""
        code = self._find(term) if self._find else None
        if code is None:
            code = self._first + len(self.added)
            self.added.append(term)
        self[term] = code
        return code


class Terms:
    """A vocabulary that grows: what a build or a refresh gives out codes with."""

    def __init__(self, known: Vocabulary) -> None:
        """Start with the terms of a version."""
        self._known = known
        self._codes = _Codes(known)

    @property
    def first(self) -> int:
        """The code of the first term that was added."""
        return len(self._known)

    @property
    def added(self) -> Sequence[bytes]:
        """The terms that were added, in the order of their codes."""
        return self._codes.added

    def __len__(self) -> int:
        """Return how many terms there are, the new ones included."""
        return len(self._known) + len(self._codes.added)

    def codes(self, terms: Sequence[bytes]) -> npt.NDArray[np.uint32]:
        """Return the codes of texts in UTF-8, one each; what is new is added."""
        return np.fromiter(map(self._codes.__getitem__, terms), dtype=np.uint32, count=len(terms))
