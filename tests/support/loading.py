"""Rows of all kinds for tests of how they are read: stored in two projects, and what they are expected to become."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg
from hypothesis import strategies as st
from psycopg import sql

from imagewarden.api.v5.image_rows import ENCODING
from imagewarden.inventory.batch import FLAG_BITS, NUMBER_COLUMNS, ROW_FILE_SHIFT, TERM_COLUMNS, Batch
from imagewarden.inventory.blocks import PART
from imagewarden.inventory.filters import ImageColumn
from imagewarden.inventory.loading import RowSpace, load_project, load_records
from imagewarden.inventory.records import batch_of_records
from imagewarden.inventory.rowfile import RowFileReader, RowFileWriter, row_file_path
from imagewarden.inventory.rows import ImageRow, PlatformRow
from imagewarden.inventory.vocabulary import Terms
from imagewarden.model.registry_kind import ImageType, RegistryType
from imagewarden.model.scan import FailureCode, RiskLevel, ScanStatus
from tests.support.columns import new_terms

__all__ = [
    "OTHER",
    "PROJECT",
    "Kept",
    "furnish",
    "images",
    "kept",
    "kept_of",
    "many",
    "plain_image",
    "project",
    "rows",
    "snapshot",
    "space",
    "store",
]  # fmt: skip

PROJECT, OTHER = "1" * 32, "2" * 32
_REGISTRIES = {f"{at:032x}": (f'"registry" {kind}\u00e9', kind.value) for at, kind in enumerate(RegistryType)}
_LARGEST = 2**63 - 1

Image = dict[str, Any]
Encode = Callable[[ImageRow], bytes]


def furnish(connection: psycopg.Connection) -> None:
    """Make two projects, and a registry of each type."""
    connection.execute("INSERT INTO domain (id, name, created_at) VALUES ('d', 'd', 0)")
    connection.execute("INSERT INTO enterprise_project (domain_id, id, name) VALUES ('d', '0', 'default')")
    for project in (PROJECT, OTHER):
        connection.execute(
            "INSERT INTO project (id, domain_id, name, created_at) VALUES (%s, 'd', %s, 0)", (project, project)
        )
    for number, (name, kind) in _REGISTRIES.items():
        connection.execute(
            "INSERT INTO registry (id, project_id, domain_id, name, type, url, created_at)"
            " VALUES (%s, %s, 'd', %s, %s, '', 0)",
            (number, PROJECT, name, kind),
        )


def plain_image(number: int, **changes: Any) -> Image:
    """Return an image like most."""
    return {
        "id": number, "project_id": PROJECT, "enterprise_project_id": "0", "registry_id": f"{0:032x}",
        "namespace": f"team-{number % 7}", "name": f"service-{number % 50}", "tag": f"v{number}",
        "digest": f"sha256:{number:064x}", "config_digest": f"{number:064x}", "kind": "harbor", "media_type": "",
        "size": number % 10**9, "os": "linux", "architecture": "amd64", "variant": "", "is_latest": number % 5 == 0,
        "scannable": True, "is_index": False, "updated_at": 1_700_000_000_000 + number % 1000, "synced_at": number,
        "scanned_at": number if number % 3 else None, "scan_status": "success", "failure_code": None,
        "failure_reason": None, "vulnerability_count": number % 4, "unsafe_setting_count": number % 3,
        "malicious_file_count": 0, "risk_level": "High", "owner_domain": None, "share_status": None,
        "instance_id": "", "instance_name": "", "instance_url": "", "sync_run_id": 1, "removed_at": None,
        "children": [],
    } | changes  # fmt: skip


_ODD = (
    "", '"', "\\", "a\\nb", "\t", "\n", "\r", "\x01", "\x1d", "\x1e", "\x1f", "a\x1fb", "\x1f" * 13, "\x7f",
    "-1", "\\N", "{}", "\u0080", "\u00e9", "\u2028", "\ufffe", "\U0001f600", "</script>",
    "Mark001Qx", "x" * 5000, "\u20ac" * 30000,
)  # fmt: skip
_usual = st.sampled_from(("a", "web", "v1"))
_text = st.one_of(
    _usual, _usual, _usual, st.sampled_from(range(len(_ODD))).map(lambda at: _ODD[at]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
)  # fmt: skip
_count = st.sampled_from((0, 0, 1, 10, 2**31 - 1))
_moment = st.one_of(st.sampled_from((0, 1, -1, 1_700_000_000_000, _LARGEST, -(2**63))), st.integers(-(2**63), _LARGEST))
_some_id = st.one_of(st.integers(1, 40), st.sampled_from((_LARGEST, _LARGEST - 1, _LARGEST - 600, 2**53 + 1)))
_child = st.fixed_dictionaries({
    "digest": _text, "config_digest": _text, "os": _text, "architecture": _text, "variant": st.just(""),
    "scan_status": st.sampled_from(list(ScanStatus)).map(str),
    "vulnerability_count": _count, "unsafe_setting_count": _count, "malicious_file_count": _count,
})  # fmt: skip


def _choice(kind: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([member.value for member in kind])


_image = st.builds(
    lambda number, changes: plain_image(number) | changes,
    _some_id,
    st.fixed_dictionaries({}, optional={
        "project_id": st.sampled_from((PROJECT, PROJECT, OTHER)), "enterprise_project_id": _text,
        "registry_id": st.sampled_from(list(_REGISTRIES)), "namespace": _text, "name": _text, "tag": _text,
        "digest": _text, "config_digest": _text, "kind": _choice(ImageType),
        "size": st.one_of(_count, st.just(_LARGEST)), "os": _text, "architecture": _text, "variant": _text,
        "is_latest": st.booleans(), "scannable": st.booleans(), "is_index": st.booleans(), "updated_at": _moment,
        "synced_at": _moment, "scanned_at": st.none() | _moment, "scan_status": _choice(ScanStatus),
        "failure_code": st.none() | _choice(FailureCode), "failure_reason": st.none() | _text,
        "vulnerability_count": _count, "unsafe_setting_count": _count, "malicious_file_count": _count,
        "risk_level": st.none() | _choice(RiskLevel), "owner_domain": st.none() | _text,
        "share_status": st.sampled_from((None, "expired", "effective")), "instance_id": _text, "instance_name": _text,
        "instance_url": _text, "removed_at": st.sampled_from((None, None, None, 5)),
        "children": st.lists(_child, max_size=3),
    }),
)  # fmt: skip
images = st.lists(
    _image,
    max_size=12,
    unique_by=(lambda it: it["id"], lambda it: (it["registry_id"], it["namespace"], it["name"], it["tag"])),
)
"""Images in no order, most of them in the first project, some of them removed; `children` are theirs if indexes."""


def store(connection: psycopg.Connection, stored: Sequence[Image]) -> None:
    """Store images in the order given, and their children; gives these their ids."""
    next_id = count(10**12)
    children = [
        (child, {"id": next(next_id), "parent_id": each["id"], "position": position, "size": 1})
        for each in stored
        for position, child in enumerate(each["children"])
    ]
    for child, more in children:
        child["id"] = more["id"]
    with connection.transaction():
        _insert(connection, "image", [{key: each[key] for key in each if key != "children"} for each in stored])
        _insert(connection, "image_platform", [child | more for child, more in children])


def _insert(connection: psycopg.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        names = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
        places = sql.SQL(", ").join(map(sql.Placeholder, rows[0]))
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, places)
        connection.cursor().executemany(insert, rows)


class Kept(NamedTuple):
    """What the model keeps of a row."""

    numbers: dict[ImageColumn, int]
    """By column of NUMBER_COLUMNS."""
    terms: dict[ImageColumn, bytes]
    """By column of TERM_COLUMNS."""
    flags: int
    """Bits of FLAG_BITS."""
    row: bytes
    """The bytes that are sent."""


def kept(stored: Sequence[Image], project: str = PROJECT, encode: Encode = ENCODING.encode) -> dict[int, Kept]:
    """Return what the model has to keep of a project's images, by id, in order of id."""
    live = [each for each in stored if each["project_id"] == project and each["removed_at"] is None]
    return {each["id"]: _kept(each, encode) for each in sorted(live, key=lambda it: it["id"])}


