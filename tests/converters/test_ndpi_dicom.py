"""Hamamatsu slides as DICOM: taken by validators and other readers, the same at every door."""

import subprocess
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from pydicom import Dataset
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from converters.convert import convert
from converters.sources import Choices, Tiling
from gateway.bootstrap import open_services
from gateway.core.bitstreams import jpeg_frame
from gateway.settings import Settings
from gateway.store.files import FileStore
from tests.conftest import SHARED, tool
from tests.ndpi import FLUORESCENCE, decoded, make_ndpi

REAL = SHARED / "ndpi" / "test3-DAPI-2-387.ndpi"
KNOWN_FALSE = "needed to build DICOMDIR"
BOTH = [(which, tiling) for which in ("made", "real") for tiling in Tiling]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ndpi") / "slide.ndpi"
    make_ndpi(path)
    return path


@pytest.fixture(scope="module", params=BOTH, ids=lambda pair: "-".join(pair))
def converted(
    request: pytest.FixtureRequest, made: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Tiling]:
    """A slide, the folder it was converted to, and how its frames were made."""
    which, tiling = request.param
    slide = made if which == "made" else REAL
    if not slide.exists():
        pytest.skip("the folder with real slides is not beside the project")
    folder = tmp_path_factory.mktemp("converted")
    list(convert(slide, FileStore(folder), choices=Choices(tiling)))
    return slide, folder, tiling


