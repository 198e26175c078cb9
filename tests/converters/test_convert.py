"""Scanner files become instances that validators and other readers take."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image, ImageCms
from pydicom import Dataset
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from converters.convert import convert
from converters.library import ScannerFiles
from gateway.core.errors import Conflict, SlideUnreadable, SpacingUnknown
from gateway.core.ports import SlidePlan
from gateway.dicom.geometry import NOMINAL_THICKNESS_MM
from gateway.dicom.images.icc import srgb_profile
from gateway.store.files import FileStore
from tests.conftest import dicom_faults, tool
from tests.factories import SvsTruth, make_svs


def converted(slide: Path, folder: Path, **options: float) -> list[Dataset]:
    done = list(convert(slide, FileStore(folder), **options))  # type: ignore[arg-type]
    assert {one.name for one in done} == {path.name for path in folder.iterdir()}
    return [pydicom.dcmread(folder / one.name) for one in done]


@pytest.fixture(scope="module")
def folder(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted")
    converted(svs[0], out)
    return out


@pytest.fixture(scope="module")
def datasets(folder: Path) -> list[Dataset]:
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(found, key=lambda one: int(one.InstanceNumber))


@pytest.fixture(params=["made", "ycbcr", "j2k-ict", "j2k-rct", "j2k-rgb", "dateless", "real"])
def any_slide(request: pytest.FixtureRequest, svs: tuple[Path, SvsTruth], tmp_path: Path) -> Path:
    if request.param == "made":
        return svs[0]
    if request.param == "real":
        return Path(request.getfixturevalue("real_svs"))
    path = tmp_path / f"{request.param}.svs"
    if request.param.startswith("j2k"):
        make_svs(path, components=request.param)
    elif request.param == "ycbcr":
        make_svs(path, components="ycbcr", icc=srgb_profile(), extra_description="|Barcode = B1")
    else:
        make_svs(path, date=None, time=None, app_mag=None, label=False, macro=False)
    return path


@pytest.mark.req("REQ-WSI-01", "REQ-WSI-02", "REQ-WSI-17", "REQ-WSI-19", "REQ-WSI-30", "REQ-WSI-33")
def test_validators_find_no_error(any_slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    converted(any_slide, out)
    assert dicom_faults(out) == []


@pytest.mark.req("REQ-WSI-34")
def test_dcmtk_reads_every_file(folder: Path) -> None:
    for file in folder.iterdir():
        command = [tool("dcmdump", "dcmtk"), "+fo", "-q", str(file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.req("REQ-WSI-25", "REQ-FRM-02")
def test_frame_bytes_are_the_tiles_joined_with_their_tables(
    svs: tuple[Path, SvsTruth], datasets: list[Dataset]
) -> None:
    for dataset, level in zip(datasets, svs[1].levels, strict=False):
        frames = list(generate_frames(dataset.PixelData, number_of_frames=len(level.tiles)))
        assert dataset.NumberOfFrames == len(level.tiles) == len(frames)
        for frame, tile in zip(frames, level.tiles, strict=True):
            assert frame.rstrip(b"\0").endswith(tile[2:])
            assert level.tables[2:-2] in frame


@pytest.mark.req("REQ-WSI-07", "REQ-WSI-10")
def test_openslide_reads_the_folder_as_it_reads_the_scanners_file(
    svs: tuple[Path, SvsTruth], folder: Path
) -> None:
    ours = openslide.OpenSlide(next(folder.iterdir()))
    theirs = openslide.OpenSlide(svs[0])
    with ours, theirs:
        assert ours.level_dimensions == theirs.level_dimensions
        assert set(ours.associated_images) == {"label", "macro", "thumbnail"}
        for mpp in ("openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power"):
            assert float(ours.properties[mpp]) == float(theirs.properties[mpp])
        for level, size in enumerate(ours.level_dimensions):
            mine = np.asarray(ours.read_region((0, 0), level, size).convert("RGB"))
            other = np.asarray(theirs.read_region((0, 0), level, size).convert("RGB"))
            assert np.array_equal(mine, other)


@pytest.mark.filterwarnings("ignore:The odd length pixel data")  # wsidicom cuts the padding off
@pytest.mark.req("REQ-WSI-10")
def test_wsidicom_opens_the_folder(svs: tuple[Path, SvsTruth], folder: Path) -> None:
    with WsiDicom.open(folder) as slide:
        assert len(slide.levels) == 3
        for index, level in enumerate(svs[1].levels):
            size = (level.columns, level.rows)
            region = slide.read_region((0, 0), slide.levels[index].level, size)
            difference = np.asarray(region.convert("RGB")).astype(int) - level.pixels
            assert np.abs(difference).max() == 0
        assert svs[1].label is not None
        assert slide.read_label().size == svs[1].label.shape[1::-1]


@pytest.mark.req("REQ-WSI-03", "REQ-WSI-29")
def test_image_types_and_label_flags_tell_what_an_image_is(datasets: list[Dataset]) -> None:
    found = {tuple(one.ImageType): one for one in datasets}
    assert list(found) == [
        ("ORIGINAL", "PRIMARY", "VOLUME", "NONE"),
        ("DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"),
        ("DERIVED", "PRIMARY", "THUMBNAIL", "RESAMPLED"),
        ("ORIGINAL", "PRIMARY", "LABEL", "NONE"),
        ("ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"),
    ]
    for (_, _, flavour, _), one in found.items():
        shows_label = "YES" if flavour in ("LABEL", "OVERVIEW") else "NO"
        assert one.SpecimenLabelInImage == one.BurnedInAnnotation == shows_label


@pytest.mark.req("REQ-WSI-31")
def test_what_was_sampled_down_says_so(datasets: list[Dataset]) -> None:
    for one in datasets:
        derived = one.ImageType[0] == "DERIVED"
        assert derived is ("DerivationDescription" in one)
        if derived:
            assert one.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"


def same(datasets: list[Dataset], value: Callable[[Dataset], object]) -> bool:
    return len({str(value(one)) for one in datasets}) == 1


@pytest.mark.req("REQ-WSI-04", "REQ-WSI-05", "REQ-WSI-20", "REQ-WSI-21", "REQ-WSI-24")
def test_what_viewers_compare_is_the_same_in_all_instances(datasets: list[Dataset]) -> None:
    for keyword in (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "ContainerIdentifier",
        "AcquisitionUID",
        "DeviceSerialNumber",
        "Manufacturer",
    ):
        assert same(datasets, lambda one, name=keyword: one[name].value)  # type: ignore[misc]
    assert same(datasets, lambda one: one.OpticalPathSequence[0].ICCProfile)
    assert {one.OpticalPathSequence[0].OpticalPathIdentifier for one in datasets} == {"1"}
    pyramid = [one for one in datasets if one.ImageType[2] in ("VOLUME", "THUMBNAIL")]
    assert same(pyramid, lambda one: one.PyramidUID)
    assert len({one.SOPInstanceUID for one in datasets}) == len(datasets)


@pytest.mark.req("REQ-WSI-09", "REQ-WSI-14", "REQ-WSI-15", "REQ-WSI-28", "REQ-WSI-35")
def test_every_instance_is_what_all_readers_take(datasets: list[Dataset]) -> None:
    for one in datasets:
        assert one.DimensionOrganizationType == "TILED_FULL"
        assert one.TotalPixelMatrixFocalPlanes == 1
        assert (one.BitsAllocated, one.BitsStored, one.HighBit) == (8, 8, 7)
        assert (one.SamplesPerPixel, one.PixelRepresentation, one.PlanarConfiguration) == (3, 0, 0)
        assert one.file_meta.TransferSyntaxUID in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1")
        assert one.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.req("REQ-WSI-17", "REQ-WSI-18")
def test_spacing_follows_from_whole_sizes_and_volume_is_the_same(
    svs: tuple[Path, SvsTruth], datasets: list[Dataset]
) -> None:
    base = svs[1].levels[0]
    for one in datasets[:4]:
        measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        row_mm, column_mm = map(float, measures.PixelSpacing)
        assert row_mm * one.TotalPixelMatrixRows == pytest.approx(base.rows * 0.000499, 1e-12)
        assert column_mm * one.TotalPixelMatrixColumns == pytest.approx(
            base.columns * 0.000499, 1e-12
        )
        assert one.ImagedVolumeWidth == pytest.approx(base.columns * 0.000499, 1e-6)
        assert one.ImagedVolumeHeight == pytest.approx(base.rows * 0.000499, 1e-6)
        assert one.ImagedVolumeDepth == NOMINAL_THICKNESS_MM * 1000
        assert float(measures.SliceThickness) == NOMINAL_THICKNESS_MM
        (origin,) = one.TotalPixelMatrixOriginSequence  # the centre of the first pixel
        corner = (base.rows * 0.000499, base.columns * 0.000499)
        assert origin.XOffsetInSlideCoordinateSystem + row_mm / 2 == pytest.approx(corner[0])
        assert origin.YOffsetInSlideCoordinateSystem + column_mm / 2 == pytest.approx(corner[1])
        assert one.ImageOrientationSlide == [0, -1, 0, -1, 0, 0]


@pytest.mark.req("REQ-WSI-18")
def test_where_a_label_or_an_overview_lies_is_not_claimed(datasets: list[Dataset]) -> None:
    for one in datasets[4:]:
        assert one.ImageType[2] in ("LABEL", "OVERVIEW")
        assert "PixelSpacing" not in one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert "ImagedVolumeWidth" not in one
        (origin,) = one.TotalPixelMatrixOriginSequence
        assert origin.XOffsetInSlideCoordinateSystem == origin.YOffsetInSlideCoordinateSystem == 0


@pytest.mark.req("REQ-WSI-16")
def test_the_lossy_past_is_told(datasets: list[Dataset]) -> None:
    for one in datasets:
        lossy = one.ImageType[2] != "LABEL"
        assert one.LossyImageCompression == ("01" if lossy else "00")
        assert ("LossyImageCompressionMethod" in one) is lossy
        if lossy:
            native = 3 * one.Rows * one.Columns * one.NumberOfFrames
            frames = generate_frames(one.PixelData, number_of_frames=one.NumberOfFrames)
            stored = sum(len(frame) for frame in frames)
            ratio = float(one.LossyImageCompressionRatio)
            assert ratio == pytest.approx(native / stored, 0.01)


@pytest.mark.req("REQ-WSI-22", "REQ-WSI-31", "REQ-WSI-06")
def test_specimen_and_gateway_are_named(datasets: list[Dataset], tmp_path: Path) -> None:
    for one in datasets:
        specimen = one.SpecimenDescriptionSequence[0]
        assert specimen.SpecimenTypeCodeSequence[0].CodeValue == "1179252003"
        assert specimen.SpecimenIdentifier == one.ContainerIdentifier
        assert one.ContributingEquipmentSequence[0].Manufacturer == "Slidegate"
    slide = tmp_path / "barcode.svs"
    make_svs(slide, extra_description="|Barcode = S26-77")
    assert {one.ContainerIdentifier for one in converted(slide, tmp_path / "out")} == {"S26-77"}


@pytest.mark.req("REQ-WSI-23")
def test_nothing_about_the_patient_comes_from_the_scanners_file(tmp_path: Path) -> None:
    slide = tmp_path / "Smith^Ann.svs"
    make_svs(slide, extra_description="|User = Doe^Jane|Filename = Smith^Ann|Title = Smith")
    for one in converted(slide, tmp_path / "out"):
        assert one.PatientName == one.PatientID == one.AccessionNumber == ""
        text = str(one)
        assert "Smith" not in text
        assert "Jane" not in text


@pytest.mark.req("REQ-WSI-32")
def test_the_same_slide_gives_the_same_bytes_wherever_it_lies(
    svs: tuple[Path, SvsTruth], folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.svs"
    copy.write_bytes(svs[0].read_bytes())
    converted(copy, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()


def test_spacing_is_stated_by_the_file_or_the_operator_and_never_guessed(tmp_path: Path) -> None:
    silent, telling = tmp_path / "silent.svs", tmp_path / "telling.svs"
    make_svs(silent, mpp=None)
    make_svs(telling, mpp="0.25")
    library = ScannerFiles()
    with pytest.raises(SpacingUnknown, match="--mpp"):
        library.plan(str(silent))
    with pytest.raises(Conflict, match=r"0\.25"):
        library.plan(str(telling), 0.5)
    one, other = library.plan(str(silent), 0.5), library.plan(str(silent), 0.25)
    assert isinstance(one, SlidePlan)
    assert isinstance(other, SlidePlan)
    assert one.study != other.study
    assert b"0.5 um was stated by the operator" in one.instances[0].header
    (base, *_) = converted(silent, tmp_path / "out", stated_spacing_um=0.5)
    measures = base.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(one) for one in measures.PixelSpacing] == [0.0005, 0.0005]


def test_an_unknown_date_is_plainly_none(tmp_path: Path) -> None:
    slide = tmp_path / "slide.svs"
    make_svs(slide, date="13/45/99")
    (base, *_) = converted(slide, tmp_path / "out")
    assert base.AcquisitionDateTime == "19000101000000"
    assert "states no date" in base.ContributingEquipmentSequence[0].ContributionDescription


@pytest.mark.req("REQ-WSI-21")
def test_the_sources_colour_profile_is_kept_and_srgb_assumed_without(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert profile != srgb_profile()
    with_own, without = tmp_path / "own.svs", tmp_path / "none.svs"
    make_svs(with_own, icc=profile)
    make_svs(without)
    (own, *_) = converted(with_own, tmp_path / "a")
    (none, *_) = converted(without, tmp_path / "b")
    assert own.OpticalPathSequence[0].ICCProfile.rstrip(b"\0") == profile.rstrip(b"\0")
    assert none.OpticalPathSequence[0].ICCProfile == srgb_profile()
    assert "sRGB was assumed" in none.ContributingEquipmentSequence[0].ContributionDescription


@pytest.mark.req("REQ-WSI-21")
@pytest.mark.parametrize("damage", ["other colours", "no profile", "cut", "empty"])
def test_a_profile_that_viewers_cannot_use_is_left_out_and_named(
    damage: str, tmp_path: Path
) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = srgb_profile()
    profiles = {
        "other colours": lab,
        "no profile": srgb[:36] + b"none" + srgb[40:],
        "cut": srgb[:-9],
        "empty": bytes(2),
    }
    make_svs(tmp_path / "slide.svs", icc=profiles[damage])
    for one in converted(tmp_path / "slide.svs", tmp_path / "out"):
        assert one.OpticalPathSequence[0].ICCProfile == srgb
        remarks = one.ContributingEquipmentSequence[0].ContributionDescription
        assert "no ICC profile of R, G, B; sRGB was assumed" in remarks


def test_the_assumed_profile_is_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(srgb_profile()))
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    changed = ImageCms.applyTransform(Image.fromarray(pixels), transform)
    assert changed is not None
    assert np.abs(np.asarray(changed).astype(int) - pixels).max() <= 1


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    slide = tmp_path / "slide.svs"
    slide.write_bytes(b"II*\0 no slide")
    with pytest.raises(SlideUnreadable):
        list(convert(slide, FileStore(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
