"""The questions of the benchmark: shapes of a query, each with ever other values, seeded."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks._project import NAMES, NEWEST, REGISTRIES, STATUSES, Images, Numbers
from imagewarden.inventory.filters import ANY_FAILED, ImageFilter, ImageOrder, TimeRange
from imagewarden.model.registry_kind import IMAGE_TYPES, ImageType
from imagewarden.model.scan import RiskLevel, ScanStatus

__all__ = ["Question", "Shape", "shapes"]

_DAY = 86_400_000
BY_ID, NEWEST_ID = ImageOrder(), ImageOrder(descending=True)
BY_SCAN, LAST_SCAN = ImageOrder(by_scan_time=True), ImageOrder(by_scan_time=True, descending=True)
_OTHER_KINDS = tuple(kind for kind in ImageType if kind is not IMAGE_TYPES[REGISTRIES[1].type])
_DEFAULT = frozenset({"0"})
"""The enterprise project of a request that names none."""


class Question(NamedTuple):
    """What is asked once."""

    asked: ImageFilter
    order: ImageOrder
    offset: int
    limit: int


class _Values:
    """Values of one question: seeded, so that every engine gets the same."""

    def __init__(self, images: Images, chance: np.random.Generator) -> None:
        self._images = images
        self._chance = chance
        self.drawn = False
        """Whether anything but the page differs from question to question."""

    @property
    def chance(self) -> np.random.Generator:
        """What values are drawn from."""
        self.drawn = True
        return self._chance

    def row(self, among: Numbers | None = None) -> int:
        """Return a row at random: what it holds is met as often as it is there."""
        at = int(self.chance.integers(len(self._images) if among is None else len(among)))
        return at if among is None else int(among[at])

    def namespace(self) -> str:
        """Return a namespace, the larger the likelier."""
        return self._images.namespace_text(int(self._images.namespace[self.row()]))

    def name(self, *, rare: bool = False) -> str:
        """Return a name, the more frequent the likelier; or any name, of which most are rare."""
        code = int(self.chance.integers(NAMES)) if rare else int(self._images.name[self.row()])
        return self._images.name_text(code)

    def tag(self, *, own: bool) -> str:
        """Return a tag that stands once, or one that many repositories have."""
        while True:
            row = self.row()
            if bool(self._images.own_tag[row]) is own:
                return self._images.tag_text(row)

    def registry(self) -> str:
        """Return the name of a registry, the larger the likelier."""
        return REGISTRIES[int(self._images.registry[self.row()])].name

    def kind(self, *, rare: bool = False) -> ImageType:
        """Return a kind of image."""
        return self.one_of(
            (ImageType.OTHER, ImageType.JFROG, ImageType.SHARED_IMAGE)
            if rare
            else (ImageType.PRIVATE_IMAGE, ImageType.HARBOR, ImageType.INSTANCE_IMAGE)
        )

    def size(self) -> int:
        """Return the size of a row."""
        return int(self._images.size[self.row()])

    def window(self, days: float) -> TimeRange:
        """Return some days within the last two years, the later the likelier."""
        end = NEWEST - int((730 - days) * _DAY * self.chance.random() ** 2)
        return TimeRange(end - int(days * _DAY), end)

    def last(self, days: float) -> TimeRange:
        """Return about the last so many days."""
        return TimeRange(NEWEST - int(days * _DAY * self.chance.uniform(0.8, 1.2)), NEWEST)

    def page(self) -> int:
        """Return the first page, or one of the first where nothing else differs from question to question."""
        return 0 if self.drawn else int(self.chance.integers(5))

    def one_of(self, values: tuple[ImageType, ...]) -> ImageType:
        """Return one of these."""
        return values[int(self.chance.integers(len(values)))]

    def hexadecimal(self) -> str:
        """Return seven digits out of a tag that stands once."""
        return self.tag(own=True).removesuffix("-SNAPSHOT")[-8:-1]


class _Kind(NamedTuple):
    """A shape before it knows the project."""

    name: str
    asked: Callable[[_Values], ImageFilter]
    order: ImageOrder = BY_ID
    limit: int = 10
    depth: float | None = None
    """Share of all rows that the offset skips, or nearly; None for one of the first pages."""


class Shape(NamedTuple):
    """Questions of one kind."""

    name: str
    number: int
    kind: _Kind
    images: Images

    def question(self, number: int) -> Question:
        """Return a question of this shape; each number's has other values, as far as there are any."""
        values = _Values(self.images, np.random.default_rng([self.images.seed, self.number, number]))
        asked, limit = self.kind.asked(values), self.kind.limit
        if self.kind.depth is None:
            offset = values.page() * limit
        else:
            offset = max(0, int(len(self.images) * self.kind.depth) - limit * (1 + number % 5))
        return Question(asked, self.kind.order, offset, limit)


