"""The server that is checked, and what its archive holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

from conformance.suite.checks import Failed, NotApplicable, expect
from conformance.suite.client import Answer, Client, Headers, Json, parameter

WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"
ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
REPORTS = "1.2.840.10008.5.1.4.1.1.88."

ANY_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""What dicom-microscopy-viewer and EZ-WSI send for frames."""
ANY_FILE = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""What dicomweb-client (Python) sends for an instance."""
JSON = "application/dicom+json"

_LARGEST = 1 << 30
"""Native bytes of pixels above which an object is not fetched whole."""
_STUDIES = 200


def value(document: Json, tag: str) -> Any:
    """Return the first value of an attribute; None if it has none."""
    values = document.get(tag, {}).get("Value") or [None]
    return values[0]


def values(document: Json, tag: str) -> list[Any]:
    """Return all values of an attribute."""
    return list(document.get(tag, {}).get("Value") or [])


@dataclass(frozen=True)
class Found:
    """An instance of the archive.

    Parameters
    ----------
    document
        Its metadata.
    """

    document: Json

    @property
    def study(self) -> str:
        """Study Instance UID."""
        return str(value(self.document, "0020000D"))

    @property
    def series(self) -> str:
        """Series Instance UID."""
        return str(value(self.document, "0020000E"))

    @property
    def instance(self) -> str:
        """SOP Instance UID."""
        return str(value(self.document, "00080018"))

    @property
    def sop_class(self) -> str:
        """SOP Class UID."""
        return str(value(self.document, "00080016"))

    @property
    def study_path(self) -> str:
        """Path of the study below the root."""
        return f"/studies/{self.study}"

    @property
    def series_path(self) -> str:
        """Path of the series below the root."""
        return f"{self.study_path}/series/{self.series}"

    @property
    def path(self) -> str:
        """Path of the instance below the root."""
        return f"{self.series_path}/instances/{self.instance}"

    @property
    def flavour(self) -> str:
        """Image Type, value 3."""
        kinds = values(self.document, "00080008")
        return str(kinds[2]) if len(kinds) > 2 else ""

    @property
    def frames(self) -> int:
        """Number of frames; 0 of an object without pixels."""
        if "00280010" not in self.document:
            return 0
        return int(value(self.document, "00280008") or 1)

    @property
    def frame_bytes(self) -> int:
        """Length of a native frame."""
        rows, columns, samples, allocated = (
            int(value(self.document, tag) or 1)
            for tag in ("00280010", "00280011", "00280002", "00280100")
        )
        return rows * columns * samples * allocated // 8

    @property
    def native_bytes(self) -> int:
        """Length of all native frames."""
        return self.frames * self.frame_bytes if self.frames else 0


class Site:
    """A server, what may be done to it, and what is there.

    Parameters
    ----------
    client
        Speaks to it.
    study
        Study Instance UID to look at; found by searching if None.
    write
        Whether objects may be stored.
    origin
        An origin that pages of viewers come from, if the server is to answer it.
    wado
        URL of WADO-URI, if it is not ``/wado`` on the same server.
    """

    def __init__(
        self,
        client: Client,
        study: str | None = None,
        *,
        write: bool = False,
        origin: str | None = None,
        wado: str | None = None,
    ) -> None:
        self.client = client
        self.write = write
        self.origin = origin
        self.wado = wado
        self._study = study
        self._files: dict[str, Dataset] = {}

    def get(self, path: str, accept: str | None = None, headers: Headers = ()) -> Answer:
        """Get a resource."""
        return self.client.get(path, accept, headers)

    def search(self, path: str) -> list[Json]:
        """Search as dicomweb-client (JavaScript) does; no content means no match."""
        answer = self.get(path, JSON)
        return [] if answer.status == 204 else answer.documents()

    @cached_property
    def study(self) -> str:
        """The study that is looked at: one with a slide and annotations if there is any."""
        if self._study:
            return self._study
        found = self.search(f"/studies?ModalitiesInStudy=SM&limit={_STUDIES}")
        found = found or self.search(f"/studies?limit={_STUDIES}")
        if not found:
            raise NotApplicable("the archive has no study")
        richest = max(found, key=lambda one: len(values(one, "00080061")))
        return str(value(richest, "0020000D"))

    @property
    def study_path(self) -> str:
        """Path of the study below the root."""
        return f"/studies/{self.study}"

    @cached_property
    def instances(self) -> list[Found]:
        """All instances of the study."""
        documents = self.get(f"{self.study_path}/metadata", JSON).documents()
        expect(documents, "the study has no metadata")
        return [Found(document) for document in documents]

    @cached_property
    def images(self) -> list[Found]:
        """The instances with frames, the fewest pixels first; levels of slides if there are any."""
        pixels = [one for one in self.instances if one.frames]
        levels = [one for one in pixels if one.sop_class == WSI and one.flavour == "VOLUME"]
        if not pixels:
            raise NotApplicable("the study has no image")
        return sorted(levels or pixels, key=lambda one: one.native_bytes)

    @cached_property
    def small(self) -> Found:
        """The image that is fetched whole."""
        if self.images[0].native_bytes > _LARGEST:
            raise NotApplicable("every image of the study is too large to be fetched whole")
        return self.images[0]

    @cached_property
    def image(self) -> Found:
        """The image with the most frames."""
        return max(self.images, key=lambda one: one.frames)

    @property
    def many(self) -> Found:
        """An image of several frames."""
        if self.image.frames < 3:
            raise NotApplicable("the study has no image of three frames or more")
        return self.image

    @cached_property
    def syntax(self) -> str:
        """Transfer syntax of the image's frames as stored."""
        told = value(self.image.document, "00083002")
        if not told:
            parts = self.get(f"{self.image.path}/frames/1", ANY_STORED).ok().parts()
            told = parameter(parts[0].content_type, "transfer-syntax")
        if not told or told == "*":
            told = self.file(self.image).file_meta.TransferSyntaxUID
        return str(told)

    def bulk_data_uri(self) -> str:
        """Return the URI of a binary value, taken out of a search, where none is inline."""
        keys = "includefield=OpticalPathSequence&includefield=AnnotationGroupSequence"
        found = uris(self.search(f"{self.study_path}/instances?{keys}"))
        found += uris(one.document for one in self.instances)
        of_values = [uri for uri in found if "7FE00010" not in uri.upper()]
        if not of_values:
            raise NotApplicable("nothing in the study is bulk data")
        return of_values[0]

    def without_pixels(self) -> Found:
        """Return annotations, a report or another object that is no image."""
        for one in self.instances:
            if not one.frames:
                return one
        raise NotApplicable("the study has no object without pixels")

    def of_class(self, beginning: str, name: str) -> Found:
        """Return an instance by the beginning of its SOP Class UID."""
        for one in self.instances:
            if one.sop_class.startswith(beginning):
                return one
        raise NotApplicable(f"the study has no {name}")

    def whole(self) -> list[Found]:
        """Return the instances of the study, if they can be fetched whole."""
        if sum(one.native_bytes for one in self.instances) > _LARGEST:
            raise NotApplicable("the study is too large to be fetched whole")
        return self.instances

    def file(self, one: Found) -> Dataset:
        """Return an instance, fetched once, as it is stored."""
        if one.instance not in self._files:
            part = self.get(one.path, ANY_FILE).ok().only_part()
            self._files[one.instance] = read(part.body)
        return self._files[one.instance]

    def stored_frames(self, one: Found) -> list[bytes]:
        """Return the bit streams of an instance, cut out of its file."""
        dataset = self.file(one)
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            return list(generate_frames(dataset.PixelData, number_of_frames=one.frames))
        size = one.frame_bytes
        return [
            dataset.PixelData[start : start + size] for start in range(0, one.frames * size, size)
        ]


def read(body: bytes) -> Dataset:
    """Read a Part 10 file.

    Raises
    ------
    Failed
        If it is none.
    """
    expect(body[128:132] == b"DICM", "the body is no Part 10 file")
    try:
        return pydicom.dcmread(BytesIO(body))
    except Exception as error:
        raise Failed(f"the file cannot be read: {error}") from error


def walk(document: Json, place: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the path and the JSON object of each attribute, items of sequences included."""
    for tag, attribute in document.items():
        yield place + tag, attribute
        if attribute.get("vr") == "SQ":
            for number, item in enumerate(attribute.get("Value") or []):
                yield from walk(item or {}, f"{place}{tag}/{number}/")


def uris(documents: Iterable[Json]) -> list[str]:
    """Return all bulk data URIs."""
    return [
        str(attribute["BulkDataURI"])
        for document in documents
        for _, attribute in walk(document)
        if "BulkDataURI" in attribute
    ]
