"""Searches of a vocabulary against looking at every term."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagewarden.inventory import vocabulary
from imagewarden.inventory.arrayfile import let_go, map_arrays, write_arrays
from imagewarden.inventory.grams import GRAM_ARRAYS, Grams, gram_arrays
from imagewarden.inventory.texts import Texts
from imagewarden.inventory.vocabulary import TermPiece

LETTERS = "abAB1-_./\xe9\x00"
TERMS = st.lists(st.text(LETTERS, max_size=7), min_size=1, max_size=40, unique=True)
NEEDLES = st.text(LETTERS.lower(), min_size=1, max_size=6)


def holding(terms: Sequence[bytes], text: bytes) -> list[bool]:
    """Return which terms contain a text, by looking at each."""
    return [text in term.lower() for term in terms]


@given(TERMS, NEEDLES)
def test_postings_and_texts_agree_with_every_term(texts: list[str], needle: str) -> None:
    """Short and long needles, empty terms, upper case, several bytes a character, bytes that share a class."""
    terms, text = [each.encode() for each in texts], needle.encode()
    arrays = TermPiece.arrays_of(terms)
    assert TermPiece(0, arrays).containing(text).tolist() == holding(terms, text)
    with_postings = arrays | gram_arrays(*(arrays[name] for name in ("blob", "ends")))  # type: ignore[arg-type]
    assert TermPiece(0, with_postings).containing(text).tolist() == holding(terms, text)


@given(TERMS, NEEDLES)
def test_postings_leave_no_term_out_and_are_right_where_they_are_sure(texts: list[str], needle: str) -> None:
    """What they leave is a superset; no more than that where they say so."""
    terms, text = [each.encode() for each in texts], needle.encode()
    arrays = TermPiece.arrays_of(terms)
    found, sure = Grams(gram_arrays(arrays["blob"], arrays["ends"])).candidates(text)  # type: ignore[arg-type]
    right = {number for number, met in enumerate(holding(terms, text)) if met}
    assert right <= set(found.tolist())
    assert not sure or right == set(found.tolist())


@given(TERMS, st.data())
def test_some_texts_are_searched_like_all(texts: list[str], data: st.DataObject) -> None:
    """Numbered anew, in the order asked for."""
    terms = [each.encode() for each in texts]
    numbers = data.draw(st.lists(st.integers(0, len(terms) - 1), unique=True))
    text = data.draw(NEEDLES).encode()
    arrays = TermPiece.arrays_of(terms)
    some = Texts(arrays["blob"], arrays["ends"]).among(np.array(numbers, dtype=np.int64))  # type: ignore[arg-type]
    found = set(some.containing(text).tolist())
    assert [number in found for number in range(len(numbers))] == holding([terms[each] for each in numbers], text)


def test_a_large_vocabulary_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postings of several portions, mapped: rare, frequent and absent needles, again when memory was given back."""
    chance = random.Random(20260403)
    monkeypatch.setattr("imagewarden.inventory.grams._PORTION", 1 << 12)
    terms = [b"1.%d-%06x%s" % (each % 90, chance.randrange(1 << 24), chance.choice((b"", b"-Snapshot")))
             for each in range(vocabulary._INDEXED)]  # fmt: skip
    write_arrays(tmp_path / "terms", TermPiece.arrays_of(terms))
    arrays = map_arrays(tmp_path / "terms")
    assert set(GRAM_ARRAYS) <= set(arrays)
    piece = TermPiece(100, arrays)
    needles = [
        b"1",
        b"-",
        b"1.7",
        b"snap",
        b"-snapshot",
        b"absent",
        b"f00",
        terms[77].lower()[-5:],
        terms[4000].lower(),
    ]
    for text in needles + needles[::-1]:
        assert piece.containing(text).tolist() == holding(terms, text), text
    assert piece.find(terms[4000]) == 100 + terms.index(terms[4000])


def test_memory_of_a_mapped_array_is_given_back(tmp_path: Path) -> None:
    """And what it holds is still there; an array that is not mapped is left alone."""
    numbers = np.arange(1 << 18, dtype=np.int64)
    write_arrays(tmp_path / "numbers", {"before": numbers[:3], "numbers": numbers, "after": numbers[:5]})
    mapped = map_arrays(tmp_path / "numbers")
    assert int(mapped["numbers"].sum()) == int(numbers.sum())
    held = resident(tmp_path / "numbers")
    let_go(mapped["numbers"])
    let_go(numbers)
    assert resident(tmp_path / "numbers") < held - 0.9 * numbers.nbytes
    assert np.array_equal(mapped["numbers"], numbers)


def resident(path: Path) -> int:
    """Return the bytes of a mapped file that are in this process's memory (proc_pid_smaps(5))."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        int(next(line for line in lines if line.startswith("Rss:")).split()[1]) * 1024
        for each in lines
        if each.endswith(str(path))
    )
