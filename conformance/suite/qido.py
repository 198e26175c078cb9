"""Searches (checklist, section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import Json
from conformance.suite.site import JSON, WSI, Site, value, values, walk

_PAGES = 1000
"""Pages after which paging is taken to be endless."""
_NUMBERS = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
_BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
# fmt: off
_EZ_WSI = (
    "00080005", "00080008", "00080016", "00080018", "0020000D", "0020000E", "00200013",
    "00280002", "00280004", "00280008", "00280010", "00280011", "00280100", "00280101",
    "00280102", "00280103", "00281101", "00480001", "00480002", "00480006", "00480007",
    "00480008", "00480105", "00489999", "52009229", "52009230", "00020010", "00083002",
    "00209311", "00209164", "00209222", "00081140", "00400512", "00400560", "00281351",
)
# fmt: on
"""Tags that EZ-WSI-DICOMweb includes, each in a parameter of its own."""


def uids(matches: list[Json], tag: str) -> list[str]:
    """Return the UID of each match."""
    return [str(value(match, tag)) for match in matches]


def _key(site: Site, tag: str, name: str) -> tuple[Json, str]:
    """Return the study as a search finds it, and one of its values."""
    (study,) = site.search(f"/studies?StudyInstanceUID={site.study}&includefield={tag}")
    found = value(study, tag)
    if isinstance(found, dict):
        found = found.get("Alphabetic")
    if not found or re.search(r"[*?\\,]", str(found)):
        raise NotApplicable(f"the study has no {name} to search for")
    return study, str(found)


def _finds(site: Site, query: str, *, there: bool = True) -> None:
    found = uids(site.search(f"/studies?{query}"), "0020000D")
    expect((site.study in found) is there, f"{'does not find' if there else 'finds'} the study")


@check("REQ-QIDO-01")
def every_resource(site: Site) -> None:
    """Studies, series and instances are found at the top and below studies and series."""
    one = site.small
    series = site.search(f"{one.study_path}/series")
    expect(one.series in uids(series, "0020000E"), "the series is not below its study")
    for path in (
        f"{one.study_path}/instances",
        f"{one.series_path}/instances",
        f"/instances?StudyInstanceUID={one.study}",
        f"/instances?SOPInstanceUID={one.instance}",
    ):
        found = uids(site.search(path), "00080018")
        expect(one.instance in found, f"the instance is not in {path}")
    (study,) = site.search(f"/studies?StudyInstanceUID={one.study}")
    equal(value(study, "0020000D"), one.study, "Study Instance UID")


@check("REQ-QIDO-01")
def slim_opens_a_slide(site: Site) -> None:
    """Slim's first request, series of a modality at the top level, finds the slide."""
    one = site.small
    modality = value(one.document, "00080060")
    path = f"/series?Modality={modality}&StudyInstanceUID={one.study}"
    found = site.search(path)
    expect(one.series in uids(found, "0020000E"), "the series is missing")
    equal({value(match, "0020000D") for match in found}, {one.study}, "the studies")
    equal({value(match, "00080060") for match in found}, {modality}, "the modalities")


@check("REQ-QIDO-02")
def nothing_found(site: Site) -> None:
    """No match is 200 with an empty array."""
    for path in (
        "/studies?PatientID=nobody-has-this-number",
        "/series?SeriesInstanceUID=2.25.1",
        "/instances?SOPInstanceUID=2.25.1",
        f"{site.study_path}/series?Modality=XYZ",
    ):
        equal(site.get(path, JSON).documents(), [], "the answer")


@check("REQ-QIDO-03", "REQ-QIDO-04")
def paging(site: Site) -> None:
    """Pages end, overlap nowhere, come in the order of the whole, and nothing is cut off."""
    for path, tag, size in (
        (f"{site.study_path}/instances", "00080018", 2),
        (f"{site.study_path}/series", "0020000E", 1),
    ):
        everything = uids(site.search(path), tag)
        expect(everything, "there is nothing to page through")
        paged: list[str] = []
        for _ in range(_PAGES):
            page = uids(site.search(f"{path}?limit={size}&offset={len(paged)}"), tag)
            if not page:
                break
            expect(len(page) <= size, f"a page of {size} has {len(page)}")
            paged += page
        expect(len(set(paged)) == len(paged), "a match is on two pages, or paging has no end")
        equal(paged, everything, "all pages together")
    equal(site.get("/studies?offset=100000000", JSON).documents(), [], "what is after the end")