def _kept(stored: Image, encode: Encode) -> Kept:
    name, kind = _REGISTRIES[stored["registry_id"]]
    children = [[child[field] for field in PlatformRow.__struct_fields__] for child in stored["children"]]
    values = stored | {
        "registry_name": name, "registry_type": kind, "platforms": (children or None) if stored["is_index"] else None
    }  # fmt: skip
    return Kept(
        numbers={column: -1 if values[column] is None else values[column] for column in NUMBER_COLUMNS},
        terms={column: (values[column] or "").encode() for column in TERM_COLUMNS},
        flags=sum(bit for column, bit in FLAG_BITS.items() if values[column]),
        row=encode(ImageRow(**{field: values[field] for field in ImageRow.__struct_fields__})),
    )


def kept_of(batch: Batch, terms: Mapping[ImageColumn, Terms], folder: Path) -> dict[int, Kept]:
    """Return what a batch keeps, by id in its order."""
    texts = {column: list(terms[column].added) for column in TERM_COLUMNS}
    readers: dict[int, RowFileReader] = {}
    found = {}
    for place, number in enumerate(batch.ids.tolist()):
        file, offset = divmod(int(batch.row_at[place]), 1 << ROW_FILE_SHIFT)
        if file not in readers:
            readers[file] = RowFileReader(row_file_path(folder, file))
        found[number] = Kept(
            numbers={column: int(batch.numbers[column][place]) for column in NUMBER_COLUMNS},
            terms={column: texts[column][batch.codes[column][place]] for column in TERM_COLUMNS},
            flags=int(batch.flags[place]),
            row=readers[file].row(offset, int(batch.row_length[place])),
        )
    for reader in readers.values():
        reader.close()
    assert len(found) == len(batch.ids)
    return found


