"""Frames (checklist, section 7)."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from conformance.suite.checks import NotApplicable, check, equal, expect
from conformance.suite.client import parameter
from conformance.suite.site import ANY_STORED, Found, Site

_NATIVE = "1.2.840.10008.1.2.1"
_TYPES = {
    "1.2.840.10008.1.2.1": ("application/octet-stream",),
    "1.2.840.10008.1.2.5": ("image/dicom-rle", "image/x-dicom-rle"),
    "1.2.840.10008.1.2.4.50": ("image/jpeg",),
    "1.2.840.10008.1.2.4.51": ("image/jpeg",),
    "1.2.840.10008.1.2.4.57": ("image/jpeg",),
    "1.2.840.10008.1.2.4.70": ("image/jpeg",),
    "1.2.840.10008.1.2.4.80": ("image/jls", "image/x-jls"),
    "1.2.840.10008.1.2.4.81": ("image/jls", "image/x-jls"),
    "1.2.840.10008.1.2.4.90": ("image/jp2",),
    "1.2.840.10008.1.2.4.91": ("image/jp2",),
    "1.2.840.10008.1.2.4.201": ("image/jphc", "image/jhc"),
    "1.2.840.10008.1.2.4.202": ("image/jphc", "image/jhc"),
    "1.2.840.10008.1.2.4.203": ("image/jphc", "image/jhc"),
}
"""Media types of a transfer syntax: first that of the standard, then what clients call it."""


def _compressed(site: Site) -> str:
    if site.syntax == _NATIVE:
        raise NotApplicable("the frames of the image are native")
    if site.syntax not in _TYPES:
        raise NotApplicable(f"no media type is known for {site.syntax}")
    return site.syntax


def _singles(site: Site, image: Found, numbers: list[int]) -> list[bytes]:
    accept = ANY_STORED
    return [
        site.get(f"{image.path}/frames/{number}", accept).ok().only_part().body
        for number in numbers
    ]


@check("REQ-FRM-01")
def order_and_repetitions(site: Site) -> None:
    """A list of frames gives one part each, in its order, repetitions included."""
    image = site.many
    last = image.frames
    numbers = [3, 1, last, 2, 1, 3]
    one = dict(zip(sorted(set(numbers)), _singles(site, image, sorted(set(numbers))), strict=True))
    listed = ",".join(map(str, numbers))
    parts = site.get(f"{image.path}/frames/{listed}", ANY_STORED).ok().parts()
    equal(len(parts), len(numbers), "the number of parts")
    for part, number in zip(parts, numbers, strict=True):
        expect(part.body == one[number], f"a part is not frame {number}")
        location = part.headers.get("content-location", "")
        expect(not location or location.endswith(f"/frames/{number}"), location)


@check("REQ-FRM-01", "REQ-HTTP-21")
def four_hundred_frames(site: Site) -> None:
    """EZ-WSI's 400 frames in one address come in 400 parts, their commas escaped or not."""
    image = site.image
    numbers = [1 + number % image.frames for number in range(400)]
    for comma in (",", "%2C"):
        listed = comma.join(map(str, numbers))
        parts = site.get(f"{image.path}/frames/{listed}", ANY_STORED).ok().parts()
        equal(len(parts), 400, "the number of parts")
        expect(parts[0].body == parts[image.frames % 400].body or image.frames > 399, "their order")


@check("REQ-FRM-01")
def frames_that_are_no_numbers(site: Site) -> None:
    """What is no number from 1 is 400."""
    for listed in ("0", "-1", "x", "1,,2", "1,0", "1.5", "1,2,", "%D9%A1"):
        site.get(f"{site.image.path}/frames/{listed}", ANY_STORED).ok(400)


@check("REQ-FRM-01")
def frames_that_are_not_there(site: Site) -> None:
    """A frame beyond the last is 404, also in a list: nothing is left out silently."""
    image = site.image
    for listed in (f"{image.frames + 1}", f"1,{image.frames + 1}", "2147483648"):
        site.get(f"{image.path}/frames/{listed}", ANY_STORED).ok(404)


@check("REQ-FRM-01", "REQ-OBJ-01")
def frames_of_what_has_none(site: Site) -> None:
    """Objects without pixels have no frames: 404, not an error of the server."""
    site.get(f"{site.without_pixels().path}/frames/1", ANY_STORED).ok(404, 406)


