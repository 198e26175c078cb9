"""What was stored comes back, at once and as it was (sections 5 to 8). It needs ``--write``."""

from __future__ import annotations

import base64

from conformance.suite import objects
from conformance.suite.checks import check, equal, expect
from conformance.suite.client import Json
from conformance.suite.objects import STUDY, encoded, part10, uid
from conformance.suite.site import ANY_FILE, JSON, Site, read, value, values
from conformance.suite.uploads import ANNOTATIONS, BASE, base, path_of, post


@check("REQ-STOW-11", "REQ-QIDO-13", writes=True)
def visible_at_once(site: Site) -> None:
    """What is stored is found, counted and served in the moment it is acknowledged."""
    study = uid("visible at once")
    for count, dataset in enumerate((objects.level(study=study), objects.nuclei(study=study)), 1):
        post(site, [part10(dataset)]).ok()
        (found,) = site.search(f"/studies?StudyInstanceUID={study}&includefield=00201208,00080061")
        listed = site.search(f"/studies/{study}/instances")
        expect(len(listed) >= count, f"{len(listed)} instances are found after {count}")
        equal(value(found, "00201208"), len(listed), "Number of Study Related Instances")
        expect(dataset.Modality in values(found, "00080061"), "its modality is not in the study")
        documents = site.get(f"/studies/{study}/metadata", JSON).documents()
        equal(len(documents), len(listed), "the number of data sets in metadata")


@check("REQ-STOW-08", "REQ-INS-01", "REQ-META-10", writes=True)
def nothing_is_changed(site: Site) -> None:
    """What was stored comes back as it was: pixels, names in any script, private values."""
    post(site, [base(), encoded("small"), encoded("annotations")]).ok(200, 202)
    for series, name, sent in (
        ("slide", "base", base()),
        ("slide", "small", encoded("small")),
        ("annotations", "annotations", encoded("annotations")),
    ):
        back = read(site.get(path_of(series, name), ANY_FILE).ok().only_part().body)
        wanted = read(sent)
        for element in wanted:
            expect(element.tag in back, f"{element.tag} of {name} is lost")
            if element.VR == "UN" or back[element.tag].VR != "UN":
                expect(back[element.tag].value == element.value, f"{element.tag} of {name} changed")
        more = [element.tag for element in back if element.tag not in wanted]
        recorded = "OriginalAttributesSequence" in back or "InstanceCoercionDateTime" in back
        expect(not more or recorded, f"{name} has {more} more, and no record of it")


@check("REQ-QIDO-08", "REQ-QIDO-12", writes=True)
def names_in_any_script(site: Site) -> None:
    """Names in other scripts are found and come back as objects."""
    post(site, [base()]).ok()
    for written in ("S%C3%BChte%5EConformance", "s%C3%BChte*", "S%C3%BChte*"):
        matches = site.search(f"/studies?PatientName={written}&StudyInstanceUID={STUDY}")
        equal(len(matches), 1, f"the number of matches of {written}")
        equal(
            matches[0]["00100010"]["Value"],
            [{"Alphabetic": "Sühte^Conformance", "Ideographic": "試験^適合"}],
            "the name",
        )


@check("REQ-FRM-01", "REQ-FRM-02", "REQ-STOW-08", writes=True)
def every_stored_frame(site: Site) -> None:
    """Each frame of a stored slide is the one that was sent, natively and in RLE."""
    post(site, [base(), encoded("small")]).ok(200, 202)
    for name, sent in (("base", objects.level()), ("small", objects.level(40, 45, name="small"))):
        count, size = int(sent.NumberOfFrames), objects.TILE**2 * 3
        listed = ",".join(map(str, range(1, count + 1)))
        accept = 'multipart/related; type="application/octet-stream"'
        parts = site.get(f"{path_of('slide', name)}/frames/{listed}", accept).ok().parts()
        equal(len(parts), count, "the number of frames")
        for number, part in enumerate(parts):
            wanted = sent.PixelData[number * size : (number + 1) * size]
            expect(part.body == wanted, f"frame {number + 1} of {name} has other pixels")


@check("REQ-FRM-05", writes=True)
def both_names_of_rle(site: Site) -> None:
    """RLE frames are known as image/dicom-rle and, to older clients, as image/x-dicom-rle."""
    post(site, [encoded("small")]).ok(200, 202)
    for kind in ("image/dicom-rle", "image/x-dicom-rle"):
        accept = f'multipart/related; type="{kind}"; transfer-syntax=1.2.840.10008.1.2.5'
        part = site.get(f"{path_of('slide', 'small')}/frames/1", accept).ok().only_part()
        equal(part.content_type.partition(";")[0], kind, "the type of the part")
        equal(part.body[:4], b"\x03\0\0\0", "the number of its segments")


@check("REQ-META-04", "REQ-META-02", writes=True)
def groups_of_annotations(site: Site) -> None:
    """The coordinates of three stored groups are three values, each with its own bytes."""
    post(site, [base(), encoded("annotations")]).ok()
    (match,) = site.search(
        f"/studies/{STUDY}/instances?SOPInstanceUID={ANNOTATIONS}&includefield=006A0002"
    )
    sent = [bytes(one.PointCoordinatesData) for one in objects.nuclei().AnnotationGroupSequence]
    got = [one["00660016"] for one in values(match, "006A0002")]
    equal(len(got), len(sent), "the number of groups")
    found = [_fetched(site, one) for one in got]
    equal([bytes(one) for one in found], sent, "the coordinates")


def _fetched(site: Site, attribute: Json) -> bytes:
    if "InlineBinary" in attribute:
        return base64.b64decode(attribute["InlineBinary"])
    accept = 'multipart/related; type="application/octet-stream"'
    return site.get(attribute["BulkDataURI"], accept).ok().only_part().body


@check("REQ-META-10", writes=True)
def private_values_of_a_stored_object(site: Site) -> None:
    """A private value of unknown VR stays UN in metadata, inline or as URI, byte for byte."""
    post(site, [base()]).ok()
    (document,) = site.get(f"{path_of('slide', 'base')}/metadata", JSON).documents()
    equal(values(document, "00990010"), ["SLIDEGATE SUITE"], "the private creator")
    attribute = document["00991001"]
    equal(attribute["vr"], "UN", "the VR")
    expect(_fetched(site, attribute) == objects.PRIVATE, "the value is another")


@check("REQ-DEL-01", writes=True)
def nothing_is_deleted(site: Site) -> None:
    """DELETE of what is there is 405, and it stays."""
    post(site, [base()]).ok()
    path = path_of("slide", "base")
    for one in (path, path.partition("/instances")[0], f"/studies/{STUDY}"):
        answer = site.client.request("DELETE", one).ok(405)
        expect("GET" in answer.header("Allow"), f"Allow is {answer.header('Allow')!r}")
    equal(len(site.search(f"/instances?SOPInstanceUID={BASE}")), 1, "what is left")