@check("REQ-QIDO-05", "REQ-META-01")
def keyword_or_tag(site: Site) -> None:
    """A key is a keyword or eight hexadecimal digits."""
    modality = value(site.small.document, "00080060")
    path = f"{site.study_path}/instances"
    everything = site.search(path)
    for name in ("SOPInstanceUID", "00080018"):
        found = site.search(f"{path}?{name}={site.small.instance}")
        equal(uids(found, "00080018"), [site.small.instance], f"what {name} finds")
    for name in ("Modality", "00080060"):
        found = site.search(f"{path}?{name}={modality}")
        expected = [
            one.instance for one in site.instances if value(one.document, "00080060") == modality
        ]
        equal(sorted(uids(found, "00080018")), sorted(expected), f"what {name} finds")
        equal(site.search(f"{path}?{name}=XYZ"), [], f"what {name}=XYZ finds")
    expect(len(everything) == len(site.instances), "searching and metadata disagree")


@check("REQ-QIDO-05")
def keys_in_sequences(site: Site) -> None:
    """A key may lead into a sequence, by keywords or by tags."""
    items = [values(one.document, "00400560") for one in site.instances]
    named = [item[0] for item in items if item and value(item[0], "00400551")]
    if not named:
        raise NotApplicable("no instance has a Specimen Identifier")
    specimen = quote(str(value(named[0], "00400551")), safe="")
    for key in ("SpecimenDescriptionSequence.SpecimenIdentifier", "00400560.00400551"):
        found = site.search(f"{site.study_path}/instances?{key}={specimen}")
        equal(len(found), len(named), f"the number of matches of {key}")
        equal(site.search(f"{site.study_path}/instances?{key}=nobody"), [], "what nobody finds")


@check("REQ-QIDO-05")
def unknown_keys(site: Site) -> None:
    """Unknown keys are ignored, and the answer says so; wsidicom relies on it."""
    path = f"{site.study_path}/series"
    everything = uids(site.search(path), "0020000E")
    for key in ("NoSuchKeyword=1", "00190010=1"):
        answer = site.get(f"{path}?{key}", JSON)
        equal(uids(answer.documents(), "0020000E"), everything, f"what {key} finds")
        expect(answer.header("Warning").startswith("299 "), "there is no Warning")


@check("REQ-QIDO-05", "REQ-HTTP-20")
def malformed_values(site: Site) -> None:
    """Malformed dates, UIDs and numbers are 400."""
    for key in (
        "StudyDate=yesterday",
        "StudyDate=20260101-x",
        "StudyInstanceUID=1.2.x",
        "limit=-1",
        "limit=ten",
        "offset=x",
    ):
        site.get(f"/studies?{key}", JSON).ok(400)


@check("REQ-QIDO-06")
def includefield_in_all_forms(site: Site) -> None:
    """Includefield is taken repeated, with commas, by keyword and by tag."""
    path = f"{site.small.series_path}/instances?SOPInstanceUID={site.small.instance}"
    wanted = {tag for tag in ("00080070", "00181020", "00280004") if tag in site.small.document}
    if not wanted:
        raise NotApplicable("the instance lacks all attributes that are asked for")
    names = ("Manufacturer", "SoftwareVersions", "PhotometricInterpretation")
    tags = ("00080070", "00181020", "00280004")
    for listed in (",".join(names), ",".join(tags), "%2C".join(tags)):
        (match,) = site.search(f"{path}&includefield={listed}")
        expect(wanted <= set(match), f"missing: {sorted(wanted - set(match))}")
    for repeated in (names, tags):
        (match,) = site.search(path + "".join(f"&includefield={one}" for one in repeated))
        expect(wanted <= set(match), f"missing: {sorted(wanted - set(match))}")
    (match,) = site.search(path)
    expect("00280004" not in match, "what was not asked for is there as well")


@check("REQ-QIDO-06")
def includefield_all(site: Site) -> None:
    """includefield=all gives every attribute of an instance."""
    path = f"{site.small.series_path}/instances?SOPInstanceUID={site.small.instance}"
    (match,) = site.search(f"{path}&includefield=all")
    missing = sorted(set(site.small.document) - set(match) - {"7FE00010"})
    expect(not missing, f"missing: {missing[:10]}")