def datasets_of(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


@pytest.mark.req("REQ-WSI-01", "REQ-WSI-02", "REQ-WSI-17", "REQ-WSI-19", "REQ-WSI-33")
def test_validators_find_no_error(converted: tuple[Path, Path, Tiling]) -> None:
    validate(converted[1])


def validate(folder: Path) -> None:
    files = sorted(folder.iterdir())
    for file in files:
        command = [tool("dciodvfy", "dicom3tools"), "-new", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        assert "VLWholeSlideMicroscopyImage" in told
        faults = [line for line in told.splitlines() if line.startswith(("Error", "Warning"))]
        assert [line for line in faults if KNOWN_FALSE not in line] == []
    command = [tool("dcentvfy", "dicom3tools"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.req("REQ-WSI-11", "REQ-WSI-12", "REQ-WSI-07")
def test_every_frame_alone_has_rows_and_columns(converted: tuple[Path, Path, Tiling]) -> None:
    volumes = [one for one in datasets_of(converted[1]) if one.ImageType[2] == "VOLUME"]
    assert len({(one.Rows, one.Columns) for one in volumes}) == 1
    for one in volumes:
        for frame in generate_frames(one.PixelData, number_of_frames=one.NumberOfFrames):
            head = jpeg_frame(frame)
            assert (head.rows, head.columns) == (one.Rows, one.Columns)
            assert decoded(frame).shape == (one.Rows, one.Columns, 3)


@pytest.mark.req("REQ-WSI-07", "REQ-WSI-10")
def test_openslide_reads_the_folder_as_it_reads_the_scanners_file(
    converted: tuple[Path, Path, Tiling],
) -> None:
    slide, folder, _ = converted
    ours, theirs = openslide.OpenSlide(next(folder.iterdir())), openslide.OpenSlide(slide)
    with ours, theirs:
        assert set(ours.level_dimensions) < set(theirs.level_dimensions)  # none is invented
        assert set(ours.associated_images) == {"macro"}
        for name in ("openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power"):
            assert float(ours.properties[name]) == pytest.approx(float(theirs.properties[name]))
        for level, size in enumerate(ours.level_dimensions):
            other_level = theirs.level_dimensions.index(size)
            mine = np.asarray(ours.read_region((0, 0), level, size).convert("RGB"))
            other = np.asarray(theirs.read_region((0, 0), other_level, size).convert("RGB"))
            assert np.array_equal(mine, other)


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.req("REQ-WSI-07", "REQ-WSI-10")
def test_wsidicom_reads_every_level(converted: tuple[Path, Path, Tiling]) -> None:
    slide, folder, _ = converted
    volumes = [one for one in datasets_of(folder) if one.ImageType[2] == "VOLUME"]
    with WsiDicom.open(folder) as ours, openslide.OpenSlide(slide) as theirs:
        assert len(ours.levels) == len(volumes)
        for level in ours.levels:
            size = (level.size.width, level.size.height)
            region = np.asarray(ours.read_region((0, 0), level.level, size).convert("RGB"))
            other = theirs.read_region((0, 0), theirs.level_dimensions.index(size), size)
            assert np.array_equal(region, np.asarray(other.convert("RGB")))
        assert ours.read_overview().size == theirs.associated_images["macro"].size


@pytest.mark.req("REQ-WSI-25", "REQ-FRM-02")
def test_linked_materialised_and_converted_are_the_same_bytes(
    converted: tuple[Path, Path, Tiling], tmp_path: Path
) -> None:
    slide, folder, tiling = converted
    services = open_services(Settings(tmp_path / "data"), Choices(tiling))
    added = services.ingest.add(str(slide))
    states = []
    for _ in range(2):
        files: dict[str, bytes] = {}
        for one in services.retrieve.instances(added.study):
            files[f"{one.key.instance}.dcm"] = b"".join(services.retrieve.part10(one).pieces)
            numbers = range(1, one.number_of_frames + 1)
            frames = list(services.retrieve.frames(one, numbers).bitstreams)
            assert frames == [services.retrieve.frame(one, number) for number in numbers]
            assert all(frame in files[f"{one.key.instance}.dcm"] for frame in frames)
        states.append(files)
        services.ingest.materialise(added)
    assert states[0] == states[1] == {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.req("REQ-WSI-03", "REQ-WSI-29", "REQ-WSI-31")
def test_headers_tell_the_truth(converted: tuple[Path, Path, Tiling]) -> None:
    slide, folder, tiling = converted
    found = datasets_of(folder)
    for one in found:
        macro = one.ImageType[2] == "OVERVIEW"
        assert one.SpecimenLabelInImage == one.BurnedInAnnotation == ("YES" if macro else "NO")
        assert one.ImageType[2] in ("VOLUME", "OVERVIEW")
        (gateway,) = one.ContributingEquipmentSequence
        told = "joined at their restart" if tiling is Tiling.STRIPES else "libjpeg-turbo"
        assert told in gateway.ContributionDescription
        (path,) = one.OpticalPathSequence
        kind = "111743" if slide == REAL else "111744"
        assert path.IlluminationTypeCodeSequence[0].CodeValue == kind
        if slide == REAL:
            assert (path.IlluminationWaveLength, path.OpticalPathDescription) == (
                387.0,
                "Filter set DAPI 2 (387)",
            )
            assert path.ImagePathFilterPassThroughWavelength == 455


def test_other_frames_have_other_uids(made: Path, tmp_path: Path) -> None:
    uids = []
    for tiling in Tiling:
        store = FileStore(tmp_path / tiling)
        names = {one.name for one in convert(made, store, choices=Choices(tiling))}
        (first, *_) = datasets_of(tmp_path / tiling)
        uids.append((names | {first.SeriesInstanceUID}, first.StudyInstanceUID))
    assert not uids[0][0] & uids[1][0]
    assert uids[0][1] == uids[1][1]


def test_an_unknown_excitation_is_not_made_up(tmp_path: Path) -> None:
    slide, out = tmp_path / "slide.ndpi", tmp_path / "out"
    make_ndpi(slide, columns=1024, rows=512, tags={65434: FLUORESCENCE[65434]})
    list(convert(slide, FileStore(out)))
    for one in datasets_of(out):
        (path,) = one.OpticalPathSequence
        assert path.IlluminationTypeCodeSequence[0].CodeValue == "111743"
        assert "IlluminationWaveLength" not in path
        assert "ImagePathFilterPassThroughWavelength" not in path


@pytest.mark.req("REQ-WSI-28", "REQ-WSI-10")
@pytest.mark.parametrize("tiling", list(Tiling))
def test_all_focal_planes_are_a_series_of_their_own(tiling: Tiling, tmp_path: Path) -> None:
    slide, out, usual = tmp_path / "slide.ndpi", tmp_path / "out", tmp_path / "usual"
    make_ndpi(slide, columns=1280, rows=600, stripe=640, planes_nm=(-2000, 0, 2000))
    list(convert(slide, FileStore(usual), choices=Choices(tiling)))
    list(convert(slide, FileStore(out), choices=Choices(tiling, all_focal_planes=True)))
    validate(out)
    validate(usual)
    stack, (plane, *_) = datasets_of(out), datasets_of(usual)
    assert plane.TotalPixelMatrixFocalPlanes == 1
    for one in stack:
        assert one.ImageType[2] == "VOLUME"
        assert one.TotalPixelMatrixFocalPlanes == 3
        across = -(-one.TotalPixelMatrixColumns // one.Columns)
        down = -(-one.TotalPixelMatrixRows // one.Rows)
        assert one.NumberOfFrames == 3 * across * down
        (measures,) = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        assert measures.SpacingBetweenSlices == 0.002
        assert one.StudyInstanceUID == plane.StudyInstanceUID
        assert one.FrameOfReferenceUID == plane.FrameOfReferenceUID
        assert one.SeriesInstanceUID != plane.SeriesInstanceUID
        assert one.PyramidUID != plane.PyramidUID
    with WsiDicom.open(out) as ours:
        assert ours.levels[0].focal_planes == [0.0, 2.0, 4.0]
