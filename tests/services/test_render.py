"""Pictures composed from frames of every kind, and what is refused rather than made."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import VLPhotographicImageStorage

from gateway.bootstrap import Services, open_services
from gateway.core.errors import InvalidInput, NotAcceptable, NotFound, TooLarge, Unavailable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    InstanceKey,
    derive_uid,
)
from gateway.core.viewports import Viewport
from gateway.dicom.images.icc import ADOBE_RGB, SRGB, profile_of
from gateway.dicom.images.pictures import SPACES, Finish
from gateway.dicom.images.positions import read_corners
from gateway.dicom.images.rasters import Samples
from gateway.dicom.images.tiles import Decoder
from gateway.dicom.images.windows import Window
from gateway.services import render
from gateway.services.render import Wanted
from gateway.settings import Settings
from tests.conftest import slidegate
from tests.factories import SvsTruth, make_svs
from tests.streams import encapsulated, header_of, native

Pixels = NDArray[Any]
PNG = Finish("image/png", colours="no")
TILE = 64
RANDOM = np.random.default_rng(3)
COLOURS = np.kron(RANDOM.integers(0, 256, (23, 31, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
DEEP = np.kron(RANDOM.integers(0, 1 << 16, (23, 31), np.uint16), np.ones((8, 8), np.uint16))


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return open_services(Settings(data=tmp_path / "data"))


@pytest.fixture(scope="module")
def base(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The header of a base level."""
    folder = tmp_path_factory.mktemp("base")
    slidegate("convert", svs[0], folder)
    found = max((dcmread(file) for file in folder.iterdir()), key=lambda one: one.NumberOfFrames)
    del found.PixelData
    return found


def image_of(
    base: Dataset,
    pixels: Pixels,
    syntax: str,
    encode: Callable[[Pixels], bytes],
    *,
    sparse: bool = False,
    leave_out: tuple[int, int] | None = None,
) -> bytes:
    """Return a Part 10 stream of an image with tiles of 64 pixels; sparse ones are shuffled."""
    made = dcmread(BytesIO(header_of(base, syntax)))
    rows, columns = pixels.shape[:2]
    made.Rows = made.Columns = TILE
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = rows, columns
    made.SOPInstanceUID = derive_uid("render", syntax, sparse, pixels.ndim)
    spacing = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = columns * spacing[1], rows * spacing[0]
    made.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    if pixels.ndim == 2:
        made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
        made.BitsAllocated, made.BitsStored, made.HighBit = 16, 16, 15
        made.PresentationLUTShape = "IDENTITY"
        made.RescaleIntercept, made.RescaleSlope = 0, 1
        del made.PlanarConfiguration
        del made.OpticalPathSequence[0].ICCProfile
    else:
        made.PhotometricInterpretation = "YBR_RCT" if syntax == JPEG_2000_LOSSLESS else "RGB"
    padded = np.pad(pixels, [(0, -rows % TILE), (0, -columns % TILE), (0, 0)][: pixels.ndim])
    places = [(row, column) for row in range(0, rows, TILE) for column in range(0, columns, TILE)]
    if sparse:
        random.Random(1).shuffle(places)
        places = [place for place in places if place != leave_out]
        made.DimensionOrganizationType = "TILED_SPARSE"
        made.PerFrameFunctionalGroupsSequence = [_position(*place) for place in places]
        organization = Dataset()
        organization.DimensionOrganizationUID = derive_uid("render", "dimensions")
        made.DimensionOrganizationSequence = [organization]
        index = Dataset()
        index.DimensionIndexPointer = 0x0048021E
        index.FunctionalGroupPointer = 0x0048021A
        index.DimensionOrganizationUID = organization.DimensionOrganizationUID
        made.DimensionIndexSequence = [index]
        for number, group in enumerate(made.PerFrameFunctionalGroupsSequence, 1):
            content = Dataset()
            content.DimensionIndexValues = number
            group.FrameContentSequence = [content]
    frames = [encode(padded[row : row + TILE, column : column + TILE]) for row, column in places]
    made.NumberOfFrames = len(frames)
    if syntax == EXPLICIT_VR_LITTLE_ENDIAN:
        return header_of(made, syntax) + native(b"".join(frames))
    return header_of(made, syntax) + encapsulated([[frame] for frame in frames])