def _of_default(asked: ImageFilter) -> ImageFilter:
    """Return the filter as a request has it that names no enterprise project."""
    return msgspec.structs.replace(asked, enterprise_projects=_DEFAULT)


_ALONE = (
    _Kind("all", lambda _: ImageFilter()),
    _Kind("all, last ids", lambda _: ImageFilter(), NEWEST_ID, 200),
    _Kind("all, deep", lambda _: ImageFilter(), BY_ID, 200, 1.0),
    _Kind("all, last scans", lambda _: ImageFilter(), LAST_SCAN),
    _Kind("all, first scans", lambda _: ImageFilter(), BY_SCAN, 200),
    _Kind("all, deep in scans", lambda _: ImageFilter(), LAST_SCAN, 200, 0.5),
    _Kind("enterprise project", lambda _: _of_default(ImageFilter())),
    _Kind("registry", lambda v: ImageFilter(registry_name=v.registry()), LAST_SCAN),
    _Kind("registry, rare", lambda _: ImageFilter(registry_name="oci-mirror"), BY_ID, 200),
    _Kind("namespace", lambda v: ImageFilter(namespace=v.namespace()), LAST_SCAN, 200),
    _Kind("name", lambda v: ImageFilter(name=v.name()), NEWEST_ID),
    _Kind("name, rare", lambda v: ImageFilter(name=v.name(rare=True)), LAST_SCAN),
    _Kind("tag", lambda v: ImageFilter(tag=v.tag(own=False)), LAST_SCAN),
    _Kind("tag, once", lambda v: ImageFilter(tag=v.tag(own=True))),
    _Kind("kind", lambda v: ImageFilter(kind=v.kind()), LAST_SCAN),
    _Kind("kind, rare", lambda v: ImageFilter(kind=v.kind(rare=True)), BY_ID, 200),
    _Kind("size", lambda v: ImageFilter(size=v.size())),
    _Kind("latest", lambda _: ImageFilter(latest_only=True), LAST_SCAN, 200),
    _Kind("multi-architecture", lambda _: ImageFilter(is_index=True), LAST_SCAN, 200),
    _Kind("one architecture", lambda _: ImageFilter(is_index=False), BY_SCAN),
    _Kind("status success", lambda _: ImageFilter(scan_statuses=frozenset({ScanStatus.SUCCESS})), LAST_SCAN),
    _Kind("status any failed", lambda _: ImageFilter(scan_statuses=frozenset(ANY_FAILED)), LAST_SCAN),
    _Kind("status, rare", lambda _: ImageFilter(scan_statuses=frozenset({STATUSES[-1][0]})), NEWEST_ID, 200),
    _Kind("risk high", lambda _: ImageFilter(risk_level=RiskLevel.HIGH), LAST_SCAN),
    _Kind("risk none", lambda _: ImageFilter(risk_level=RiskLevel.SECURITY), BY_ID, 200, 0.2),
    _Kind("updated, a day", lambda v: ImageFilter(updated=v.window(1)), LAST_SCAN),
    _Kind("updated, a quarter", lambda v: ImageFilter(updated=v.last(90)), NEWEST_ID, 200),
    _Kind("scanned, a week", lambda v: ImageFilter(scanned=v.last(7)), LAST_SCAN, 200),
    _Kind("scanned, a year", lambda v: ImageFilter(scanned=v.window(365)), BY_ID),
    _Kind("synced, an hour", lambda v: ImageFilter(synced=v.last(1 / 100)), BY_ID),
    _Kind("vulnerable", lambda _: ImageFilter(has_vulnerabilities=True), LAST_SCAN),
    _Kind("not vulnerable", lambda _: ImageFilter(has_vulnerabilities=False), BY_ID, 200, 0.4),
    _Kind("unsafe settings", lambda _: ImageFilter(has_unsafe_settings=True), LAST_SCAN),
    _Kind("malicious files, rare", lambda _: ImageFilter(has_malicious_files=True), LAST_SCAN),
    _Kind("risky", lambda _: ImageFilter(risky=True), LAST_SCAN, 200),
    _Kind("not risky", lambda _: ImageFilter(risky=False), BY_SCAN),
    _Kind("instance id", lambda _: ImageFilter(instance_id="id-prod"), LAST_SCAN),
    _Kind("instance name, rare", lambda _: ImageFilter(instance_name="lab"), BY_ID, 200),
    _Kind("search name", lambda v: ImageFilter(search=v.name()[1:].upper())),
    _Kind("search tag", lambda v: ImageFilter(search=v.hexadecimal())),
    _Kind("search, many", lambda v: ImageFilter(search=v.name().split("-")[1]), LAST_SCAN),
)
_TOGETHER = (
    _Kind("registry, vulnerable", lambda v: _of_default(
        ImageFilter(registry_name=v.registry(), has_vulnerabilities=True)), LAST_SCAN),
    _Kind("namespace, risk high", lambda v: ImageFilter(namespace=v.namespace(), risk_level=RiskLevel.HIGH), BY_SCAN),
    _Kind("namespace, search", lambda v: ImageFilter(
        namespace=v.namespace(), search=v.name().split("-")[0]), NEWEST_ID),
    _Kind("enterprise project, risky", lambda _: _of_default(ImageFilter(risky=True)), LAST_SCAN, 200),
    _Kind("enterprise project, deep", lambda _: _of_default(ImageFilter()), LAST_SCAN, 200, 0.4),
    _Kind("name and tag", lambda v: _of_default(ImageFilter(name=v.name(), tag=v.tag(own=False)))),
    _Kind("latest, vulnerable", lambda _: ImageFilter(latest_only=True, has_vulnerabilities=True), LAST_SCAN, 200),
    _Kind("risk medium, updated", lambda v: ImageFilter(risk_level=RiskLevel.MEDIUM, updated=v.last(60)), NEWEST_ID),
    _Kind("multi-architecture, scanned", lambda v: ImageFilter(is_index=True, scanned=v.window(30)), LAST_SCAN, 200),
    _Kind("search, vulnerable", lambda v: _of_default(
        ImageFilter(search=v.name().split("-")[0], has_vulnerabilities=True)), LAST_SCAN),
    _Kind("registry, any failed, updated", lambda v: ImageFilter(
        registry_name=v.registry(), scan_statuses=frozenset(ANY_FAILED), updated=v.last(180)), LAST_SCAN),
    _Kind("kind, risk low, scanned", lambda v: ImageFilter(
        kind=v.kind(), risk_level=RiskLevel.LOW, scanned=v.window(90)), BY_SCAN, 200),
    _Kind("namespace, latest, vulnerable", lambda v: _of_default(
        ImageFilter(namespace=v.namespace(), latest_only=True, has_vulnerabilities=True)), LAST_SCAN),
    _Kind("success, unsafe, synced, deep", lambda v: ImageFilter(
        scan_statuses=frozenset({ScanStatus.SUCCESS}), has_unsafe_settings=True, synced=v.last(1)), BY_ID, 10, 0.03),
    _Kind("empty: tag", lambda v: ImageFilter(tag=f"{v.tag(own=True)}-gone")),
    _Kind("empty: search", lambda v: ImageFilter(search=f"{v.name()}-gone")),
    _Kind("empty: unscanned and scanned", lambda v: ImageFilter(
        scan_statuses=frozenset({ScanStatus.UNSCAN}), scanned=v.last(200)), LAST_SCAN),
    _Kind("empty: kind of another registry", lambda v: ImageFilter(
        registry_name=REGISTRIES[1].name, kind=v.one_of(_OTHER_KINDS)), LAST_SCAN),
)  # fmt: skip


def shapes(images: Images) -> list[Shape]:
    """Return all shapes over a project."""
    return [Shape(kind.name, number, kind, images) for number, kind in enumerate((*_ALONE, *_TOGETHER))]
