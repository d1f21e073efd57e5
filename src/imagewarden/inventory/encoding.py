"""Blocks of rows to columns and bytes: most rows many at a time, the others one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.inventory.batch import FLAG_BITS, NUMBER_COLUMNS
from imagewarden.inventory.blocks import ALIKE, CHILD, FIELD, LINE, NEVER_SCANNED, Block, Lines, Registries, read_lines
from imagewarden.inventory.families import Children, FamilyWeaver
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.kinds import Kinds, newest
from imagewarden.inventory.parts import ALIKE_TERMS, Numbered, Part, Rows, joined_rows
from imagewarden.inventory.records import Record, values_of
from imagewarden.inventory.rowfile import RowFileWriter
from imagewarden.inventory.rows import ImageRow
from imagewarden.inventory.rowtext import OPTIONAL, PLATFORMS
from imagewarden.inventory.unpacking import records_in, records_of
from imagewarden.inventory.weaving import UNKNOWN, RowWeaver, seal

__all__ = ["BlockEncoder"]

_PIECE = 512
"""Rows at a time, so that they stay in the processor's caches."""
_NUMBERED = 1 << 18
"""Texts that have numbers, about: then all are forgotten."""
_LEARNED = 256
_ROWS_TO_LEARN = 64
"""So many kinds of rows are learned, and one more for so many rows: to learn costs as much as some rows one by one."""
_COLUMNS = 1 + len(LINE)
_PLACE = {field: at for at, field in enumerate(LINE, 1)}
"""Where a line has its fields."""
_COUNTS = (
    ImageColumn.VULNERABILITY_COUNT,
    ImageColumn.UNSAFE_SETTING_COUNT,
    ImageColumn.MALICIOUS_FILE_COUNT,
)

Numbers = npt.NDArray[np.uint32]


class _Piece(NamedTuple):
    """Some lines; every array has one element a line."""

    flat: list[bytes]
    """All fields."""
    alike: Numbers
    """Numbers of the first fields."""
    kinds: npt.NDArray[np.int64]
    """Kinds of rows, as RowWeaver has it."""
    flags: npt.NDArray[np.uint8]
    """As Batch has it, but for ImageColumn.IS_LATEST."""
    widths: npt.NDArray[np.int64]
    """How many bytes the other fields have."""
    odd: npt.NDArray[np.bool_]
    """Which lines cannot be woven."""

    def column(self, field: str) -> list[bytes]:
        """Return a field of LINE."""
        return self.flat[_PLACE[field] :: _COLUMNS]

    def columns(self) -> dict[str, list[bytes]]:
        """Return all fields of LINE."""
        return {field: self.flat[at::_COLUMNS] for field, at in _PLACE.items()}

    def only(self, chosen: npt.NDArray[np.bool_]) -> "_Piece":
        """Return some of the lines."""
        starts = (np.flatnonzero(chosen) * _COLUMNS).tolist()
        flat = [field for start in starts for field in self.flat[start : start + _COLUMNS]]
        return _Piece(
            flat, self.alike[chosen], self.kinds[chosen], self.flags[chosen], self.widths[chosen], self.odd[chosen]
        )


class _Woven(NamedTuple):
    """Lines and what was woven of them."""

    piece: _Piece
    columns: dict[str, list[bytes]]
    numbers: dict[ImageColumn, npt.NDArray[np.int64]]
    rows: bytearray
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def row(self, at: int) -> bytes:
        """Return the bytes of one row."""
        return bytes(self.rows[self.starts[at] : self.starts[at] + self.lengths[at]])


