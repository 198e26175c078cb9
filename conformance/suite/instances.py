"""Instances, series and studies as files; WADO-URI (checklist, section 7)."""

from __future__ import annotations

from urllib.parse import urlencode

from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import Answer, parameter
from conformance.suite.site import ANY_FILE, Site, read

_NATIVE = "1.2.840.10008.1.2.1"
_SINGLE = "application/dicom; transfer-syntax=*"
_PARTS = 'multipart/related; type="application/dicom"'


@check("REQ-INS-01")
def instance_in_parts(site: Site) -> None:
    """An instance comes as one part, whether the syntax is left open, any, or named."""
    stored = site.file(site.small).file_meta.TransferSyntaxUID
    for accept in (_PARTS, ANY_FILE, f"{_PARTS}; transfer-syntax={stored}"):
        part = site.get(site.small.path, accept).ok().only_part()
        equal(part.content_type.partition(";")[0], "application/dicom", "the type of the part")
        dataset = read(part.body)
        equal(dataset.SOPInstanceUID, site.small.instance, "SOP Instance UID")
        stated = parameter(part.content_type, "transfer-syntax")
        meta = str(dataset.file_meta.TransferSyntaxUID)
        expect(stated in ("", meta), f"the part is called {stated}, the file {meta}")


@check("REQ-INS-01")
def instance_alone(site: Site) -> None:
    """EZ-WSI's single instance is the same file without multipart."""
    for accept in (_SINGLE, "application/dicom"):
        answer = site.get(site.small.path, accept).ok()
        equal(answer.content_type.partition(";")[0], "application/dicom", "Content-Type")
        dataset = read(answer.body)
        equal(dataset.SOPInstanceUID, site.small.instance, "SOP Instance UID")
    part = site.get(site.small.path, ANY_FILE).ok().only_part()
    expect(site.get(site.small.path, _SINGLE).ok().body == part.body, "both forms differ")


@check("REQ-INS-01")
def series_and_study(site: Site) -> None:
    """A series and a study come with all of their instances, one part each."""
    everything = site.whole()
    mine = [one.instance for one in everything if one.series == site.small.series]
    for path, wanted in (
        (site.small.series_path, mine),
        (site.study_path, [one.instance for one in everything]),
    ):
        for accept in (_PARTS, ANY_FILE):
            parts = site.get(path, accept).ok().parts()
            found = [str(read(part.body).SOPInstanceUID) for part in parts]
            equal(sorted(found), sorted(wanted), "the instances")


@check("REQ-INS-01")
def only_instances_come_alone(site: Site) -> None:
    """A series is never a single file: 406."""
    site.get(site.small.series_path, _SINGLE).ok(406)
    site.get(site.study_path, _SINGLE).ok(406)


@check("REQ-INS-01")
def length_is_told(site: Site) -> None:
    """A broken answer cannot be taken for a whole one: its length is told, or it is in chunks."""
    for path in (site.small.path, site.small.series_path if site.whole() else site.small.path):
        answer = site.get(path, ANY_FILE).ok()
        length = answer.header("Content-Length")
        chunked = answer.header("Transfer-Encoding").lower() == "chunked"
        expect(chunked or length == str(len(answer.body)), f"Content-Length is {length!r}")
        expect(b"DICM" in answer.body, "there is no file")


@check("REQ-INS-01", "REQ-OBJ-01")
def objects_without_pixels(site: Site) -> None:
    """Annotations, reports and the like come as Slim fetches them, whole and readable."""
    one = site.without_pixels()
    part = site.get(one.path, _PARTS).ok().only_part()
    dataset = read(part.body)
    equal(dataset.SOPInstanceUID, one.instance, "SOP Instance UID")
    equal(str(dataset.SOPClassUID), one.sop_class, "SOP Class UID")


