"""Metadata and bulk data (checklist, section 6)."""

from __future__ import annotations

import base64
import warnings

from pydicom.dataset import Dataset

from conformance.suite.checks import Failed, NotApplicable, check, equal, expect
from conformance.suite.client import Json
from conformance.suite.site import ANNOTATIONS, JSON, Found, Site, uris, value, values, walk

_BINARY = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
_MULTIPART = 'multipart/related; type="application/octet-stream"'
_EZ_WSI = "application/octet-stream; transfer-syntax=*"
_SMALL = 64 << 10
"""Bytes up to which binary values are expected inline: colour profiles, small annotations."""


def _all(site: Site) -> list[Json]:
    return site.get(f"{site.study_path}/metadata", JSON).documents()


@check("REQ-META-01")
def metadata_of_three_levels(site: Site) -> None:
    """Metadata of study, series and instance are arrays of the same data sets."""
    study = {value(one, "00080018"): one for one in _all(site)}
    series = site.get(f"{site.small.series_path}/metadata", JSON).documents()
    (instance,) = site.get(f"{site.small.path}/metadata", JSON).documents()
    equal(instance, study[site.small.instance], "the data set of the instance")
    for one in series:
        equal(one, study[value(one, "00080018")], "a data set of the series")


@check("REQ-META-01", "REQ-META-02")
def metadata_are_the_file(site: Site) -> None:
    """Metadata have every attribute of the file, with its value, and no file meta information."""
    (document,) = site.get(f"{site.small.path}/metadata", JSON).documents()
    dataset = site.file(site.small)
    equal([tag for tag in document if tag.startswith("0002")], [], "file meta information")
    wanted = {f"{element.tag:08X}" for element in dataset} - {"7FE00010", "7FE00001", "7FE00002"}
    missing = sorted(wanted - set(document))
    expect(not missing, f"missing: {missing[:10]}")
    for element in dataset:
        tag = f"{element.tag:08X}"
        if tag in wanted and element.VR not in (*_BINARY, "SQ"):
            read = _read(site, {tag: document[tag]})
            same = tag in read and str(read[tag].value) == str(element.value)
            expect(same or element.VM == 0, f"{tag} has another value than the file")


def _read(site: Site, document: Json) -> Dataset:
    def fetch(_tag: str, _vr: str, uri: str) -> bytes:
        return site.get(uri, _MULTIPART).ok().only_part().body

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that the file has, however odd they are
        return Dataset.from_json(document, fetch)


@check("REQ-META-01")
def metadata_can_be_read_back(site: Site) -> None:
    """Pydicom reads the metadata of every instance, as wsidicom does."""
    documents = _all(site)
    equal(len(documents), len(site.instances), "the number of instances")
    for document in documents:
        document.pop("7FE00010", None)
        dataset = _read(site, document)
        expect(dataset.SOPInstanceUID and dataset.SOPClassUID, "the data set has no UIDs")


@check("REQ-META-02")
def binary_values_are_there(site: Site) -> None:
    """Every binary element is inline or a URI: never left out, never an empty shell."""
    found = 0
    for one in site.get(f"{site.study_path}/metadata", JSON).documents():
        for path, attribute in walk(one):
            if attribute["vr"] in _BINARY:
                found += 1
                full = attribute.get("InlineBinary") or attribute.get("BulkDataURI")
                expect(full, f"{path} has neither InlineBinary nor BulkDataURI")
    if not found:
        raise NotApplicable("nothing in the study is binary")


@check("REQ-META-02", "REQ-META-04")
def coordinates_are_there(site: Site) -> None:
    """Each group of annotations has the coordinates and indices of its own."""
    one = site.of_class(ANNOTATIONS, "bulk annotations")
    (document,) = site.get(f"{one.path}/metadata", JSON).documents()
    groups = site.file(one).AnnotationGroupSequence
    equal(len(values(document, "006A0002")), len(groups), "the number of groups")
    for described, group in zip(values(document, "006A0002"), groups, strict=True):
        for tag in ("00660016", "00660022", "00660040"):
            if tag in group:
                expect(tag in described, f"{tag} of a group is missing")
                wanted = group[tag].value
                equal(_bytes(site, described[tag]), wanted, f"{tag} of a group")


def _bytes(site: Site, attribute: Json) -> bytes:
    if "InlineBinary" in attribute:
        return base64.b64decode(attribute["InlineBinary"], validate=True)
    expect("BulkDataURI" in attribute, "a binary value is an empty shell")
    return site.get(attribute["BulkDataURI"], _MULTIPART).ok().only_part().body


@check("REQ-META-03")
def small_values_are_inline(site: Site) -> None:
    """Colour profiles and small annotations are inline: wsidicom follows no URI."""
    sized = 0
    for path, attribute in [pair for one in _all(site) for pair in walk(one)]:
        if attribute["vr"] not in _BINARY or path.startswith("7FE00010"):
            continue
        sized += 1
        if "BulkDataURI" in attribute:
            size = len(_bytes(site, attribute))
            expect(size > _SMALL, f"{path} of {size} bytes is a URI")
    if not sized:
        raise NotApplicable("nothing in the study is binary")