class _Collected:
    """What becomes a part."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.tags: list[bytes] = []
        self.records: list[Record] = []
        self.refused: list[int] = []


class BlockEncoder:
    """Encodes blocks into one row file."""

    def __init__(self, encode: Callable[[ImageRow], bytes], registries: Registries, writer: RowFileWriter) -> None:
        """Take what all blocks have in common."""
        self._encode = encode
        self._registries = registries
        self._writer = writer
        self._seen = 0
        self._forget()

    def _forget(self) -> None:
        """Give out numbers anew: there must not be ever more of them."""
        self._kinds = Kinds(self._registries)
        self._namespaces = Numbered[bytes]()
        self._names = Numbered[bytes]()
        self._rows = RowWeaver(self._encode, LINE)
        self._families = FamilyWeaver(self._encode, LINE)
        self._learned = 0
        self._anew = True

    def encode(self, blocks: Sequence[Block]) -> Part:
        """Return the rows of blocks, whose bytes are in the row file then; raises OSError."""
        if len(self._kinds) + len(self._namespaces) + len(self._names) + self._families.met > _NUMBERED:
            self._forget()
        known = len(self._kinds), len(self._namespaces), len(self._names)
        out = _Collected()
        self._collect(blocks, out)
        out.rows.append(self._one_by_one(out.records))
        self._writer.flush()
        anew, self._anew = self._anew, False
        return Part(
            rows=joined_rows(out.rows),
            tags=FIELD.join(out.tags),
            last_tags=[record.row.tag.encode() for record in out.records],
            new_alike=self._kinds.terms[known[0] :],
            new_namespaces=newest(self._namespaces, len(self._namespaces) - known[1]),
            new_names=newest(self._names, len(self._names) - known[2]),
            anew=anew,
            refused=out.refused,
        )

    def _collect(self, blocks: Sequence[Block], out: _Collected) -> None:
        """Read blocks; those that cannot be are refused."""
        plain = read_lines([(it.plain_lines, it.plain) for it in blocks], _COLUMNS, len(ALIKE))
        parents = read_lines([(it.parent_lines, it.parents) for it in blocks], _COLUMNS, len(ALIKE))
        children = read_lines([(it.child_lines, it.children) for it in blocks], len(CHILD))
        records = [record for block in blocks for record in records_in(block.records, self._registries)]
        if (
            plain is not None and parents is not None and children is not None
            and len(plain) + len(parents) + len(records) == sum(block.total for block in blocks)
            and len(children) == sum(block.children_total for block in blocks)
        ):  # fmt: skip
            out.records += records
            self._plain(plain, out)
            self._parents(parents, Children(children), out)
        elif len(blocks) > 1:
            for block in blocks:
                self._collect([block], out)
        else:
            out.refused.append(blocks[0].first)

    def _plain(self, lines: Lines, out: _Collected) -> None:
        """Encode rows of one architecture."""
        for read in self._pieces(lines):
            piece = self._sorted_out(read, self._rows, None, out)
            if len(piece.alike):
                self._append(self._woven(piece, self._rows, {}), out)

    def _parents(self, lines: Lines, children: Children, out: _Collected) -> None:
        """Encode multi-architecture rows."""
        weaver = self._families
        for read in self._pieces(lines):
            odd = read.odd | children.of(_integers(read.column("id"))).escaped
            piece = self._sorted_out(read._replace(odd=odd), weaver, children, out)
            if not len(piece.alike):
                continue
            brood = children.of(_integers(piece.column("id")))
            inside = weaver.weave_children(piece.kinds, piece.columns(), brood)
            widths = piece.widths + np.array(list(map(len, inside)), dtype=np.int64)
            flags = piece.flags | np.uint8(FLAG_BITS[ImageColumn.IS_INDEX])
            woven = self._woven(piece._replace(widths=widths, flags=flags), weaver, {PLATFORMS: inside})
            wrong = self._wrong(piece, woven, children, weaver.unproven(piece.kinds, brood))
            if wrong:
                weaver.forbid(wrong)
                out.records += self._records(piece, children)
            else:
                self._append(woven, out)

    def _wrong(self, piece: _Piece, woven: _Woven, children: Children, rows: list[int]) -> list[int]:
        """Return the kinds of those of some rows that are not woven as they are encoded."""
        chosen = np.zeros(len(piece.alike), dtype=np.bool_)
        chosen[rows] = True
        records = self._records(piece.only(chosen), children) if rows else []
        return [
            int(piece.kinds[row])
            for row, record in zip(rows, records, strict=True)
            if woven.row(row) != self._encode(record.row)
        ]

    def _pieces(self, lines: Lines) -> Iterator[_Piece]:
        """Yield lines as pieces; none of their numbers is new then."""
        escaped = lines.escaped()
        if escaped is None:
            escaped = np.zeros(len(lines), dtype=np.bool_)
        lacking = lines.begins(_PLACE[OPTIONAL], NEVER_SCANNED)
        widths = lines.widths() - len(NEVER_SCANNED) * lacking
        flags = np.zeros(len(lines), dtype=np.uint8)
        for column in _COUNTS:
            flags |= np.where(lines.begins(_PLACE[column.value], b"0"), np.uint8(0), np.uint8(FLAG_BITS[column]))
        for which, flat in lines.pieces(_PIECE):
            alike = self._kinds.numbers(flat[::_COLUMNS])
            kinds = alike.astype(np.int64) * 2 + lacking[which]
            yield _Piece(flat, alike, kinds, flags[which], widths[which], escaped[which])

    def _sorted_out(self, piece: _Piece, weaver: RowWeaver, children: Children | None, out: _Collected) -> _Piece:
        """Return the lines that can be woven; the others become records."""
        weaver.widen(2 * len(self._kinds))
        self._seen += len(piece.alike)
        unknown = (weaver.woven[piece.kinds] == UNKNOWN) & ~piece.odd
        if unknown.any():
            self._learn(piece, np.flatnonzero(unknown), weaver, children)
        odd = piece.odd | (weaver.woven[piece.kinds] < 0)
        if not odd.any():
            return piece
        out.records += self._records(piece.only(odd), children)
        return piece.only(~odd)

    def _learn(self, piece: _Piece, rows: npt.NDArray[np.int64], weaver: RowWeaver, children: Children | None) -> None:
        """Learn to weave some rows, each like at least one of those given."""
        kinds, firsts = np.unique(piece.kinds[rows], return_index=True)
        for kind, first in zip(kinds.tolist(), firsts.tolist(), strict=True):
            if self._learned >= _LEARNED + self._seen // _ROWS_TO_LEARN:
                return
            chosen = np.zeros(len(piece.alike), dtype=np.bool_)
            chosen[rows[first]] = True
            (example,) = self._records(piece.only(chosen), children)
            weaver.learn(kind, example.row)
            self._learned += 1

    def _records(self, piece: _Piece, children: Children | None) -> list[Record]:
        """Return lines as rows; given children, they are multi-architecture rows."""
        alike = [self._kinds.values[number] for number in piece.alike.tolist()]
        platforms = None if children is None else children.platforms(_integers(piece.column("id")))
        return records_of(piece.flat, alike, platforms)

    def _woven(self, piece: _Piece, weaver: RowWeaver, more: Mapping[str, list[bytes]]) -> _Woven:
        """Weave lines, whose other fields are in `more`."""
        columns = piece.columns()
        numbers = {column: _integers(columns[column.value]) for column in NUMBER_COLUMNS}
        scanned = columns[OPTIONAL]
        for at in np.flatnonzero(piece.kinds % 2).tolist():
            scanned[at] = b""
        rows, constant = weaver.weave(piece.kinds, {**columns, **more})
        lengths = constant + piece.widths
        return _Woven(piece, columns, numbers, rows, seal(rows, lengths), lengths)

    def _append(self, woven: _Woven, out: _Collected) -> None:
        """Write woven rows."""
        piece, columns = woven.piece, woven.columns
        out.tags.append(FIELD.join(columns["tag"]))
        rows = Rows(
            ids=_integers(columns["id"]),
            numbers=woven.numbers,
            alike=piece.alike,
            namespaces=_numbers(self._namespaces, columns["namespace"]),
            names=_numbers(self._names, columns["name"]),
            flags=piece.flags | self._kinds.latest[piece.alike],
            row_at=woven.starts + self._writer.append_block(woven.rows),
            row_length=woven.lengths.astype(np.uint32),
        )
        out.rows.append(rows)

    def _one_by_one(self, records: list[Record]) -> Rows:
        """Encode rows that have nothing of others."""
        values = values_of(records, self._encode, self._writer)
        alike = list(zip(*(values.terms[column] for column in ALIKE_TERMS), strict=True))
        return Rows(
            ids=values.ids,
            numbers=values.numbers,
            alike=self._kinds.numbers(alike),
            namespaces=_numbers(self._namespaces, values.terms[ImageColumn.NAMESPACE]),
            names=_numbers(self._names, values.terms[ImageColumn.NAME]),
            flags=values.flags,
            row_at=values.row_at,
            row_length=values.row_length,
        )


def _numbers(numbered: Numbered[bytes], texts: list[bytes]) -> Numbers:
    return np.array(list(map(numbered.__getitem__, texts)), dtype=np.uint32)


def _integers(texts: list[bytes]) -> npt.NDArray[np.int64]:
    return np.fromstring(b" ".join(texts), dtype=np.int64, sep=" ")