def _position(row: int, column: int) -> Dataset:
    place = Dataset()
    place.ColumnPositionInTotalImagePixelMatrix = column + 1
    place.RowPositionInTotalImagePixelMatrix = row + 1
    place.XOffsetInSlideCoordinateSystem = place.YOffsetInSlideCoordinateSystem = "1.5"
    place.ZOffsetInSlideCoordinateSystem = "0"
    group = Dataset()
    group.PlanePositionSlideSequence = [place]
    return group


def kept(services: Services, stream: bytes) -> InstanceKey:
    return services.receive.receive([[stream]]).key


def seen(services: Services, key: InstanceKey, wanted: Wanted) -> Pixels:
    with Image.open(BytesIO(services.render.instance(key, wanted).make())) as image:
        return np.asarray(image)


def raw(tile: Pixels) -> bytes:
    return tile.tobytes()


def jpeg_2000(tile: Pixels) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, codecformat="j2k"))


def jpeg_ls(tile: Pixels) -> bytes:
    return bytes(imagecodecs.jpegls_encode(tile))


CODED = [
    (EXPLICIT_VR_LITTLE_ENDIAN, raw),
    (JPEG_2000_LOSSLESS, jpeg_2000),
    ("1.2.840.10008.1.2.4.80", jpeg_ls),
]


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("syntax", "encode"), CODED)
def test_tiles_of_every_syntax_lie_where_they_belong(
    services: Services,
    base: Dataset,
    syntax: str,
    encode: Callable[[Pixels], bytes],
    sparse: bool,
) -> None:
    key = kept(services, image_of(base, COLOURS, syntax, encode, sparse=sparse))
    assert np.array_equal(seen(services, key, Wanted(finish=PNG)), COLOURS)
    region = Viewport(50, 70, 100, 90, 50, 70)
    part = seen(services, key, Wanted(region, finish=PNG))
    assert np.array_equal(part, COLOURS[90:160, 100:150])
    quarter = seen(services, key, Wanted(Viewport(62, 46), finish=PNG))
    true = COLOURS.reshape(46, 4, 62, 4, 3).mean((1, 3))
    assert np.abs(quarter - true).mean() < 4


