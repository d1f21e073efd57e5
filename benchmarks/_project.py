"""A seeded synthetic project with the skew of the field, as columns.

50,000 names by Zipf in 500 namespaces of 10 registries; half of the tags stand once, the others are the versions that
every repository has; a third was never scanned; scans end at the same ten seconds; a few are multi-architecture.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from imagewarden.model.registry_kind import RegistryType
from imagewarden.model.scan import RiskLevel, ScanStatus

__all__ = [
    "NAMES",
    "NAMESPACES",
    "NEWEST",
    "REGISTRIES",
    "RISKS",
    "SPAN",
    "STATUSES",
    "Images",
    "Numbers",
    "Registry",
    "make",
]

NAMESPACES = 500
NAMES = 50_000
NEWEST = 1_760_000_000_000
"""The last instant at which anything happened, ms."""
SPAN = 730 * 86_400_000
"""Two years, ms."""
_HELD = 0.02
"""Rows that the last sync did not see."""


class Registry(NamedTuple):
    """One of the project's registries."""

    name: str
    type: RegistryType
    share: float
    """Of the rows."""
    enterprise_project: str = "0"
    instance: str = ""
    """Name of the SWR enterprise instance."""

    @property
    def id(self) -> str:
        """32 hex digits."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:32]


REGISTRIES = (
    Registry("swr-main", RegistryType.SWR_PRIVATE, 0.35),
    Registry("harbor-build", RegistryType.HARBOR, 0.2),
    Registry("swr-payments", RegistryType.SWR_PRIVATE, 0.15, "ep-payments"),
    Registry("instance-prod", RegistryType.SWR_ENTERPRISE, 0.1, "0", "prod"),
    Registry("swr-shared", RegistryType.SWR_SHARED, 0.06),
    Registry("jfrog", RegistryType.JFROG, 0.05),
    Registry("oci-edge", RegistryType.OTHER, 0.04, "ep-edge"),
    Registry("instance-lab", RegistryType.SWR_ENTERPRISE, 0.03, "0", "lab"),
    Registry("harbor-old", RegistryType.HARBOR, 0.01),
    Registry("oci-mirror", RegistryType.OTHER, 0.01),
)
STATUSES = (
    (ScanStatus.SUCCESS, 0.58),
    (ScanStatus.UNSCAN, 0.28),
    (ScanStatus.FAILED, 0.05),
    (ScanStatus.DOWNLOAD_FAILED, 0.035),
    (ScanStatus.WAITING_FOR_SCAN, 0.03),
    (ScanStatus.IMAGE_OVERSIZED, 0.015),
    (ScanStatus.SCANNING, 0.01),
)
_SUCCESS, _UNSCAN, _WAITING, _SCANNING = 0, 1, 4, 6
RISKS = tuple(RiskLevel)
_RISK_SHARES = (0.55, 0.2, 0.15, 0.1)
_AREAS = ("team", "shop", "data", "infra", "mobile", "lab", "pay", "edge", "search", "core")
_FIRST = ("auth", "billing", "cart", "catalog", "chat", "crawler", "etl", "feed", "gateway", "geo", "image", "ledger",
          "mail", "order", "price", "queue", "report", "stock", "token", "user")  # fmt: skip
_SECOND = ("api", "agent", "batch", "cache", "cron", "db", "export", "front", "hook", "import", "index", "job", "kit",
           "mesh", "proxy", "server", "sync", "web", "worker", "store")  # fmt: skip
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """The project's rows as columns, one element a row; ids count from 1."""

    seed: int
    registry: Numbers
    namespace: Numbers
    name: Numbers
    rank: Numbers
    """Number within the repository; names the tag, but where that is one of its own."""
    own_tag: npt.NDArray[np.bool_]
    size: Numbers
    status: Numbers
    """Place in STATUSES."""
    risk: Numbers
    """Place in RiskLevel, -1 for none."""
    form: Numbers
    """0 and 1 for two architectures, 2 for several in one."""
    is_latest: npt.NDArray[np.bool_]
    updated: Numbers
    synced: Numbers
    scanned: Numbers
    """-1 for rows that were never scanned."""
    vulnerabilities: Numbers
    unsafe: Numbers
    malicious: Numbers

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.registry)

    def namespace_text(self, code: int) -> str:
        """Return a namespace."""
        return f"{_AREAS[code % 10]}-{code // 10}"

    def name_text(self, code: int) -> str:
        """Return a name."""
        return f"{_FIRST[code % 20]}-{_SECOND[code // 20 % 20]}-{code // 400}"

    def tag_text(self, row: int) -> str:
        """Return the tag of a row."""
        if not self.own_tag[row]:
            rank = self.rank[row]
            return f"1.{rank}" if rank else "latest"
        mixed = (row + 1) * 0x9E3779B97F4A7C15 & (2**40 - 1)  # an odd factor: no two rows' are the same
        return f"{row % 9}.{row % 13}.{row % 31}-{mixed:010x}{'' if row % 29 else '-SNAPSHOT'}"