@check("REQ-QIDO-06")
def sequences_in_full(site: Site) -> None:
    """Sequences come with their items; binary values within are a URI or inline."""
    if "00480105" not in site.small.document:
        raise NotApplicable("the image has no Optical Path Sequence")
    path = f"{site.small.series_path}/instances?SOPInstanceUID={site.small.instance}"
    (match,) = site.search(f"{path}&includefield=OpticalPathSequence")
    items, wanted = values(match, "00480105"), values(site.small.document, "00480105")
    equal([sorted(item) for item in items], [sorted(item) for item in wanted], "its items")
    for item in items:
        if "00282000" in item:
            profile = item["00282000"]
            expect(profile.get("BulkDataURI") or profile.get("InlineBinary"), "the profile is lost")


@check("REQ-QIDO-06")
def ez_wsi_includes(site: Site) -> None:
    """EZ-WSI's 35 fields, each in a parameter of its own, and without Accept, are answered."""
    keys = "&".join(f"includefield={tag}" for tag in _EZ_WSI)
    answer = site.get(f"{site.small.series_path}/instances?{keys}", "*/*")
    matches = answer.documents()
    mine = [one for one in matches if value(one, "00080018") == site.small.instance]
    expect(mine, "the instance is missing")
    wanted = set(_EZ_WSI) & set(site.small.document)
    expect(wanted <= set(mine[0]), f"missing: {sorted(wanted - set(mine[0]))}")


@check("REQ-QIDO-07")
def lists_of_uids(site: Site) -> None:
    """Lists of UIDs are one key repeated, or joined by commas or backslashes."""
    listed = [one.instance for one in site.instances][:3]
    if len(listed) < 2:
        raise NotApplicable("the study has one instance only")
    path = f"{site.study_path}/instances?"
    for query in (
        "&".join(f"SOPInstanceUID={uid}" for uid in listed),
        "&".join(f"00080018={uid}" for uid in listed),
        "SOPInstanceUID=" + ",".join(listed),
        "SOPInstanceUID=" + "%2C".join(listed),
        "SOPInstanceUID=" + "%5C".join(listed),
    ):
        found = uids(site.search(path + query), "00080018")
        equal(sorted(found), sorted(listed), "the instances")
    found = uids(site.search(f"/studies?StudyInstanceUID=2.25.1%5C{site.study}"), "0020000D")
    equal(found, [site.study], "the studies")


