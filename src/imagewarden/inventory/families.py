"""Multi-architecture rows woven with the children that stand in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.blocks import CHILD, Lines
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.rowtext import child_field, family_text, fields_of
from imagewarden.inventory.unpacking import read_children
from imagewarden.inventory.weaving import NEVER, RowWeaver, Weaver

__all__ = ["Brood", "Children", "FamilyWeaver"]

_DIVIDER = b"\n"
"""Stands before each child while they are woven; JSON lets it stand in no text."""
_SEEN = tuple(map(child_field, ("os", "architecture", "variant", "scan_status")))
"""What children's texts may depend on beyond holding it: it is proven that they do not for all values that come."""


class Brood(NamedTuple):
    """The children of some rows."""

    owners: npt.NDArray[np.int64]
    """By child, the place of its parent among the rows; ascending."""
    ends: npt.NDArray[np.int64]
    """By row, the place behind its last child."""
    columns: dict[str, list[bytes]]
    """By field, one value a child."""
    escaped: npt.NDArray[np.bool_]
    """By row, whether JSON escapes something of a child."""

    def by_row(self, children: Sequence[Any]) -> list[Sequence[Any]]:
        """Return what there is of each child by row."""
        ends = self.ends.tolist()
        return [children[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class Children:
    """Children in lines, in order of their parents' ids."""

    def __init__(self, lines: Lines) -> None:
        """Take the lines apart."""
        flat = next(iter(lines.pieces(max(1, len(lines)))), (slice(0), []))[1]
        self._columns = {child_field(field): flat[at :: len(CHILD)] for at, field in enumerate(CHILD)}
        self._parents = np.array(list(map(int, self._columns[child_field("parent_id")])), dtype=np.int64)
        escaped = lines.escaped()
        self._escaped = np.zeros(len(lines), dtype=np.bool_) if escaped is None else escaped

    def of(self, ids: npt.NDArray[np.int64]) -> Brood:
        """Return the children of the rows that have these ids, which are ascending."""
        starts = np.searchsorted(self._parents, ids)
        counts = np.searchsorted(self._parents, ids, side="right") - starts
        ends = np.cumsum(counts)
        owners = np.repeat(np.arange(len(ids)), counts)
        places = np.arange(len(owners)) + np.repeat(starts - ends + counts, counts)
        escaped = np.zeros(len(ids), dtype=np.bool_)
        escaped[owners[self._escaped[places]]] = True
        return Brood(owners, ends, self._chosen(places), escaped)

    def _chosen(self, places: npt.NDArray[np.int64]) -> dict[str, list[bytes]]:
        """Return the fields of some children, in ascending order."""
        if len(places) == len(self._parents):
            return self._columns
        at = places.tolist()
        return {field: list(map(column.__getitem__, at)) for field, column in self._columns.items()}

    def platforms(self, ids: npt.NDArray[np.int64]) -> list[list[Any] | None]:
        """Return the children of rows as ImageRow has them; None for none."""
        brood = self.of(ids)
        children = read_children([brood.columns[child_field(field)] for field in CHILD])
        return [list(found) or None for found in brood.by_row(children)]


class FamilyWeaver(RowWeaver):
    """Weaves multi-architecture rows."""

    def __init__(self, encode: Callable[[ImageRow], bytes], fields: Sequence[str]) -> None:
        """Weave what `encode` gives for rows that differ in `fields` and their children."""
        super().__init__(encode, fields)
        self._children = Weaver(_DIVIDER)
        self._child_texts: list[int] = []
        self._between: bytes | None = None
        self._met: set[tuple[Any, ...]] = set()

    def _learned(self, example: ImageRow, *, thoroughly: bool) -> int | None:
        text = family_text(self._encode, example, fields_of(example, self._fields), thoroughly=thoroughly)
        if text is None or _DIVIDER in b"".join(text.child.parts) or self._between not in {None, text.between}:
            return None
        child = self._children.add(text.child)
        number = None if child is None else self._rows.add(text.row)
        if child is not None and number is not None:
            self._child_texts.append(child)
            self._between = text.between
        return number

    @property
    def met(self) -> int:
        """How many kinds of children it has met."""
        return len(self._met)

    def unproven(self, kinds: npt.NDArray[np.int64], brood: Brood) -> list[int]:
        """Return rows with a child the like of which no row of the same kind had before; from now on some row had."""
        owners = brood.owners.tolist()
        likes = zip(kinds[brood.owners].tolist(), *map(brood.columns.__getitem__, _SEEN), strict=True)
        met = dict(zip(likes, owners, strict=True))
        new = met.keys() - self._met
        self._met |= new
        return sorted({met[like] for like in new})

    def forbid(self, kinds: Sequence[int]) -> None:
        """Weave no rows of these kinds any more: they did not become what they are."""
        self.woven[kinds] = NEVER

    def weave_children(
        self, kinds: npt.NDArray[np.int64], columns: Mapping[str, Sequence[bytes]], brood: Brood
    ) -> list[bytes]:
        """Return the texts of rows' children, by row; `columns` are the rows'."""
        owners = brood.owners.tolist()
        inherited = {
            field: list(map(columns[field].__getitem__, owners)) for field in self._children.order if field in columns
        }
        texts = list(map(self._child_texts.__getitem__, self.woven[kinds[brood.owners]].tolist()))
        woven = bytes(self._children.weave(texts, {**brood.columns, **inherited}))
        return list(map((self._between or b"").join, brood.by_row(woven.split(_DIVIDER)[1:])))
