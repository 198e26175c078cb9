"""Objects that pass the gate, to be broken: images of a converted slide, annotations, a report."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread

from gateway.core.frames import FrameTable
from gateway.core.instances import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.dictionary import vr_of
from gateway.dicom.gate import Finding, Verdict
from gateway.dicom.gate.streams import examine_part10
from gateway.dicom.streams.part10 import Part10, encode_header
from gateway.dicom.streams.reader import read_part10


@dataclass(frozen=True)
class Sample:
    """An object before it is a stream."""

    dataset: Dataset
    frames: tuple[bytes, ...]
    transfer_syntax: str

    def changed(self, change: Callable[[Dataset], object]) -> Sample:
        """Return a copy after a change of its data set."""
        dataset = copy.deepcopy(self.dataset)
        change(dataset)
        return replace(self, dataset=dataset)

    def with_frames(self, change: Callable[[bytes], bytes]) -> Sample:
        """Return a copy of which every frame is changed."""
        return replace(self, frames=tuple(map(change, self.frames)))

    def encoded(self) -> bytes:
        """Return the Part 10 stream."""
        dataset = copy.deepcopy(self.dataset)
        header = encode_header(dataset, self.transfer_syntax)
        if not self.frames:
            return header
        lengths = np.array([len(frame) for frame in self.frames], np.int64)
        table = FrameTable(b"", np.cumsum(lengths) - lengths, lengths)
        pixels = b"".join(self.frames)
        layout = Part10(header, table, self.transfer_syntax)
        chunks = layout.chunks(lambda offset, length: pixels[offset : offset + length])
        return b"".join(bytes(part) for chunk in chunks for part in chunk)


def opened(stream: bytes) -> Sample:
    """Take a stream apart."""
    found = read_part10(reader(stream), len(stream))
    frames = found.frames
    numbers = range(1, 1 + len(frames)) if frames else ()
    return Sample(
        dcmread(BytesIO(found.header)),
        tuple(frames.bitstream(number, reader(stream)) for number in numbers) if frames else (),
        found.transfer_syntax,
    )


def as_received(dataset: Dataset) -> Sample:
    """Return an object without frames as it is when it was sent."""
    return opened(Sample(dataset, (), EXPLICIT_VR_LITTLE_ENDIAN).encoded())


def reader(stream: bytes) -> Callable[[int, int], bytes]:
    """Return what reads a stream."""
    return lambda offset, length: stream[offset : offset + length]


def judged(stream: bytes) -> Verdict:
    """Examine a stream as it comes."""
    return examine_part10(reader(stream), len(stream))[0]


def rules(findings: Sequence[Finding]) -> set[str]:
    """Return the identifiers of the rules that found something."""
    return {finding.rule for finding in findings}


def put(dataset: Dataset, keyword: str, value: object, vr: str | None = None) -> None:
    """Set an attribute to what pydicom would not let it be."""
    dataset[keyword] = DataElement(keyword, vr or vr_of(keyword), value, validation_mode=0)


def images_of(folder: Path) -> dict[str, Sample]:
    """Return the images of a converted slide: VOLUME 0 is the base, VOLUME 1 the level above."""
    found: dict[str, Sample] = {}
    samples = [opened(path.read_bytes()) for path in folder.glob("*.dcm")]
    for sample in sorted(samples, key=lambda one: int(one.dataset.InstanceNumber)):
        kind = sample.dataset.ImageType[2]
        level = sum(name.startswith(kind) for name in found)
        found[f"VOLUME {level}" if kind == "VOLUME" else kind] = sample
    return found