@check("REQ-QIDO-08", "REQ-QIDO-09")
def wildcards(site: Site) -> None:
    """Stars and question marks are wildcards, escaped or not, in strings."""
    _, number = _key(site, "00100020", "Patient ID")
    escaped = quote(number, safe="")
    half = quote(number[: max(1, len(number) // 2)], safe="")
    for star in ("*", "%2A"):
        _finds(site, f"PatientID={half}{star}")
        _finds(site, f"PatientID={star}{escaped}{star}")
    _finds(site, f"PatientID={quote(number[:-1], safe='')}%3F")
    _finds(site, f"PatientID={escaped}")
    _finds(site, f"PatientID={escaped}%3F", there=False)
    _finds(site, f"PatientID={escaped}x*", there=False)


@check("REQ-QIDO-08")
def names_in_any_case(site: Site) -> None:
    """Names match whatever the case of their letters."""
    _, name = _key(site, "00100010", "Patient Name")
    for written in (name, name.upper(), name.lower()):
        _finds(site, f"PatientName={quote(written, safe='')}")
    _finds(site, f"PatientName={quote(name, safe='')}x", there=False)


@check("REQ-QIDO-08")
def ranges_of_dates(site: Site) -> None:
    """Dates match single, and as ranges open at either end."""
    _, day = _key(site, "00080020", "Study Date")
    for query in (day, f"{day}-", f"-{day}", f"{day}-{day}", f"19000101-{day}", "19000101-"):
        _finds(site, f"StudyDate={query}")
    for query in ("-19000101", "19000101", "29990101-", "19000101-19000102"):
        _finds(site, f"StudyDate={query}", there=False)


@check("REQ-QIDO-08")
def empty_keys_match_all(site: Site) -> None:
    """A key without a value matches everything."""
    for query in ("PatientID=", "PatientName=*", "StudyDate=", "AccessionNumber=", "PatientID=*"):
        _finds(site, f"{query}&StudyInstanceUID={site.study}")


@check("REQ-QIDO-08", "REQ-QIDO-09")
def fuzzy_matching(site: Site) -> None:
    """With fuzzymatching=true a name is found by the beginning of any of its components."""
    _, name = _key(site, "00100010", "Patient Name")
    for component in [one for one in name.split("^") if len(one) > 2]:
        _finds(site, f"PatientName={quote(component, safe='')}&fuzzymatching=true")
        _finds(site, f"PatientName={quote(component[:3].lower(), safe='')}&fuzzymatching=true")
    _finds(site, "PatientName=qqqqzz&fuzzymatching=true", there=False)


@check("REQ-QIDO-10")
def attributes_of_studies(site: Site) -> None:
    """A study has all attributes that its level requires, and what was searched for."""
    required = {
        "00080020", "00080030", "00080050", "00080061", "00080090", "00081190", "00100010",
        "00100020", "00100030", "00100040", "0020000D", "00200010", "00201206", "00201208",
    }  # fmt: skip
    (study,) = site.search(f"/studies?StudyInstanceUID={site.study}&StudyDescription=")
    missing = required - set(study)
    expect(not missing, f"missing: {sorted(missing)}")
    there = {value(one.document, "00080060") for one in site.instances}
    equal(set(values(study, "00080061")), there, "Modalities in Study")


@check("REQ-QIDO-10")
def attributes_of_series(site: Site) -> None:
    """A series has the attributes of its level, and those of its study at the top level."""
    required = {"00080060", "0020000E", "00200011", "00201209", "00081190"}
    for path, more in (
        (f"{site.study_path}/series", {"0020000D"}),
        (f"/series?StudyInstanceUID={site.study}", {"0020000D", "00100020", "00100010"}),
    ):
        matches = site.search(path)
        expect(matches, "there is no match")
        for match in matches:
            missing = (required | more) - set(match)
            expect(not missing, f"missing: {sorted(missing)}")


@check("REQ-QIDO-10")
def attributes_of_instances(site: Site) -> None:
    """An instance has the attributes of its level, an image its size, and at the top all above."""
    required = {"00080016", "00080018", "00200013", "00081190"}
    sizes = {"00280010", "00280011", "00280100", "00280008"}
    above = {"0020000D", "0020000E", "00080060", "00100020"}
    images = {one.instance for one in site.instances if one.frames > 1}
    for path, more in (
        (f"{site.small.series_path}/instances", set[str]()),
        (f"/instances?StudyInstanceUID={site.study}", above),
    ):
        matches = site.search(path)
        expect(matches, "there is no match")
        for match in matches:
            image = value(match, "00080018") in images
            missing = required | more | (sizes if image else set()) - set(match)
            missing -= set(match)
            expect(not missing, f"missing: {sorted(missing)}")


@check("REQ-QIDO-11")
def available_transfer_syntax(site: Site) -> None:
    """Instances tell their transfer syntax, so that wsidicom need not try them all."""
    query = (
        f"{site.study_path}/instances?00080016={WSI}&0020000E={site.small.series}"
        "&00080060=SM&includefield=AvailableTransferSyntaxUID"
    )
    if site.small.sop_class != WSI:
        raise NotApplicable("the study has no slide")
    matches = site.search(query)
    expect(matches, "there is no match")
    for match in matches:
        syntax = str(value(match, "00083002"))
        expect(syntax.startswith("1.2.840.10008.1.2"), f"a match has {syntax}")


@check("REQ-QIDO-12")
def strict_json(site: Site) -> None:
    """DICOM JSON is strict: tags sorted, a VR and at most one value form each, nothing empty."""
    documents = site.search(f"/studies?StudyInstanceUID={site.study}&includefield=all")
    documents += site.search(f"{site.study_path}/series?includefield=all")
    documents += site.search(f"{site.study_path}/instances?includefield=all")
    documents += site.get(f"{site.study_path}/metadata", JSON).documents()
    expect(documents, "there is nothing to look at")
    for document in documents:
        expect(value(document, "0020000D"), "a data set has no Study Instance UID")
        faults = list(_faults(document))
        expect(not faults, f"{len(faults)} faults, such as {faults[:1]}")


def _faults(document: Json) -> Iterator[str]:
    if list(document) != sorted(document):
        yield "tags are not sorted"
    for path, attribute in walk(document):
        tag = path.rpartition("/")[2]
        if not re.fullmatch("[0-9A-F]{8}", tag):
            yield f"{path} is no tag in upper case"
        if not re.fullmatch("[A-Z]{2}", str(attribute.get("vr"))):
            yield f"{path} has no VR"
        forms = set(attribute) - {"vr"}
        if len(forms) > 1 or not forms <= {"Value", "InlineBinary", "BulkDataURI"}:
            yield f"{path} has {sorted(forms)}"
        if "Value" in attribute:
            yield from _value_faults(path, attribute)


def _value_faults(path: str, attribute: Json) -> Iterator[str]:
    vr, found = attribute["vr"], attribute["Value"]
    if not found or not isinstance(found, list):
        yield f"{path} has an empty Value, or none in an array"
        return
    for one in found:
        if vr in _BINARY:
            yield f"{path} of {vr} has a Value"
        elif one is None:
            continue
        elif vr in _NUMBERS and (isinstance(one, bool) or not isinstance(one, int | float)):
            yield f"{path} of {vr} holds {one!r}, which is no number"
        elif vr == "PN" and not (
            isinstance(one, dict)
            and one
            and one.keys() <= {"Alphabetic", "Ideographic", "Phonetic"}
        ):
            yield f"{path} holds a name that is no object"
        elif vr == "SQ" and not isinstance(one, dict):
            yield f"{path} holds an item that is no object"
        elif vr not in _NUMBERS | {"PN", "SQ"} and (not isinstance(one, str) or one == ""):
            yield f"{path} of {vr} holds {one!r}: an empty value is null"


@check("REQ-QIDO-13")
def counts_are_right(site: Site) -> None:
    """Counts and modalities of studies and series are those of what can be found."""
    (study,) = site.search(
        f"/studies?StudyInstanceUID={site.study}&includefield=00201206,00201208,00080061"
    )
    series = site.search(f"{site.study_path}/series?includefield=00201209")
    equal(value(study, "00201206"), len(series), "Number of Study Related Series")
    equal(value(study, "00201208"), len(site.instances), "Number of Study Related Instances")
    for one in series:
        uid = value(one, "0020000E")
        found = site.search(f"{site.study_path}/series/{uid}/instances")
        equal(value(one, "00201209"), len(found), "Number of Series Related Instances")


@check("REQ-QIDO-14")
def ohif_study_list(site: Site) -> None:
    """OHIF's study list filters by all of its columns at once."""
    (study,) = site.search(f"/studies?StudyInstanceUID={site.study}&includefield=00081030")
    number = value(study, "00100020")
    query = (
        "limit=101&offset=0&fuzzymatching=false&includefield=00081030,00080060,00080090,00100030"
    )
    if number:
        query += f"&00100020=*{quote(str(number), safe='')}*"
    modality = values(study, "00080061")[0]
    _finds(site, f"{query}&ModalitiesInStudy={modality}")
    _finds(site, f"{query}&ModalitiesInStudy={modality}%5CXYZ")
    _finds(site, f"{query}&ModalitiesInStudy=XYZ", there=False)
    _finds(site, f"{query}&StudyDescription=*qqqqzz*", there=False)
    _finds(site, f"{query}&AccessionNumber=*qqqqzz*", there=False)
    if value(study, "00081030"):
        described = quote(str(value(study, "00081030"))[:4], safe="")
        _finds(site, f"{query}&StudyDescription=*{described}*")


@check("REQ-QIDO-14", "REQ-QIDO-01")
def wg26_verifies(site: Site) -> None:
    """The requests of the WG-26 connectathon's script find study, series and instances."""
    fields = "&".join(
        f"includefield={tag}" for tag in ("00100010", "00100020", "00201206", "00201208")
    )
    (study,) = site.search(f"/studies?StudyInstanceUID={site.study}&{fields}")
    equal(value(study, "00201208"), len(site.instances), "Number of Study Related Instances")
    series = site.search(f"{site.study_path}/series?includefield=00080060&includefield=00201209")
    total = sum(
        len(site.search(f"{site.study_path}/series/{value(one, '0020000E')}/instances"))
        for one in series
    )
    equal(total, len(site.instances), "the number of instances of all series")