@pytest.mark.req("REQ-REN-01")
def test_where_there_is_no_frame_there_is_background(services: Services, base: Dataset) -> None:
    stream = image_of(
        base, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw, sparse=True, leave_out=(64, 128)
    )
    shown = seen(services, kept(services, stream), Wanted(finish=PNG))
    assert (shown[64:128, 128:192] == 255).all()
    assert np.array_equal(shown[:64], COLOURS[:64])


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize(
    ("window", "true"),
    [
        (None, DEEP / 65535 * 255),
        (Window(1 << 14, 1 << 14), np.clip((DEEP - 16383.5) / 16383 + 0.5, 0, 1) * 255),
        (Window(1 << 14, 1 << 13, "SIGMOID"), 255 / (1 + np.exp((16384.0 - DEEP) / 2048))),
    ],
)
def test_greys_are_shown_through_a_window(
    services: Services, base: Dataset, window: Window | None, true: Pixels
) -> None:
    key = kept(services, image_of(base, DEEP, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    shown = seen(services, key, Wanted(None, window, PNG))
    assert np.abs(shown - true).max() <= 0.51
    with pytest.raises(InvalidInput, match="greys"):
        services.render.instance(key, Wanted(None, window, Finish("image/png", colours="srgb")))


@pytest.mark.parametrize("viewport", [Viewport(30, 30), Viewport(8, 8, 180, 120, 70, 70)])
def test_what_pads_tiles_is_not_seen_at_the_edges(
    services: Services, base: Dataset, viewport: Viewport
) -> None:
    bright = np.full((183, 245, 3), 200, np.uint8)  # in tiles that end with zeros
    key = kept(services, image_of(base, bright, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    assert seen(services, key, Wanted(viewport, None, PNG)).min() == 200


@pytest.mark.parametrize(
    ("photometric", "planar"),
    [("RGB", 1), ("YBR_FULL", 0), ("YBR_RCT", 0), ("PALETTE COLOR", 0), ("MONOCHROME1", 0)],
)
def test_pixels_whose_colours_nobody_decodes_are_refused_rather_than_shown_wrong(
    services: Services, base: Dataset, photometric: str, planar: int
) -> None:
    grey = photometric in ("PALETTE COLOR", "MONOCHROME1")
    stream = image_of(base, DEEP if grey else COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw)
    made = dcmread(BytesIO(stream))
    made.SOPClassUID = VLPhotographicImageStorage  # of which the gate has no rules
    made.PhotometricInterpretation = photometric
    if not grey:
        made.PlanarConfiguration = planar
    pixels = native(made.PixelData)
    del made.PixelData
    key = kept(services, header_of(made, EXPLICIT_VR_LITTLE_ENDIAN) + pixels)
    with pytest.raises(NotAcceptable, match="MONOCHROME2"):
        services.render.instance(key, Wanted())


def test_thumbnails_leave_out_images_that_say_whose_they_are(
    services: Services, base: Dataset
) -> None:
    made = dcmread(BytesIO(header_of(base, EXPLICIT_VR_LITTLE_ENDIAN)))
    made.BurnedInAnnotation = "YES"
    key = kept(services, image_of(made, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    with pytest.raises(NotFound):
        services.render.thumbnail(key, None, Wanted())
    with pytest.raises(NotFound):
        services.render.slide(key.study, None, Wanted())


def test_a_thumbnail_is_shown_whatever_its_profile_is(services: Services, base: Dataset) -> None:
    made = dcmread(BytesIO(header_of(base, EXPLICIT_VR_LITTLE_ENDIAN)))
    profile = profile_of(ADOBE_RGB)
    made.OpticalPathSequence[0].ICCProfile = profile[:132] + bytes(len(profile) - 132)
    key = kept(services, image_of(made, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    finish = Finish("image/png", colours="screen")
    assert np.array_equal(seen(services, key, Wanted(finish=finish)), COLOURS)


@pytest.mark.req("REQ-REN-01")
@pytest.mark.parametrize("space", SPACES)
def test_colours_are_converted_by_the_profile_of_the_image(
    services: Services, base: Dataset, space: str
) -> None:
    made = dcmread(BytesIO(header_of(base, EXPLICIT_VR_LITTLE_ENDIAN)))
    made.OpticalPathSequence[0].ICCProfile = profile_of(ADOBE_RGB)
    key = kept(services, image_of(made, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    picture = services.render.instance(key, Wanted(finish=Finish("image/png", colours=space)))
    with Image.open(BytesIO(picture.make())) as image:
        assert image.info["icc_profile"] == profile_of(SPACES[space])
        true = ImageCms.profileToProfile(
            Image.fromarray(COLOURS),
            BytesIO(profile_of(ADOBE_RGB)),
            BytesIO(profile_of(SPACES[space])),
        )
        assert true is not None
        assert np.abs(np.asarray(image).astype(int) - np.asarray(true)).max() <= 1
    assert space == "adobergb" or not np.array_equal(np.asarray(true), COLOURS)


@pytest.mark.req("REQ-REN-01")
def test_the_profile_is_embedded_unless_it_is_not_wanted(services: Services, base: Dataset) -> None:
    key = kept(services, image_of(base, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    stated = bytes(base.OpticalPathSequence[0].ICCProfile)
    assert stated == profile_of(SRGB)
    for media_type in ("image/png", "image/jpeg"):
        for colours, embedded in (("yes", stated), ("no", None)):
            picture = services.render.instance(key, Wanted(finish=Finish(media_type, 90, colours)))
            with Image.open(BytesIO(picture.make())) as image:
                assert image.info.get("icc_profile") == embedded


@pytest.mark.req("REQ-REN-02")
def test_a_pyramid_is_rendered_from_the_smallest_level_that_is_fine_enough(
    services: Services, tmp_path: Path
) -> None:
    scene = np.kron(RANDOM.integers(0, 256, (60, 90, 3), np.uint8), np.ones((40, 40, 1), np.uint8))
    slide = make_svs(tmp_path / "slide.svs", picture=scene, downsamples=(4, 16), thumbnail=False)
    study = services.ingest.add(str(slide.path)).study
    for side, level in ((200, 2), (225, 2), (300, 1), (900, 1), (910, 0)):
        picture = services.render.slide(study, None, Wanted(Viewport(side, side), finish=PNG))
        box = picture.identity[2]
        assert getattr(box, "columns", None) == slide.levels[level].columns
    assert Image.open(BytesIO(picture.make())).size == (910, 607)


@pytest.mark.req("REQ-REN-02")
def test_what_would_cost_too_much_is_refused_and_says_what_to_ask_for(
    services: Services, base: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = kept(services, image_of(base, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    monkeypatch.setattr(render, "MOST_SOURCE_FRAMES", 4)
    with pytest.raises(TooLarge, match="smaller region"):
        services.render.instance(key, Wanted(Viewport(64, 64)))
    part = Wanted(Viewport(64, 64, 10, 10, 64, 64), finish=PNG)
    assert np.array_equal(seen(services, key, part), COLOURS[10:74, 10:74])


@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_a_damaged_frame_is_said_to_be_damaged(reduction: int) -> None:
    samples = Samples(TILE, TILE, 3, 8, 8, "YBR_RCT")
    stream = jpeg_2000(COLOURS[:TILE, :TILE])
    decoder = Decoder(samples, JPEG_2000_LOSSLESS)
    assert decoder.pixels(stream, reduction).shape == (TILE // reduction, TILE // reduction, 3)
    for length in (0, 5, 30, 90):
        with pytest.raises(Unavailable, match="damaged"):
            decoder.pixels(stream[:length], reduction)


def test_frames_of_another_size_than_the_header_says_are_refused() -> None:
    samples = Samples(TILE, TILE, 3, 8, 8, "YBR_RCT")
    large = jpeg_2000(np.zeros((900, 900, 3), np.uint8))
    with pytest.raises(Unavailable, match="size"):
        Decoder(samples, JPEG_2000_LOSSLESS).pixels(large)
    with pytest.raises(Unavailable, match="size"):
        Decoder(samples, CODED[-1][0]).pixels(jpeg_ls(np.zeros((900, 900, 3), np.uint8)))
    huge = Samples(1 << 15, 1 << 15, 3, 8, 8, "YBR_RCT")
    with pytest.raises(Unavailable, match="too large"):
        Decoder(huge, JPEG_2000_LOSSLESS).pixels(large)


def test_more_pictures_than_can_be_made_are_told_to_come_again(
    services: Services, base: Dataset
) -> None:
    key = kept(services, image_of(base, COLOURS, EXPLICIT_VR_LITTLE_ENDIAN, raw))
    picture = services.render.instance(key, Wanted())
    busy = services.render.busy
    for _ in range(render.MOST_WAITING):
        assert busy.acquire(blocking=False)
    with pytest.raises(Unavailable, match="again soon"):
        picture.make()
    busy.release()
    assert picture.make()


@pytest.mark.parametrize("count", [1, 40])
def test_positions_are_found_without_reading_the_data_set(base: Dataset, count: int) -> None:
    made = dcmread(BytesIO(header_of(base)))
    made.PerFrameFunctionalGroupsSequence = [
        _position(64 * place, 640 - 3 * place) for place in range(count)
    ]
    header = header_of(made)
    quickly = read_corners(header, 0, count)
    assert quickly.tolist() == [[place + 1, 640 - 3 * place, 64 * place] for place in range(count)]
    # With one element missing the long way is gone, and finds that it is missing.
    del made.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence
    with pytest.raises(NotAcceptable, match="where they lie"):
        read_corners(header_of(made), 0, count)


def test_of_several_focal_planes_the_first_is_shown(base: Dataset) -> None:
    made = dcmread(BytesIO(header_of(base)))
    groups = [_position(0, 64 * (place // 2)) for place in range(6)]
    for place, group in enumerate(groups):
        group.PlanePositionSlideSequence[0].ZOffsetInSlideCoordinateSystem = str(place % 2)
    made.PerFrameFunctionalGroupsSequence = groups
    assert read_corners(header_of(made), 0, 6)[:, 0].tolist() == [1, 3, 5]