@check("REQ-FRM-02")
def stored_bit_streams(site: Site) -> None:
    """Octets with transfer-syntax=* are the bit streams of the file and nothing else."""
    image = site.small
    stored = site.stored_frames(image)
    for number in sorted({1, (image.frames + 1) // 2, image.frames}):
        part = site.get(f"{image.path}/frames/{number}", ANY_STORED).ok().only_part()
        wanted = stored[number - 1]
        expect(part.body.rstrip(b"\0") == wanted.rstrip(b"\0"), f"frame {number} is not as stored")
        expect(len(part.body) <= len(wanted), "the part is longer than the frame")
        kind, syntax = part.content_type, site.file(image).file_meta.TransferSyntaxUID
        expect(kind.startswith("application/octet-stream"), f"the part is {kind}")
        equal(parameter(kind, "transfer-syntax"), str(syntax), "transfer syntax of the part")


@check("REQ-FRM-03")
def compressed_types(site: Site) -> None:
    """The media type of the stored frames gives them, with and without their transfer syntax."""
    syntax = _compressed(site)
    kind = _TYPES[syntax][0]
    wanted = _singles(site, site.image, [1])[0]
    for tail in (f"; transfer-syntax={syntax}", "; transfer-syntax=*", ""):
        accept = f'multipart/related; type="{kind}"{tail}'
        part = site.get(f"{site.image.path}/frames/1", accept).ok().only_part()
        equal(part.content_type.partition(";")[0], kind, "the type of the part")
        expect(part.body == wanted, "the part is not the stored frame")


@check("REQ-FRM-03")
def wsidicom_reads_frames(site: Site) -> None:
    """Wsidicom's batch, 1,2,3,5,6,7,9 under the type of the stored frames, comes complete."""
    syntax = _compressed(site)
    numbers = [1 + number % site.image.frames for number in (0, 1, 2, 4, 5, 6, 8)]
    accept = f'multipart/related; type="{_TYPES[syntax][0]}"; transfer-syntax={syntax}'
    path = f"{site.image.path}/frames/{','.join(map(str, numbers))}"
    parts = site.get(path, accept).ok().parts()
    equal(len(parts), len(numbers), "the number of parts")
    expect(all(part.body for part in parts), "a part is empty")


@check("REQ-FRM-04")
def native_pixels(site: Site) -> None:
    """Octets without a transfer syntax, or with that of native pixels, are native pixels."""
    for image in {one.instance: one for one in (site.image, site.small)}.values():
        for tail in ("", f"; transfer-syntax={_NATIVE}"):
            accept = f'multipart/related; type="application/octet-stream"{tail}'
            part = site.get(f"{image.path}/frames/1", accept).ok().only_part()
            equal(len(part.body), image.frame_bytes, "the length of the frame")
            stated = parameter(part.content_type, "transfer-syntax")
            expect(stated in ("", _NATIVE), f"the transfer syntax of the part is {stated}")


@check("REQ-FRM-04")
def native_colours(site: Site) -> None:
    """Native pixels of a JPEG frame have the colours that Pillow decodes."""
    if _compressed(site) != "1.2.840.10008.1.2.4.50":
        raise NotApplicable("the frames of the image are no JPEG Baseline")
    try:
        from PIL import Image
    except ImportError:
        raise NotApplicable("Pillow is not installed here") from None
    path = f"{site.image.path}/frames/1"
    stored = site.get(path, ANY_STORED).ok().only_part().body
    octets = 'multipart/related; type="application/octet-stream"'
    native = site.get(path, octets).ok().only_part().body
    wanted = np.asarray(Image.open(BytesIO(stored)).convert("RGB"), np.int16)
    equal(len(native), wanted.size, "the length of the frame")
    pixels = np.frombuffer(native, np.uint8).reshape(wanted.shape)
    apart = int(np.abs(pixels - wanted).max())
    expect(apart <= 8, f"the colours are up to {apart} apart")


@check("REQ-FRM-05")
def names_that_clients_use(site: Site) -> None:
    """Media types are known by their other names too, and answered under the one asked for."""
    found = {str(one.file_meta.TransferSyntaxUID): image for image, one in _small_files(site)}
    named = [syntax for syntax in found if len(_TYPES.get(syntax, ())) > 1]
    if not named:
        raise NotApplicable("no frames of a type that has two names (JPEG-LS, RLE, HTJ2K)")
    for syntax in named:
        for kind in _TYPES[syntax]:
            accept = f'multipart/related; type="{kind}"; transfer-syntax={syntax}'
            part = site.get(f"{found[syntax].path}/frames/1", accept).ok().only_part()
            equal(part.content_type.partition(";")[0], kind, "the type of the part")


def _small_files(site: Site):  # type: ignore[no-untyped-def]
    limit = max(site.small.native_bytes, 1 << 20)
    for image in [one for one in site.instances if 0 < one.native_bytes <= limit][:8]:
        yield image, site.file(image)


@check("REQ-FRM-06")
def single_or_in_parts(site: Site) -> None:
    """One frame comes single or in parts, exactly as asked for."""
    path = f"{site.image.path}/frames/1"
    part = site.get(path, ANY_STORED).ok().only_part()
    single = site.get(path, "application/octet-stream; transfer-syntax=*").ok()
    equal(single.content_type.partition(";")[0], "application/octet-stream", "Content-Type")
    expect(single.body and single.body == part.body, "both forms differ")
    if site.syntax != _NATIVE and site.syntax in _TYPES:
        kind = _TYPES[site.syntax][0]
        alone = site.get(path, f"{kind}; transfer-syntax={site.syntax}").ok()
        equal(alone.content_type.partition(";")[0], kind, "Content-Type")
        expect(alone.body == part.body, "the frame under its own type differs")


@check("REQ-FRM-06")
def lists_are_never_single(site: Site) -> None:
    """Several frames do not fit into a single part: 406."""
    for accept in ("application/octet-stream; transfer-syntax=*", "image/jpeg"):
        site.get(f"{site.many.path}/frames/1,2", accept).ok(406)


@check("REQ-FRM-07")
def boundary_is_named(site: Site) -> None:
    """Content-Type names the boundary, for one frame and for several."""
    for listed in ("1", "1,1,1"):
        answer = site.get(f"{site.image.path}/frames/{listed}", ANY_STORED).ok()
        expect(b"--" + answer.boundary in answer.body, "the body has another boundary")