def space(folder: Path) -> RowSpace:
    """Return a row space in a folder."""
    numbers = count(7)
    return RowSpace(folder, lambda: next(numbers))


@contextmanager
def snapshot(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Begin the transaction that rows are read in; nothing of it is left."""
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    try:
        with connection.transaction(force_rollback=True):
            yield connection
    finally:
        connection.isolation_level, connection.read_only = None, None


def many() -> list[dict[str, Any]]:
    """Return 3,000 images: single and multi-architecture, failed, shared, removed, with texts of all kinds."""

    def child(number: int, at: int) -> dict[str, Any]:
        return {
            "digest": f"sha256:{number}-{at}", "config_digest": f"{number}{at}", "os": "linux",
            "architecture": ("amd64", "arm64", 'x"86')[at if number % 77 else 2], "variant": "",
            "scan_status": ("success", "unscan")[at % 2], "vulnerability_count": at, "unsafe_setting_count": 0,
            "malicious_file_count": 3,
        }  # fmt: skip

    found = []
    for number in range(3000, 0, -1):
        changes: dict[str, Any] = {}
        if number % 11 == 0:
            changes |= {"is_index": True, "os": "", "children": [child(number, at) for at in range(number % 3)]}
        if number % 97 == 0:
            changes |= {"scan_status": "failed", "failure_code": "response_timed_out", "failure_reason": 'no "answer"'}
        if number % 103 == 0:
            changes |= {"owner_domain": "owner", "share_status": "expired"}
            changes |= {"tag": "\x1f" if number == 1030 else "1.0"}  # its block is read one by one
        if number % 107 == 0:
            changes |= {"name": f"{PART.decode() if number == 535 else ''}\u00e9{number}\\"}
        if number % 109 == 0:
            changes |= {"removed_at": 1}
        if number % 113 == 0:
            changes |= {"project_id": OTHER}
        if number % 127 == 0:
            changes |= {"risk_level": None, "scanned_at": None, "registry_id": f"{1:032x}"}
        found.append(plain_image(number, **changes))
    return found


def project(
    connection: psycopg.Connection,
    project_id: str = PROJECT,
    encode: Encode = ENCODING.encode,
    processes: int = 0,
) -> dict[int, Kept]:
    """Return what is kept of a project that is read as a whole."""
    with TemporaryDirectory() as name, snapshot(connection):
        terms = new_terms()
        batch = load_project(connection, project_id, terms, encode, space(Path(name)), processes=processes)
        found = kept_of(batch, terms, Path(name))
        used = {row_file_path(Path(name), number) for number in np.unique(batch.row_at >> 40).tolist()}
        assert {*Path(name).iterdir()} == used
    assert_types(batch)
    return found


def rows(connection: psycopg.Connection, ids: list[int], project_id: str = PROJECT) -> dict[int, Kept]:
    """Return what is kept of rows that are read one by one."""
    with TemporaryDirectory() as name, snapshot(connection):
        terms = new_terms()
        with RowFileWriter(row_file_path(Path(name), 9), 9) as writer:
            batch = batch_of_records(load_records(connection, project_id, ids), terms, ENCODING.encode, writer)
        found = kept_of(batch, terms, Path(name))
    assert_types(batch)
    return found


def assert_types(batch: Batch) -> None:
    """Check that all arrays are as Batch says."""
    assert [batch.ids.dtype, batch.row_at.dtype, batch.row_length.dtype, batch.flags.dtype] == ["i8", "i8", "u4", "u1"]
    assert {array.dtype.str for array in batch.numbers.values()} == {"<i8"}
    assert {array.dtype.str for array in batch.codes.values()} == {"<u4"}
    assert batch.codes.keys() == {*TERM_COLUMNS}
    arrays: list[npt.NDArray[Any]] = [batch.flags, batch.row_at, batch.row_length]
    arrays += [*batch.numbers.values(), *batch.codes.values()]
    assert {len(array) for array in arrays} == {len(batch.ids)}