@check("REQ-INS-02")
def another_syntax(site: Site) -> None:
    """An instance in another syntax is 406, or says so everywhere and has the same pixels."""
    image = site.small
    stored = site.file(image)
    syntax = str(stored.file_meta.TransferSyntaxUID)
    other = _NATIVE if syntax != _NATIVE else "1.2.840.10008.1.2.4.90"
    answer = site.get(image.path, f"{_PARTS}; transfer-syntax={other}").ok(200, 406)
    if answer.status == 406:
        expect(answer.body, "406 does not say what there is")
        return
    dataset = read(answer.only_part().body)
    equal(str(dataset.file_meta.TransferSyntaxUID), other, "the transfer syntax")
    equal(dataset.SOPInstanceUID, image.instance, "SOP Instance UID")
    lossy = str(stored.get("LossyImageCompression", ""))
    equal(str(dataset.get("LossyImageCompression", "")), lossy, "Lossy Image Compression")
    if other == _NATIVE:
        length = image.native_bytes
        equal(len(dataset.PixelData), length + length % 2, "the length of the pixel data")
    octets = 'multipart/related; type="application/octet-stream"'
    frame = site.get(f"{image.path}/frames/1", octets).ok().only_part().body
    if other == _NATIVE:
        expect(dataset.PixelData.startswith(frame), "the pixels differ from the native frame")


@check("REQ-INS-02")
def never_lossy(site: Site) -> None:
    """What is stored without loss is never given with loss."""
    lossless = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90")
    for image in [one for one in site.instances if 0 < one.native_bytes <= 1 << 24]:
        if str(site.file(image).file_meta.TransferSyntaxUID) in lossless:
            for syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"):
                site.get(image.path, f"{_PARTS}; transfer-syntax={syntax}").ok(406)
            accept = 'multipart/related; type="image/jpeg"; transfer-syntax=1.2.840.10008.1.2.4.50'
            site.get(f"{image.path}/frames/1", accept).ok(406)
            return
    raise NotApplicable("no small image is stored without loss")


# -- WADO-URI


def _uri(site: Site, accept: str | None = None, **more: str) -> Answer:
    keys = {
        "requestType": "WADO",
        "studyUID": site.small.study,
        "seriesUID": site.small.series,
        "objectUID": site.small.instance,
        **more,
    }
    base = site.wado or f"{site.client.origin}/wado"
    answer = site.get(f"{base}?{urlencode(keys, safe='*/')}", accept)
    if answer.status == 404 and site.wado is None and "objectUID" not in more:
        raise NotApplicable(f"there is no WADO-URI at {base}: name it with --wado")
    return answer


@check("REQ-URI-01")
def object_by_parameters(site: Site) -> None:
    """WADO-URI gives an object whole, in the stored transfer syntax if any is taken."""
    for more in ({}, {"transferSyntax": "*"}):
        answer = _uri(site, contentType="application/dicom", **more).ok()
        equal(answer.content_type.partition(";")[0], "application/dicom", "Content-Type")
        dataset = read(answer.body)
        equal(dataset.SOPInstanceUID, site.small.instance, "SOP Instance UID")
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        expect(syntax not in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2"), f"it is {syntax}")


@check("REQ-URI-01")
def wrong_parameters(site: Site) -> None:
    """WADO-URI tells of missing parameters with 400 and of unknown objects with 404."""
    _uri(site, contentType="application/dicom").ok()
    _uri(site, contentType="application/dicom", requestType="other").ok(400)
    _uri(site, contentType="application/dicom", objectUID="").ok(400)
    _uri(site, contentType="application/dicom", objectUID="2.25.1").ok(404)


@check("REQ-OBJ-01")
def other_modalities_are_asked_for(site: Site) -> None:
    """Slim's searches for segmentations, maps, presentation states and reports are answered."""
    for modality in ("SEG", "OT", "PR", "SR", "ANN"):
        for level in ("series", "instances"):
            found = site.search(f"{site.study_path}/{level}?Modality={modality}")
            kinds = {str(one["00080060"]["Value"][0]) for one in found if "00080060" in one}
            expect(kinds <= {modality}, f"{modality} finds {sorted(kinds)}")
    for one in site.instances:
        kind = one.document["00080060"]["Value"][0]
        found = site.search(f"{site.study_path}/instances?Modality={kind}")
        listed = [match["00080018"]["Value"][0] for match in found]
        expect(one.instance in listed, f"an instance of {kind} is not found by its modality")
