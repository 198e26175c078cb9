"""A server as clients find it: a slide, and annotations that were stored by one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from numpy.typing import NDArray
from pydicom import Dataset

from conformance.bench.objects import annotations_of
from conformance.bench.slides import draw_scene
from gateway.dicom.images.icc import srgb_profile
from tests.clients.site import installed, serving_pages
from tests.conftest import Server, serving, slidegate
from tests.factories import SvsTruth, make_svs
from tests.web.browser import WEBGL, Page, browsing

POLYGONS = (
    np.array([(700, 500), (1150, 620), (820, 900)], np.float32),
    np.array([(1900, 1500), (2300, 1500), (2300, 1700), (2100, 1600), (1900, 1700)], np.float32),
)
"""Outlines of the annotations, in pixels of the base level."""


@dataclass(frozen=True)
class Archive:
    """A server, and what is there.

    Parameters
    ----------
    study, series
        UIDs of the slide.
    images
        Metadata of its instances, the base level first.
    few, many
        Series of annotations with the same outlines: of a few points, and of so many that
        metadata have them as bulk data URI.
    """

    server: Server
    slide: SvsTruth
    study: str
    series: str
    images: list[Dataset]
    few: str
    many: str

    @property
    def base(self) -> tuple[str, str, str]:
        """UIDs of the base level."""
        return self.study, self.series, str(self.images[0].SOPInstanceUID)

    def flavour(self, value: str) -> tuple[str, str, str]:
        """UIDs of the first image with this third value of Image Type."""
        one = next(image for image in self.images if image.ImageType[2] == value)
        return self.study, self.series, str(one.SOPInstanceUID)


def swapped_profile() -> bytes:
    """Return an ICC profile under which what is stored as red is blue: not to be overlooked."""
    profile = srgb_profile()
    places = {name: profile.index(name) + 4 for name in (b"rXYZ", b"bXYZ")}
    red, blue = (profile[place : place + 4] for place in places.values())
    edited = bytearray(profile)
    for place, value in zip(places.values(), (blue, red), strict=True):
        edited[place : place + 4] = value
    return bytes(edited)


def dense(polygon: NDArray[np.float32], points: int) -> NDArray[np.float32]:
    """Return the same outline of so many points."""
    closed = np.vstack([polygon, polygon[:1]])
    steps = np.linspace(0, len(polygon), points, endpoint=False)
    corners = np.arange(len(closed))
    return np.stack([np.interp(steps, corners, axis) for axis in closed.T], 1).astype(np.float32)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Origin of pages that use clients."""
    with serving_pages() as origin:
        yield origin


@pytest.fixture(scope="session")
def page(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab of a browser that can draw in three dimensions, as the viewer does."""
    installed("node_modules")
    with browsing(tmp_path_factory.mktemp("chromium"), *WEBGL) as page:
        yield page


@pytest.fixture(scope="session")
def archive(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """The server for all clients; they may store, in other studies than this."""
    folder = tmp_path_factory.mktemp("archive")
    slide = make_svs(
        folder / "slide.svs",
        picture=draw_scene(2903, 2307, seed=5),
        downsamples=(4, 16),
        icc=swapped_profile(),
        mpp="0.2500",
    )
    slidegate("add", slide.path, "--data", folder / "data")
    with serving(folder / "data", "--no-materialise", "--cors-origin", site) as server:
        client = DICOMwebClient(server.root)
        [found] = client.search_for_series()
        study, series = (str(found[tag]["Value"][0]) for tag in ("0020000D", "0020000E"))
        images = list(map(Dataset.from_json, client.retrieve_series_metadata(study, series)))
        images.sort(key=lambda image: (image.ImageType[2] != "VOLUME", -int(image.NumberOfFrames)))
        base = client.retrieve_instance(study, series, str(images[0].SOPInstanceUID))
        few = annotations_of(base, POLYGONS, name="few")
        many = annotations_of(base, [dense(one, 70_000) for one in POLYGONS], name="many")
        client.store_instances([few, many])
        yield Archive(
            server, slide, study, series, images,
            str(few.SeriesInstanceUID), str(many.SeriesInstanceUID),
        )  # fmt: skip
