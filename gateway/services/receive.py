"""The way in: DICOM objects as others made them, examined, stored as they came, then visible.

What came in is the blob, byte for byte. Where the gate repaired the header, or it may not leave
as it came, a header of our own is written beside it and the frames stay where they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset

from gateway.core.errors import (
    BlobMissing,
    Conflict,
    DuplicateInstance,
    GatewayError,
    InvalidDataset,
    Nonconformant,
    OtherStudy,
    UnsupportedSopClass,
    UnsupportedTransferSyntax,
)
from gateway.core.frames import FrameTable
from gateway.core.instances import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    Instance,
    InstanceKey,
    checked_uid,
)
from gateway.core.ports import Attributes, Holding, Index
from gateway.core.storage import Arrival, BlobStore, Buffer
from gateway.dicom.attributes import indexed_attributes
from gateway.dicom.images.pixels import MEDIA_TYPES
from gateway.dicom.json.headers import header_json
from gateway.dicom.sop_classes import DOCUMENTS, IMAGES
from gateway.dicom.streams.part10 import encode_header
from gateway.dicom.streams.reader import ReadPart10, read_part10
from gateway.services.documents import document_blob, document_name
from gateway.services.names import Names
from gateway.services.retrieve import Retrieve

if TYPE_CHECKING:
    from gateway.dicom.gate import Finding, Verdict

COERCED, DOES_NOT_MATCH = 0xB000, 0xB007
"""Warnings of a store: elements were changed; the object is not all that its SOP class is."""

_TOLD = 5
"""Faults that a refusal names."""

_MOST_REFERENCES = 100
"""Headers that are read for one object that refers to others."""


@dataclass(frozen=True, slots=True)
class Received:
    """An object that is stored and visible.

    Parameters
    ----------
    key
        Its UIDs.
    sop_class
        UID of its SOP class.
    verdict
        What the gate said of it; None if it was there before: the same bytes may be sent any
        number of times.
    """

    key: InstanceKey
    sop_class: str
    verdict: Verdict | None

    @property
    def warning(self) -> int | None:
        """Warning Reason (0008,1196) of it: why the sender should look again (PS3.18 I.2.1)."""
        found = {finding.severity.value for finding in self._findings}
        if "repair" in found:
            return COERCED
        return DOES_NOT_MATCH if "warning" in found else None

    @property
    def remarks(self) -> list[str]:
        """What was repaired and what is imperfect, for people."""
        return [f"{one.message} {one.action}" for one in self._findings]

    @property
    def _findings(self) -> tuple[Finding, ...]:
        found = () if self.verdict is None else self.verdict.findings
        return tuple(one for one in found if one.rule != "ANY-CLASS")  # our lack, not the sender's


@dataclass(frozen=True, slots=True, eq=False)
class _Admitted:
    """An object that may be stored.

    Parameters
    ----------
    key
        Its UIDs.
    dataset
        Its header.
    verdict
        What the gate says of it.
    transfer_syntax
        UID of the syntax of its frames as they leave.
    header
        Header that it leaves with.
    as_received
        Whether it leaves as it came, byte for byte.
    frames
        Where its frames lie in what came; None without pixel data.
    attributes
        What the index keeps.
    document
        What metadata requests are answered with.
    """

    key: InstanceKey
    dataset: Dataset
    verdict: Verdict
    transfer_syntax: str
    header: bytes
    as_received: bool
    frames: FrameTable | None
    attributes: Attributes
    document: bytes


class Receive:
    """Takes DICOM objects, whatever door they come through."""

    def __init__(self, index: Index, store: BlobStore, retrieve: Retrieve) -> None:
        self._index = index
        self._store = store
        self._retrieve = retrieve

    def receive(self, chunks: Iterable[Sequence[Buffer]], study: str | None = None) -> Received:
        """Store one object and make it visible.

        Nothing of it is visible before all of it is durable; what is refused leaves nothing. The
        same bytes again change nothing, and bring back what the store has lost of them.

        Parameters
        ----------
        chunks
            The Part 10 stream, in pieces.
        study
            UID of the study that the sender says it is of; None if the sender does not say.

        Raises
        ------
        InvalidDataset
            If it is damaged. This and all that follow name the object in their context if it could
            be read so far, by ``sop_class`` and ``instance``.
        Nonconformant
            If the conformance gate holds it; the message says what to do.
        OtherStudy
            If it is not of the study.
        UnsupportedSopClass, UnsupportedTransferSyntax
            If it is of a kind, or encoded in a way, that is not taken.
        DuplicateInstance
            If other bytes are stored under its SOP Instance UID.
        Conflict
            If its study is that of another patient, or its series is in another study.
        OutOfResources
            If the disk is full.
        """
        digest = hashlib.sha256()
        with self._store.arrive(_digested(chunks, digest)) as arrival:
            read = read_part10(arrival.view, arrival.size)
            with _named(read.dataset):
                return self._received(read, arrival, digest.hexdigest(), study)

    def _received(
        self, read: ReadPart10, arrival: Arrival, sha256: str, study: str | None
    ) -> Received:
        sop_instance = _uid(read.dataset, "SOPInstanceUID")
        sop_class = _uid(read.dataset, "SOPClassUID")
        if study not in (None, of := _uid(read.dataset, "StudyInstanceUID")):
            raise OtherStudy("The object is of another study than it was sent to.", study=of)
        if (holding := self._index.holding(sop_instance)) is not None:
            key = self._same(holding, sha256)
            if holding.sha256:
                self._restore(holding.instance, read, arrival)
            return Received(key, sop_class, None)
        admitted = _admitted(read, arrival.view)
        self._index.check_study(admitted.attributes)
        verdict = self._with_references(admitted)
        instance = self._stored(admitted, arrival, sha256)
        try:
            self._index.add_instance(instance, admitted.attributes, sha256)
        except DuplicateInstance:  # another process has just added it
            holding = self._index.holding(sop_instance)
            assert holding is not None
            return Received(self._same(holding, sha256), sop_class, None)
        return Received(admitted.key, sop_class, verdict)

    def _with_references(self, admitted: _Admitted) -> Verdict:
        """Compare an annotation or a report with the images that it refers to.

        Returns
        -------
        The verdict, with what was found besides.

        Raises
        ------
        Conflict
            If an image is another patient's.
        Nonconformant
            If nobody could say where its shapes lie.
        """
        from gateway.dicom.gate import reference_findings, referred_to

        references = referred_to(admitted.dataset)
        known: dict[str, Dataset] = {}
        studies: set[str] = set()
        for number, uid in enumerate(references):
            if (holding := self._index.holding(uid)) is None:
                continue
            if (study := holding.instance.key.study) not in studies:
                studies.add(study)
                if self._index.is_anothers(study, admitted.attributes):
                    raise Conflict(
                        "The object refers to an image of another patient. Have the sender look "
                        "whose it is.",
                        reference=uid,
                    )
            if number < _MOST_REFERENCES:
                known[uid] = self._retrieve.header(holding.instance)
        sought = dict(islice(references.items(), _MOST_REFERENCES))
        if not sought:
            return admitted.verdict
        found = tuple(reference_findings(admitted.dataset, sought, known))
        _refuse_faults(found)
        return replace(admitted.verdict, findings=(*admitted.verdict.findings, *found))

    def _same(self, holding: Holding, sha256: str) -> InstanceKey:
        """Return the key of what is stored, if it is the same as what came."""
        if (holding.sha256 or self._digest(holding.instance)) == sha256:
            return holding.instance.key
        raise DuplicateInstance(
            "Another object is stored under this SOP Instance UID. Keep that one, or give this one "
            "a UID of its own: a UID names one object for ever.",
            instance=holding.instance.key.instance,
        )

    def _digest(self, instance: Instance) -> str:
        """Return the digest of an instance that was not received, as it leaves."""
        digest = hashlib.sha256()
        for piece in self._retrieve.part10(instance).pieces:
            digest.update(piece)
        return digest.hexdigest()

    def _stored(self, admitted: _Admitted, arrival: Arrival, sha256: str) -> Instance:
        header = Names.by_header(admitted.key, admitted.header).of("header")
        frame_table, blob = map(Names(admitted.key, sha256).of, ("frames", "dcm"))
        beside: dict[str, bytes] = {}
        if admitted.frames is not None:
            beside[frame_table] = admitted.frames.encode()
        elif len(admitted.header) == arrival.size and admitted.as_received:
            header = blob  # which is nothing but a header
        if header != blob:
            beside[header] = admitted.header
        beside[document_name(header)] = admitted.document
        self._store.put_all(beside)
        arrival.keep(blob)
        return Instance(
            admitted.key,
            admitted.transfer_syntax,
            0 if admitted.frames is None else len(admitted.frames),
            header,
            None if admitted.frames is None else frame_table,
            blob,
            header if admitted.as_received else None,
        )

    def _restore(self, instance: Instance, read: ReadPart10, arrival: Arrival) -> None:
        """Write again what is lost of an instance, out of the same bytes as it was made of."""
        assert isinstance(instance.frames, str)
        blobs: dict[str, bytes] = {}
        if read.frames is not None:
            blobs[instance.pixels] = read.frames.encode()
        if instance.verbatim and instance.header != instance.frames:
            blobs[instance.header] = read.header
        self._store.put_all({name: blob for name, blob in blobs.items() if self._lost(name)})
        if self._lost(instance.frames):
            arrival.keep(instance.frames)

    def _lost(self, name: str) -> bool:
        try:
            with self._store.open(name):
                return False
        except BlobMissing:
            return True


@contextmanager
def _named(dataset: Dataset) -> Iterator[None]:
    """Let refusals name the object, as far as it has names."""
    try:
        yield
    except GatewayError as error:
        names = {"sop_class": "SOPClassUID", "instance": "SOPInstanceUID"}
        with suppress(InvalidDataset):
            error.context |= {name: _uid(dataset, keyword) for name, keyword in names.items()}
        raise


def _digested(
    chunks: Iterable[Sequence[Buffer]], digest: hashlib._Hash
) -> Iterator[Sequence[Buffer]]:
    for chunk in chunks:
        for buffer in chunk:
            digest.update(buffer)
        yield chunk


def _admitted(read: ReadPart10, view: Callable[[int, int], Buffer]) -> _Admitted:
    """Examine an object and say how it is stored and leaves."""
    dataset = read.dataset
    sop_instance = _uid(dataset, "SOPInstanceUID")
    if (sop_class := _uid(dataset, "SOPClassUID")) not in IMAGES | DOCUMENTS:
        raise UnsupportedSopClass(
            f"Objects of the SOP class {sop_class} are not taken. The conformance statement lists "
            "those that are: images and what belongs to them, in pathology."
        )
    if read.transfer_syntax not in (*MEDIA_TYPES, IMPLICIT_VR_LITTLE_ENDIAN):
        raise UnsupportedTransferSyntax(
            f"Images in the transfer syntax {read.transfer_syntax} are not taken. Send them in "
            "JPEG Baseline, JPEG lossless, JPEG-LS, JPEG 2000, RLE, or uncompressed."
        )
    if read.frames is None and read.rewritable and sop_class in IMAGES:
        raise Nonconformant("The object is an image without pixel data.")
    if read.frames is not None and sop_class in DOCUMENTS:
        raise Nonconformant("Objects of its SOP class have no pixel data.")
    study, series = (_uid(dataset, f"{level}InstanceUID") for level in ("Study", "Series"))
    key = InstanceKey(study, series, sop_instance)
    verdict = _passed(read, view)
    transfer_syntax, header = read.transfer_syntax, read.header
    if verdict.repaired is not None:
        dataset = verdict.repaired
        header = encode_header(dataset.copy(), transfer_syntax)
    if transfer_syntax == IMPLICIT_VR_LITTLE_ENDIAN:  # which never leaves
        transfer_syntax, header = EXPLICIT_VR_LITTLE_ENDIAN, _explicit(header, dataset)
    if header is not read.header and not read.rewritable:
        raise Nonconformant(
            "The header needs repairs, and such pixel data are only kept with the header that they "
            "came with. Have the sender write it in Explicit VR Little Endian, and correct it: "
            + " ".join(finding.message for finding in verdict.findings[:_TOLD])
        )
    document, attributes = _servable(header, dataset, key, transfer_syntax)
    return _Admitted(
        key,
        dataset,
        verdict,
        transfer_syntax,
        header,
        header is read.header,
        read.frames,
        attributes,
        document,
    )


def _passed(read: ReadPart10, view: Callable[[int, int], Buffer]) -> Verdict:
    """Let the gate examine an object.

    Raises
    ------
    Nonconformant
        If it holds the object.
    """
    # Most commands receive nothing, and people wait for imports.
    from gateway.dicom.gate import examine

    verdict = examine(
        read.dataset, read.transfer_syntax, read.frames, view, wrong_offsets=read.wrong_offsets
    )
    _refuse_faults(verdict.findings)
    return verdict


def _refuse_faults(findings: tuple[Finding, ...]) -> None:
    faults = [one for one in findings if one.severity.value == "error"]
    if not faults:
        return
    told = " ".join(f"{one.message} {one.action}" for one in faults[:_TOLD])
    more = f" And {len(faults) - _TOLD} more." if len(faults) > _TOLD else ""
    raise Nonconformant(f"The conformance gate holds the object. {told}{more}")


def _explicit(implicit: bytes, dataset: Dataset) -> bytes:
    """Return a header with explicit VRs that says the same as one with implicit VRs."""
    with _readable():
        header = encode_header(dataset.copy(), EXPLICIT_VR_LITTLE_ENDIAN)
        again, before = (
            json.loads("".join(header_json(one, inline=lambda tag, length: True)))
            for one in (header, implicit)
        )
    if again != before:
        raise InvalidDataset(
            "The header says something else once its VRs are explicit. Send the object in Explicit "
            "VR Little Endian."
        )
    return header


def _uid(dataset: Dataset, keyword: str) -> str:
    try:
        return checked_uid(str(dataset.get(keyword, "")))
    except Exception as error:  # what is no value of its VR fails in many ways
        raise InvalidDataset(f"{keyword} is missing or is no UID.") from error


def _servable(
    header: bytes, dataset: Dataset, key: InstanceKey, transfer_syntax: str
) -> tuple[bytes, Attributes]:
    """Return its document and what the index keeps, if all that is in it can be answered."""
    with _readable():
        document = document_blob(header, key, transfer_syntax)
        return document, indexed_attributes(dataset, transfer_syntax)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except GatewayError:
        raise
    except Exception as error:  # what is no value of its VR fails in many ways
        raise InvalidDataset(
            "The header has values that cannot be read. Have the sender write it again."
        ) from error