def _skewed(chance: np.random.Generator, values: int, count: int, exponent: float) -> Numbers:
    """Return `count` of so many values by Zipf's law, the frequent ones anywhere among them."""
    shares = np.cumsum(1 / np.arange(1, values + 1) ** exponent)
    ranks = np.searchsorted(shares, chance.random(count) * shares[-1])
    found: Numbers = chance.permutation(values)[ranks]
    return found


def _repositories(chance: np.random.Generator, rows: int) -> tuple[Numbers, Numbers, Numbers]:
    """Return registry, namespace and name of each row."""
    name = _skewed(chance, NAMES, rows, 1.0)
    home = _skewed(chance, NAMESPACES, NAMES, 0.8)
    elsewhere = chance.random(rows) < 0.2
    namespace = np.where(elsewhere, _skewed(chance, NAMESPACES, rows, 0.8), home[name])
    shares = [each.share for each in REGISTRIES]
    of_namespace = chance.choice(len(REGISTRIES), NAMESPACES, p=shares)
    astray = chance.random(rows) < 0.3
    registry_of = np.where(astray, chance.choice(len(REGISTRIES), rows, p=shares), of_namespace[namespace])
    return registry_of, namespace, name


def _places(repository: Numbers, updated: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Return each row's number within its repository, and whether it is the newest one there."""
    order = np.lexsort((updated, repository))
    starts = np.flatnonzero(np.diff(repository[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    newest = np.zeros(len(order), dtype=np.bool_)
    newest[order[starts + sizes - 1]] = True
    return rank, newest


def _scans(chance: np.random.Generator, updated: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return state, end of the last scan and risk level of each row; half of what was scanned was so lately."""
    rows = len(updated)
    status = chance.choice(len(STATUSES), rows, p=[share for _, share in STATUSES])
    lately = np.maximum(updated, NEWEST - (chance.random(rows) * 14 * 86_400_000).astype(np.int64))
    ever = updated + ((NEWEST - updated) * chance.random(rows)).astype(np.int64)
    ended = np.where(chance.random(rows) < 0.5, lately, ever) // 10_000 * 10_000
    again = np.isin(status, (_WAITING, _SCANNING))
    never = (status == _UNSCAN) | (again & (chance.random(rows) < 0.5))
    found = chance.choice(len(RISKS), rows, p=_RISK_SHARES)
    known = ~never & (again | (status == _SUCCESS))
    return status, np.where(never, -1, ended), np.where(known, found, -1)


def make(rows: int, seed: int) -> Images:
    """Return the rows of a seed."""
    chance = np.random.default_rng(seed)
    registry_of, namespace, name = _repositories(chance, rows)
    updated = NEWEST - (SPAN * chance.random(rows) ** 1.5).astype(np.int64)
    status, scanned, risk = _scans(chance, updated)
    rank, is_latest = _places((registry_of * NAMESPACES + namespace) * NAMES + name, updated)
    own_tag = chance.random(rows) < 0.5
    synced = np.where(chance.random(rows) < _HELD, updated, NEWEST - registry_of * 137_000)
    form = chance.choice(3, rows, p=(0.8, 0.15, 0.05))
    size = chance.lognormal(18.5, 1.2, rows).astype(np.int64)
    vulnerabilities = np.where(risk > 0, chance.geometric(0.05, rows), 0)
    unsafe = np.where((risk >= 0) & (chance.random(rows) < 0.12), chance.integers(1, 9, rows), 0)
    malicious = ((risk >= 0) & (chance.random(rows) < 0.003)).astype(np.int64)
    return Images(
        seed, registry_of, namespace, name, rank, own_tag, size, status, risk, form, is_latest,
        updated, synced, scanned, vulnerabilities, unsafe, malicious,
    )  # fmt: skip
