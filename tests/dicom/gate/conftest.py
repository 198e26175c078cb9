"""Objects that all tests of the gate start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.bench.objects import annotations_of, report_of
from converters.convert import convert
from gateway.store.files import FileStore
from tests.dicom.gate.samples import Sample, as_received, images_of
from tests.factories import SvsTruth


@pytest.fixture(scope="session")
def folder(svs: tuple[Path, SvsTruth], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a converted slide of three levels."""
    folder = tmp_path_factory.mktemp("converted")
    list(convert(svs[0], FileStore(folder)))
    return folder


@pytest.fixture(scope="session")
def images(folder: Path) -> dict[str, Sample]:
    """The images of a converted slide."""
    return images_of(folder)


@pytest.fixture(scope="session")
def image(images: dict[str, Sample]) -> Sample:
    """The base level."""
    return images["VOLUME 0"]


@pytest.fixture(scope="session", name="annotations")
def of_the_base(image: Sample) -> Sample:
    """Annotations of the base level."""
    return as_received(annotations_of(image.dataset))


@pytest.fixture(scope="session")
def report(image: Sample) -> Sample:
    """A report of the base level."""
    return as_received(report_of(image.dataset))