@check("REQ-META-04")
def uris_are_distinct(site: Site) -> None:
    """Each binary value has a URI of its own."""
    documents = site.search(f"{site.study_path}/instances?includefield=all")
    for document in documents + _all(site):
        found = uris([document])
        doubles = {uri for uri in found if found.count(uri) > 1}
        expect(not doubles, f"two values share {sorted(doubles)[:1]}")
    if not uris(documents + _all(site)):
        raise NotApplicable("nothing in the study is bulk data")


@check("REQ-META-05")
def no_pixel_data(site: Site) -> None:
    """Pixel data are not in metadata."""
    for document in _all(site):
        expect("InlineBinary" not in document.get("7FE00010", {}), "pixel data are inline")
    expect(any("00280010" in document for document in _all(site)), "there is no image")


@check("REQ-META-06")
def bulk_data_bytes(site: Site) -> None:
    """Bulk data are the bytes of the value, in parts (viewers) and single (EZ-WSI)."""
    uri = site.bulk_data_uri()
    part = site.get(uri, _MULTIPART).ok().only_part()
    single = site.get(uri, _EZ_WSI).ok()
    equal(single.content_type.partition(";")[0], "application/octet-stream", "Content-Type")
    expect(part.body and part.body == single.body, "both forms differ")
    profiles = [
        bytes(item.ICCProfile)
        for one in site.images
        for item in site.file(one).get("OpticalPathSequence", [])
        if "ICCProfile" in item and one.native_bytes <= site.small.native_bytes
    ]
    if uri.rstrip("/").endswith("00282000"):
        expect(single.body in profiles, "the colour profile is another")


@check("REQ-META-06")
def bulk_data_elsewhere(site: Site) -> None:
    """A bulk data URI that leads nowhere is 404."""
    for path in ("00282000", "00480105/77/00282000", "00480105/0/00480106/0/00282000"):
        site.get(f"{site.small.path}/bulkdata/{path}", _MULTIPART).ok(404)
    if "/bulkdata/" not in site.bulk_data_uri():
        raise NotApplicable("bulk data have addresses of another form here")
    site.get(site.bulk_data_uri(), _MULTIPART).ok()


@check("REQ-META-07")
def numbers_are_numbers(site: Site) -> None:
    """Decimal strings are JSON numbers of full precision."""
    (document,) = site.get(f"{site.small.path}/metadata", JSON).documents()
    shared = values(document, "52009229")
    if not shared or "00289110" not in shared[0]:
        raise NotApplicable("the image has no Pixel Measures")
    told = values(values(shared[0], "00289110")[0], "00280030")
    dataset = site.file(site.small)
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for number, wanted in zip(told, measures.PixelSpacing, strict=True):
        expect(isinstance(number, float | int), f"Pixel Spacing is {number!r}")
        expect(abs(number - float(wanted)) <= 1e-12, f"Pixel Spacing is {number}, not {wanted}")


@check("REQ-META-09")
def series_metadata_are_complete(site: Site) -> None:
    """Metadata of a series are those of all its instances, each with its SOP Class."""
    for path in sorted({one.series_path for one in site.instances}):
        documents = site.get(f"{path}/metadata", JSON).documents()
        found = sorted(str(value(one, "00080018")) for one in documents)
        listed = site.search(f"{path}/instances")
        expect(listed, "the series has no instances")
        equal(found, sorted(str(value(one, "00080018")) for one in listed), "the instances")
        expect(all(value(one, "00080016") for one in documents), "an instance has no SOP Class")


@check("REQ-META-10")
def private_values_stay(site: Site) -> None:
    """Private values are what they are in the file."""
    for one in site.instances:
        if one.native_bytes > site.small.native_bytes:
            continue
        private = [tag for tag in one.document if _private(tag)]
        if private:
            _same_private(site, one)
            return
    raise NotApplicable("no instance has private values")


def _private(tag: str) -> bool:
    return int(tag[:4], 16) % 2 == 1 and tag[4:6] != "00"


def _same_private(site: Site, one: Found) -> None:
    (document,) = site.get(f"{one.path}/metadata", JSON).documents()
    for element in site.file(one):
        if not element.tag.is_private or element.tag.is_private_creator:
            continue
        tag = f"{element.tag:08X}"
        expect(tag in document, f"{tag} is missing")
        if document[tag]["vr"] in _BINARY:
            wanted = element.value
            if not isinstance(wanted, bytes):
                raise Failed(f"{tag} is {document[tag]['vr']}, but {element.VR} in the file")
            equal(_bytes(site, document[tag]), wanted, tag)
        else:
            read = _read(site, {tag: document[tag]})
            equal(str(read[tag].value), str(element.value), tag)


@check("REQ-META-01", "REQ-HTTP-21")
def metadata_of_nothing(site: Site) -> None:
    """Metadata of what is not there are 404, not an empty array."""
    for path in ("/studies/2.25.1", f"{site.study_path}/series/2.25.1"):
        site.get(f"{path}/metadata", JSON).ok(404)
