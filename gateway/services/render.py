"""Pictures that any program shows, made of frames with a bounded amount of work.

A slide is never rendered from all its frames: what is composed comes from the smallest level of
its pyramid that is fine enough.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pydicom.uid import EncapsulatedPDFStorage

from gateway.core.errors import FrameNotFound, NotAcceptable, NotFound, TooLarge, Unavailable
from gateway.core.instances import Instance, InstanceKey
from gateway.core.ports import Index, Match
from gateway.core.queries import AnyOf, Key, Query, QueryLevel
from gateway.core.storage import BlobStore
from gateway.core.viewports import Box, View, Viewport, whole
from gateway.dicom.images.pictures import Finish, check_colours, picture
from gateway.dicom.images.pyramids import is_fine_enough, place_in
from gateway.dicom.images.rasters import Raster, is_picture_of_slide, read_raster
from gateway.dicom.images.tiles import Decoder, composed, reduction_of
from gateway.dicom.images.windows import Window
from gateway.dicom.report import Report, read_report
from gateway.dicom.sop_classes import REPORTS
from gateway.services.retrieve import Retrieve

LARGEST_SIDE = 4096
"""Pixels of the longer side of any picture."""

THUMBNAIL_SIDE = 256
"""Pixels of the longer side of a thumbnail whose viewport the client does not state."""

UNSCALED_PIXELS = 1 << 22
"""Pixels up to which an image is rendered as it is, if the client states no viewport."""

DEFAULT_SIDE = 1024
"""Pixels of the longer side of larger ones."""

MOST_SOURCE_PIXELS = 1 << 26
"""Pixels of the frames that one picture is composed from."""

MOST_SOURCE_FRAMES = 4096
"""Frames that one picture is composed from."""

MOST_CANVAS_PIXELS = 1 << 25
"""Pixels of what is composed before it is brought to its size: 100 MB of colours."""

MOST_PICTURES = 64
"""Pictures of one answer."""

MOST_AT_ONCE = 2
"""Pictures that one process makes at once."""

MOST_WAITING = 6
"""Requests for pictures that one process has under way; more are told to come again."""

_PATIENCE_S = 10.0

_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client wants to see.

    Parameters
    ----------
    viewport
        None leaves the size to us.
    window
        How greys are shown; None is as the header says.
    finish
        File format and colours.
    """

    viewport: Viewport | None = None
    window: Window | None = None
    finish: Finish = field(default_factory=Finish)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that can be made.

    Parameters
    ----------
    key
        Of the instance that it shows.
    identity
        All that its bytes depend on.
    make
        Makes it. See :meth:`gateway.dicom.images.tiles.Decoder.pixels` for its errors.
    coloured
        Whether it has colours: windows do not apply to them.
    """

    key: InstanceKey
    identity: tuple[object, ...]
    make: Callable[[], bytes]
    coloured: bool


@dataclass(frozen=True, slots=True)
class Document:
    """An object that people read.

    Parameters
    ----------
    media_type
        Of an encapsulated document; None for a report, which has several forms.
    identity
        All that its content depends on.
    read
        Returns it: a report, or the bytes of an encapsulated document.
    """

    media_type: str | None
    identity: tuple[object, ...]
    read: Callable[[], Report | bytes]


@dataclass(frozen=True, slots=True)
class _Source:
    """An image, and the part of it that a picture is made of."""

    instance: Instance
    raster: Raster
    box: Box

    def cost(self) -> tuple[int, int]:
        """Return the numbers of frames and of their pixels."""
        count = self.raster.count_within(self.box)
        grid = self.raster.grid
        return count, count * grid.tile_columns * grid.tile_rows

    def reduction(self, view: View) -> int:
        """Return by how much its frames may be reduced for a view."""
        most = min(self.box.columns / view.width, self.box.rows / view.height)
        return reduction_of(self.raster, most)

    def is_affordable(self, view: View) -> bool:
        """Whether it may be composed for a view."""
        frames, pixels = self.cost()
        canvas = self.box.columns * self.box.rows / self.reduction(view) ** 2
        return (
            frames <= MOST_SOURCE_FRAMES
            and pixels <= MOST_SOURCE_PIXELS
            and canvas <= MOST_CANVAS_PIXELS
        )


class Render:
    """Makes pictures of instances, frames, series and studies.

    Attributes
    ----------
    busy : threading.Semaphore
        Places for requests under way.
    """

    def __init__(self, index: Index, store: BlobStore, retrieve: Retrieve) -> None:
        self._index = index
        self._retrieve = retrieve
        self._read = lru_cache(_REMEMBERED)(lambda header: read_raster(store.get(header)))
        self.busy = threading.Semaphore(MOST_WAITING)
        self._working = threading.Semaphore(MOST_AT_ONCE)
        self._reading = threading.Lock()  # headers of many frames take a second and much memory

    def instance(self, key: InstanceKey, wanted: Wanted) -> Picture:
        """Return the picture of an image.

        Raises
        ------
        NotFound
            If there is no such instance.
        NotAcceptable
            If it is no image.
        InvalidInput
            If what is wanted cannot be.
        TooLarge
            If it would have to be made of more pixels than are decoded for one picture.
        """
        instance = self._retrieve.instance(key)
        raster = self._raster(instance)
        return self._picture(instance, raster, wanted, self._view(raster, wanted))

    def document(self, key: InstanceKey) -> Document | None:
        """Return an object without pixels as what people read, or None if it is an image.

        Raises
        ------
        NotFound
            If there is no such instance.
        NotAcceptable
            If it is neither a report nor an encapsulated document.
        """
        instance = self._retrieve.instance(key)
        if instance.frame_table is not None:
            return None
        (match,) = self._matches(key.study, key.series, key.instance)
        if match["SOPClassUID"] in REPORTS:
            return Document(
                None, (instance.header,), lambda: read_report(self._retrieve.header(instance))
            )
        if match["SOPClassUID"] == EncapsulatedPDFStorage:
            return Document(PDF, (instance.header,), lambda: self._encapsulated(instance))
        raise NotAcceptable(_NO_IMAGE)

    def _encapsulated(self, instance: Instance) -> bytes:
        header = self._retrieve.header(instance)
        stored = bytes(header.get("EncapsulatedDocument") or b"")
        length = header.get("EncapsulatedDocumentLength")
        return stored[: int(length)] if length else stored

    def frames(
        self, key: InstanceKey, frame_numbers: Sequence[int], wanted: Wanted
    ) -> list[Picture]:
        """Return pictures of frames, in the order asked for.

        Raises
        ------
        FrameNotFound
            If there is no such frame.
        """
        instance = self._retrieve.instance(key)
        raster = self._raster(instance)
        if len(frame_numbers) > MOST_PICTURES:
            raise TooLarge(f"At most {MOST_PICTURES} frames are rendered at once.")
        if max(frame_numbers) > instance.number_of_frames:
            raise FrameNotFound(
                f"The instance has {instance.number_of_frames} frames.",
                instance=instance.key.instance,
            )
        samples = raster.samples
        view = self._fitted(samples.columns, samples.rows, wanted, None)
        check_colours(raster.profile, wanted.finish.colours, coloured=raster.coloured)
        return [self._frame(instance, raster, number, wanted, view) for number in frame_numbers]

    def images(self, study: str, series: str | None, wanted: Wanted) -> list[Picture]:
        """Return a picture of each image of a study or series.

        Raises
        ------
        NotFound
            If there is no such study or series, or no image in it.
        TooLarge
            If it has more images than are rendered at once.
        """
        found = self._matches(study, series)
        images = [one for one in found if one.get("Rows")]
        if not images:
            raise NotFound("There is no image.") if not found else NotAcceptable(_NO_IMAGE)
        if len(images) > MOST_PICTURES:
            raise TooLarge(
                f"There are {len(images)} images, and at most {MOST_PICTURES} are rendered at "
                "once. Ask for a series, or for an instance."
            )
        return [self.instance(_key(one), wanted) for one in images]

    def slide(self, study: str, series: str | None, wanted: Wanted) -> Picture:
        """Return the one picture that stands for a study or series.

        It shows tissue: never a label, nor an overview, which may include it.

        Raises
        ------
        NotFound
            If nothing in it shows tissue.
        """
        volumes = [one for one in self._matches(study, series) if _is_of_slide(one)]
        if not volumes:
            raise NotFound("No image of it shows tissue.")
        first = [
            one for one in volumes if one["SeriesInstanceUID"] == volumes[0]["SeriesInstanceUID"]
        ]
        for one in sorted(first, key=_columns, reverse=True):
            key = _key(one)
            if self._raster(self._retrieve.instance(key)).is_tissue_alone:
                return self.instance(key, wanted)
        raise NotFound("No image of it shows tissue alone.")

    def thumbnail(self, key: InstanceKey, frame_number: int | None, wanted: Wanted) -> Picture:
        """Return a small picture of an image or of one of its frames.

        Raises
        ------
        NotFound
            If it is no image that shows tissue.
        """
        instance = self._retrieve.instance(key)
        if instance.frame_table is None:
            raise NotFound("The instance is no image, so it has no thumbnail.")
        if not self._raster(instance).is_tissue_alone:
            raise NotFound("Only images of tissue have thumbnails: labels may show names.")
        if frame_number is None:
            return self.instance(key, wanted)
        return self.frames(key, [frame_number], wanted)[0]

    def _raster(self, instance: Instance) -> Raster:
        if instance.frame_table is None:
            raise NotAcceptable(_NO_IMAGE)
        with self._reading:
            return self._read(instance.header)

    def _view(self, raster: Raster, wanted: Wanted) -> View:
        columns, rows = raster.grid.matrix_columns, raster.grid.matrix_rows
        side = None if columns * rows <= UNSCALED_PIXELS else DEFAULT_SIDE
        return self._fitted(columns, rows, wanted, side)

    def _fitted(self, columns: int, rows: int, wanted: Wanted, side: int | None) -> View:
        if wanted.viewport is not None:
            return wanted.viewport.view(columns, rows, LARGEST_SIDE)
        return whole(columns, rows, side or LARGEST_SIDE)

    def _picture(self, instance: Instance, raster: Raster, wanted: Wanted, view: View) -> Picture:
        if not raster.whole and raster.grid.count > raster.frames:
            raise NotAcceptable(
                "The image is a part of a concatenation. Ask for single frames of it."
            )
        source, view = self._source(instance, raster, view, exactly=wanted.viewport is not None)
        check_colours(source.raster.profile, wanted.finish.colours, coloured=source.raster.coloured)
        identity = (source.instance.header, source.instance.frame_table, source.box, view, wanted)

        def make() -> bytes:
            with self._place():
                return self._composed(source, view, wanted)

        return Picture(instance.key, identity, make, raster.coloured)

    def _composed(self, source: _Source, view: View, wanted: Wanted) -> bytes:
        raster, instance = source.raster, source.instance
        reduction = source.reduction(view)
        decoder = Decoder(raster.samples, instance.transfer_syntax, wanted.window or raster.window)
        places = raster.frames_within(source.box).tolist()
        frames: Iterator[bytes] = iter(())
        if places:
            frames = self._retrieve.frames(instance, [number for number, _, _ in places]).bitstreams
        tiles = (
            (column, row, decoder.pixels(frame, reduction))
            for (_, column, row), frame in zip(places, frames, strict=True)
        )
        pixels, box = composed(raster, tiles, source.box, reduction)
        return picture(pixels, box, view, raster.profile, wanted.finish)

    def _frame(
        self, instance: Instance, raster: Raster, number: int, wanted: Wanted, view: View
    ) -> Picture:
        box = view.box
        most = min(box.columns / view.width, box.rows / view.height)
        reduction = reduction_of(raster, most)
        decoder = Decoder(raster.samples, instance.transfer_syntax, wanted.window or raster.window)

        def make() -> bytes:
            with self._place():
                pixels = decoder.pixels(self._retrieve.frame(instance, number), reduction)
                place = box.scaled(1 / reduction, 1 / reduction)
                return picture(pixels, place, view, raster.profile, wanted.finish)

        identity = (instance.header, instance.frame_table, number, view, wanted)
        return Picture(instance.key, identity, make, raster.coloured)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Hold one of the few places in which pictures are made."""
        busy = Unavailable("Too many pictures are being made; try again soon.")
        if not self.busy.acquire(blocking=False):
            raise busy
        try:
            if not self._working.acquire(timeout=_PATIENCE_S):
                raise busy
            try:
                yield
            finally:
                self._working.release()
        finally:
            self.busy.release()

    def _source(
        self, instance: Instance, raster: Raster, view: View, *, exactly: bool
    ) -> tuple[_Source, View]:
        """Return what a picture is made of: the smallest level that is fine enough.

        Parameters
        ----------
        exactly
            Whether the client has chosen the size, so that nothing coarser will do.
        """
        coarser: list[_Source] = []
        for level in self._levels(instance, raster, view):
            if is_fine_enough(level.box, view) or level.instance.key == instance.key:
                if level.is_affordable(view):
                    return level, view
                break
            coarser.append(level)
        for level in reversed(coarser) if not exactly else ():
            smaller = replace(view, width=round(level.box.columns), height=round(level.box.rows))
            if level.is_affordable(smaller):
                return level, smaller
        raise TooLarge(
            f"The picture would be made of more than {MOST_SOURCE_FRAMES} frames or "
            f"{MOST_SOURCE_PIXELS} pixels. Ask for a smaller viewport, a smaller region, or single "
            "frames."
        )

    def _levels(self, instance: Instance, raster: Raster, view: View) -> Iterator[_Source]:
        """Yield the images that show what a view shows, coarser ones first, itself last."""
        own = _Source(instance, raster, view.box)
        if not is_picture_of_slide(raster.flavour) or _serves_alone(own, view):
            yield own
            return
        found = self._matches(instance.key.study, instance.key.series)
        coarser = [
            one for one in found if _is_of_slide(one) and _columns(one) < raster.grid.matrix_columns
        ]
        for one in sorted(coarser, key=_columns):
            other = self._retrieve.instance(_key(one))
            try:
                level = self._raster(other)
            except NotAcceptable:
                continue
            box = place_in(raster, level, view.box)
            if box is not None and level.whole:
                yield _Source(other, level, box)
        yield own

    def _matches(
        self, study: str, series: str | None = None, instance: str | None = None
    ) -> list[Match]:
        uids = zip(_UIDS, (study, series, instance), strict=True)
        keys = [Key(keyword, AnyOf((uid,))) for keyword, uid in uids if uid is not None]
        found = list(self._index.search(Query(QueryLevel.INSTANCE, tuple(keys))))
        if not found:
            raise NotFound("There is no such study or series.")
        return found


_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

PDF = "application/pdf"

_NO_IMAGE = "It holds no image, so no picture can be made of it."


def _serves_alone(own: _Source, view: View) -> bool:
    """Whether no coarser level can serve a view."""
    return own.box.columns < 2 * view.width and own.is_affordable(view)


def _key(match: Match) -> InstanceKey:
    study, series, instance = (str(match[keyword]) for keyword in _UIDS)
    return InstanceKey(study, series, instance)


def _columns(match: Match) -> int:
    return int(match.get("TotalPixelMatrixColumns") or match.get("Columns") or 0)


def _is_of_slide(match: Match) -> bool:
    values = str(match.get("ImageType") or "").split("\\")
    return bool(match.get("Rows")) and len(values) > 2 and is_picture_of_slide(values[2])
