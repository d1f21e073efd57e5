"""Conditions with their texts resolved to codes: what segments of columns evaluate.

One predicate serves all segments of a version; the vocabularies alone may tell that no row can match.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import FLAG_BITS, NUMBER_COLUMNS
from imagewarden.inventory.filters import (
    AnyPositive,
    Condition,
    Contains,
    Equals,
    ImageColumn,
    ImageFilter,
    OneOf,
    Within,
    conditions,
)
from imagewarden.inventory.vocabulary import Vocabulary

__all__ = ["CodeIn", "CodesMatch", "FlagsAny", "FlagsEqual", "NumberWithin", "Predicate", "compile_filter"]


class CodeIn(NamedTuple):
    """The column's code is one of these, at least one."""

    column: ImageColumn
    codes: tuple[int, ...]


class CodesMatch(NamedTuple):
    """At least one of the columns has a code that is marked in its table, which has a truth value a code."""

    tables: tuple[tuple[ImageColumn, npt.NDArray[np.bool_]], ...]


class FlagsEqual(NamedTuple):
    """The flags, masked, have this value."""

    mask: int
    value: int


class FlagsAny(NamedTuple):
    """At least one of the flags of the mask is set."""

    mask: int


class NumberWithin(NamedTuple):
    """The column holds a number from low to high, both included."""

    column: ImageColumn
    low: int
    high: int


Predicate = CodeIn | CodesMatch | FlagsEqual | FlagsAny | NumberWithin


def _code_in(
    column: ImageColumn, terms: Iterable[str], vocabularies: Mapping[ImageColumn, Vocabulary]
) -> CodeIn | None:
    """Return the terms as codes, None where no row has any of them."""
    vocabulary = vocabularies[column]
    codes = tuple(code for term in terms if (code := vocabulary.find(term.encode())) is not None)
    return CodeIn(column, codes) if codes else None


def _codes_match(condition: Contains, vocabularies: Mapping[ImageColumn, Vocabulary]) -> CodesMatch | None:
    """Return a search of texts as tables of codes, None where no text contains it."""
    text = condition.text.encode()
    tables = tuple((column, vocabularies[column].containing(text)) for column in condition.columns)
    some = tuple((column, table) for column, table in tables if table.any())
    return CodesMatch(some) if some else None


def _equal(
    column: ImageColumn, value: str | int | bool, vocabularies: Mapping[ImageColumn, Vocabulary]
) -> Predicate | None:
    """Return an exact match resolved."""
    if column in FLAG_BITS:
        return FlagsEqual(FLAG_BITS[column], FLAG_BITS[column] if value else 0)
    if column in NUMBER_COLUMNS:
        return NumberWithin(column, int(value), int(value))
    return _code_in(column, (str(value),), vocabularies)


def _compiled(condition: Condition, vocabularies: Mapping[ImageColumn, Vocabulary]) -> Predicate | None:
    """Return a condition resolved, None where no row can meet it."""
    match condition:
        case Equals(column, value):
            return _equal(column, value, vocabularies)
        case OneOf(column, values):
            return _code_in(column, values, vocabularies)
        case Within(column, low, high):
            return NumberWithin(column, low, high)
        case AnyPositive(columns, wanted):
            mask = sum(FLAG_BITS[column] for column in columns)
            return FlagsAny(mask) if wanted else FlagsEqual(mask, 0)
        case Contains():
            return _codes_match(condition, vocabularies)


def _flags_together(found: Iterable[Predicate]) -> list[Predicate] | None:
    """Return the predicates with all that compare flags in one, None where they contradict each other."""
    others: list[Predicate] = []
    mask = value = 0
    for each in found:
        if not isinstance(each, FlagsEqual):
            others.append(each)
        elif value & each.mask != each.value & mask:
            return None
        else:
            mask, value = mask | each.mask, value | each.value
    return [*others, FlagsEqual(mask, value)] if mask else others


def compile_filter(asked: ImageFilter, vocabularies: Mapping[ImageColumn, Vocabulary]) -> list[Predicate] | None:
    """Return what a row must meet, all of it; None where the vocabularies tell that no row does."""
    found = []
    for condition in conditions(asked):
        predicate = _compiled(condition, vocabularies)
        if predicate is None:
            return None
        if not isinstance(predicate, CodesMatch) or not any(table.all() for _, table in predicate.tables):
            found.append(predicate)
    return _flags_together(found)
