"""Files of the scanners besides Aperio's, small and with the structure of real ones."""

from __future__ import annotations

import base64
import struct
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from conformance.bench.slides import draw_scene

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class VmsTruth:
    """What the JPEGs of a VMS hold when they are decoded, and its macro image."""

    pixels: Pixels
    macro: Pixels


def make_vms(
    path: Path, *, columns: int = 1408, rows: int = 1024, physical: bool = True, seed: int = 0
) -> VmsTruth:
    """Write a Hamamatsu VMS of two JPEGs side by side, with a restart marker for each 8 MCUs."""
    scene = draw_scene(columns, rows, seed=seed)
    left = 1024
    parts = []
    for number, part in enumerate((scene[:, :left], scene[:, left:])):
        name = path.with_name(f"{path.stem}-{number}.jpg")
        _save(name, part, restart_marker_blocks=8)
        parts.append(np.asarray(Image.open(name)))
    small = Image.fromarray(scene).resize((columns // 16, rows // 16), Image.Resampling.BOX)
    _save(path.with_name(f"{path.stem}-map.jpg"), np.asarray(small), restart_marker_rows=1)
    macro = path.with_name(f"{path.stem}-macro.jpg")
    _save(macro, draw_scene(320, 107, seed=seed + 3))
    lines = {
        "NoLayers": 1,
        "NoJpegColumns": 2,
        "NoJpegRows": 1,
        "ImageFile": f"{path.stem}-0.jpg",
        "ImageFile(1,0)": f"{path.stem}-1.jpg",
        "MapFile": f"{path.stem}-map.jpg",
        "MacroImage": macro.name,
        "SourceLens": 20,
    }
    if physical:
        lines |= {"PhysicalWidth": columns * 460, "PhysicalHeight": rows * 450}
    text = "".join(f"{key}={value}\r\n" for key, value in lines.items())
    path.write_text(f"[Virtual Microscope Specimen]\r\n{text}", newline="")
    return VmsTruth(np.hstack(parts), np.asarray(Image.open(macro)))


def _save(path: Path, pixels: Pixels, **options: object) -> None:
    Image.fromarray(pixels).save(path, "JPEG", **{"quality": 85, "subsampling": "4:4:4"} | options)


def make_vmu(path: Path) -> Pixels:
    """Write a Hamamatsu VMU, 12 bits without compression; return the upper 8 bits."""
    deep = draw_scene(768, 512, seed=0).astype(np.uint16) << 4 | 7
    for name, pixels in (("image", deep), ("map", deep[::16, ::16])):
        rows, columns = pixels.shape[:2]
        wide = columns // 2
        halves = (pixels[:, :wide], pixels[:, wide:])
        head = struct.pack("<2sHiiiiii", b"GN", 0, columns, rows, wide, 0, 0, 64).ljust(64, b"\0")
        content = b"".join(np.ascontiguousarray(half, "<u2").tobytes() for half in halves)
        path.with_name(f"{name}.ngr").write_bytes(head + content)
    path.write_text(
        "[Uncompressed Virtual Microscope Specimen]\nImageFile=image.ngr\nMapFile=map.ngr\n"
        "BitsPerPixel=36\nPixelOrder=RGB\nPhysicalWidth=353280\nPhysicalHeight=235520\n"
    )
    return (deep >> 4).astype(np.uint8)


# -- TIFF


UM_PER_CM = 10_000
CODED: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": 85}}
YCBCR: dict[str, Any] = {"photometric": "rgb", "subsampling": (2, 1), **CODED}
RGB: dict[str, Any] = {
    "photometric": "rgb",
    "compression": "jpeg",
    "compressionargs": {"level": 85, "outcolorspace": "rgb"},
}
LZW: dict[str, Any] = {"photometric": "rgb", "compression": "lzw", "predictor": True}


def draw_levels(
    columns: int = 1100, rows: int = 800, *, count: int = 3, seed: int = 0
) -> list[Pixels]:
    """Draw a slide; each level is half as large as the one before."""
    scene = Image.fromarray(draw_scene(columns, rows, seed=seed))
    sizes = [(columns >> level, rows >> level) for level in range(count)]
    return [np.asarray(scene.resize(size, Image.Resampling.BOX)) for size in sizes]


def at(um: float) -> dict[str, Any]:
    """Return what states a spacing in the tags of TIFF."""
    return {"resolution": (UM_PER_CM / um, UM_PER_CM / um), "resolutionunit": "CENTIMETER"}


def make_generic(
    path: Path,
    levels: Sequence[Pixels] | None = None,
    *,
    um: float | None = 0.25,
    below: bool = False,
    **coding: Any,
) -> None:
    """Write a pyramidal TIFF as libvips does; `below` puts the levels into SubIFDs."""
    base, *others = levels if levels is not None else draw_levels()
    stated = at(um) if um else {}
    options: dict[str, Any] = {"tile": (256, 256), "metadata": None, **(coding or YCBCR)}
    with tifffile.TiffWriter(path) as file:
        file.write(base, subifds=len(others) if below else None, **stated, **options)
        for level in others:
            file.write(level, subfiletype=1, **options)


def make_ome(
    path: Path, levels: Sequence[Pixels] | None = None, *, label: bool = True, **coding: Any
) -> None:
    """Write an OME-TIFF: the slide with SubIFDs, and a label."""
    base, *others = levels if levels is not None else draw_levels()
    rows, columns = base.shape[:2]
    paper = draw_scene(97, 115, seed=2)
    images = _ome_image(0, "slide", columns, rows, base)
    if label:
        images += _ome_image(1, "Label image", 97, 115, paper)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" Creator="Test 1.0">'
        '<Instrument ID="Instrument:0"><Microscope Manufacturer="Zeiss" Model="Axioscan"'
        ' SerialNumber="4711"/><Objective ID="Objective:0" NominalMagnification="20.0"/>'
        f"</Instrument>{images}</OME>"
    )
    options: dict[str, Any] = {"tile": (256, 256), "metadata": None, **(coding or YCBCR)}
    with tifffile.TiffWriter(path) as file:
        file.write(base, subifds=len(others), description=text.encode(), **options)
        for level in others:
            file.write(level, subfiletype=1, **options)
        if label:
            file.write(paper, photometric="rgb", compression="lzw", metadata=None)


def _ome_image(number: int, name: str, columns: int, rows: int, pixels: Pixels) -> str:
    channels = 3 if pixels.ndim == 3 else 1
    kind = str(pixels.dtype)
    return textwrap.dedent(
        f"""\
        <Image ID="Image:{number}" Name="{name}">
        <AcquisitionDate>2024-05-06T07:08:09</AcquisitionDate>
        <ObjectiveSettings ID="Objective:0"/>
        <Pixels ID="Pixels:{number}" DimensionOrder="XYCZT" Type="{kind}" Interleaved="true"
         SizeX="{columns}" SizeY="{rows}" SizeC="{channels}" SizeZ="1" SizeT="1"
         PhysicalSizeX="0.00025" PhysicalSizeXUnit="mm" PhysicalSizeY="0.26">
        <Channel ID="Channel:{number}:0" SamplesPerPixel="{channels}"/>
        <TiffData IFD="{number}" PlaneCount="1"/></Pixels></Image>"""
    )


def make_philips(path: Path, *, columns: int = 1100, rows: int = 800) -> list[Pixels]:
    """Write a Philips TIFF; return its levels without what pads them to whole tiles."""
    levels = draw_levels(-(-columns // 512) * 512, -(-rows // 512) * 512)
    spacings = "".join(
        '<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING"'
        f' PMSVR="IDoubleArray">"{0.00023 * 2**level}" "{0.00025 * 2**level}"</Attribute>'
        "</DataObject>"
        for level in range(len(levels))
    )
    label = base64.b64encode(_jpeg(draw_scene(97, 115, seed=2))).decode()
    text = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="DICOM_ACQUISITION_DATETIME">"20240506070809.000000"</Attribute>'
        '<Attribute Name="DICOM_DEVICE_SERIAL_NUMBER">"FMT0107"</Attribute>'
        '<Attribute Name="DICOM_MANUFACTURER">"PHILIPS"</Attribute>'
        '<Attribute Name="DICOM_SOFTWARE_VERSIONS">"1.6.6186" "20150402"</Attribute>'
        f'<Attribute Name="PIM_DP_UFS_BARCODE">"{base64.b64encode(b"S26-1").decode()}"</Attribute>'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>'
        '<DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{spacings}</Array>'
        "</Attribute></DataObject>"
        '<DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE">LABELIMAGE</Attribute>'
        f'<Attribute Name="PIM_DP_IMAGE_DATA">{label}</Attribute></DataObject>'
        "</Array></Attribute></DataObject>"
    )
    padded = [_padded(level, 512) for level in levels]
    first: dict[str, Any] = {"software": "Philips DP v1.0", "description": text.encode()}
    with tifffile.TiffWriter(path) as file:
        for level in padded:
            file.write(level, tile=(512, 512), metadata=None, **first, **YCBCR)
            first = {"subfiletype": 1}
        macro = draw_scene(320, 107, seed=3)
        file.write(macro, description="Macro", rowsperstrip=16, metadata=None, **YCBCR)
    return levels


def make_leica(path: Path, *, views: int = 1, illumination: str = "brightfield") -> list[Pixels]:
    """Write a Leica SCN of 26 x 76 mm with views of parts, and an overview of all."""
    levels = draw_levels()
    width, height = 1100 * 250, 800 * 250  # nm
    overview = draw_scene(500, 171, seed=3)
    images = _leica_image("0 0 26000000 76000000", illumination, [(0, overview)])
    for view in range(views):
        pages = [(1 + view * len(levels) + number, level) for number, level in enumerate(levels)]
        place = f"{3_000_000 + 2 * view * width} 20000000 {width} {height}"
        images += _leica_image(place, illumination, pages)
    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        '<collection name="c" sizeX="26000000" sizeY="76000000">'
        f"<barcode>{base64.b64encode(b'S26-1').decode()}</barcode>{images}</collection></scn>"
    )
    options: dict[str, Any] = {"tile": (256, 256), "metadata": None, **YCBCR}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(overview, description=text.encode(), **options)
        for _ in range(views):
            for level in levels:
                file.write(level, **options)
    return levels


def _leica_image(place: str, illumination: str, pages: Sequence[tuple[int, Pixels]]) -> str:
    left, top, width, height = place.split()
    dimensions = "".join(
        f'<dimension sizeX="{page.shape[1]}" sizeY="{page.shape[0]}" r="{r}" ifd="{number}"/>'
        for r, (number, page) in enumerate(pages)
    )
    return (
        "<image><creationDate>2024-05-06T07:08:09.12Z</creationDate>"
        '<device model="Leica SCN400" version="1.4.0"/>'
        f'<pixels sizeX="{pages[0][1].shape[1]}" sizeY="{pages[0][1].shape[0]}">{dimensions}'
        f'</pixels><view sizeX="{width}" sizeY="{height}" offsetX="{left}" offsetY="{top}"/>'
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings>"
        f"<illuminationSettings><illuminationSource>{illumination}</illuminationSource>"
        "</illuminationSettings></scanSettings></image>"
    )


def make_qptiff(path: Path, *, channels: int = 1) -> list[Pixels]:
    """Write an Akoya QPTIFF: full resolution, thumbnail, reduced levels, overview and label."""
    levels = draw_levels()
    pages = [("FullResolution", levels[0])] * channels
    pages += [("Thumbnail", draw_scene(200, 145, seed=1))]
    pages += [("ReducedResolution", level) for level in levels[1:]]
    pages += [("Overview", draw_scene(320, 107, seed=3)), ("Label", draw_scene(97, 115, seed=2))]
    with tifffile.TiffWriter(path) as file:
        for number, (kind, pixels) in enumerate(pages):
            text = (
                '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
                f"<DescriptionVersion>2</DescriptionVersion><ImageType>{kind}</ImageType>"
                "<AcquisitionSoftware>VectraPolaris</AcquisitionSoftware>"
                "<InstrumentType>PhenoImager</InstrumentType><Objective>20x</Objective>"
                "<Barcode>S26-1</Barcode></PerkinElmer-QPI-ImageDescription>"
            )
            tiled = "Resolution" in kind
            layout: dict[str, Any] = {"tile": (256, 256)} if tiled else {"rowsperstrip": 16}
            coding = YCBCR if tiled else {"photometric": "rgb", "compression": "lzw"}
            stated = at(0.5) if number == 0 else {}
            file.write(
                pixels, description=text.encode(), metadata=None, **layout, **coding, **stated
            )
    return levels


def make_trestle(path: Path, *, overlaps: str = "0 0 0 0 0 0") -> list[Pixels]:
    """Write a Trestle TIFF."""
    levels = draw_levels()
    text = f"Background Color=E6E6E6;White Balance=CAC3BC;Objective Power=20;OverlapsXY={overlaps}"
    options: dict[str, Any] = {
        "tile": (256, 256),
        "metadata": None,
        "resolution": (0.5, 0.5),
        **YCBCR,
    }
    first: dict[str, Any] = {"software": "MedScan", "description": text}
    with tifffile.TiffWriter(path) as file:
        for level in levels:
            file.write(level, **first, **options)
            first = {"software": "MedScan"}
    return levels


def make_ventana(path: Path, *, overlapping: bool = True) -> list[Pixels]:
    """Write a Ventana BIF of 4 x 3 tiles that overlap, or a Ventana TIFF; return its levels."""
    tile, across, down = 256, 4, 3
    overlap_x, overlap_y = (16, 8) if overlapping else (0, 0)
    wide, high = tile - overlap_x, tile - overlap_y
    scene = draw_scene((across - 1) * wide + tile, (down - 1) * high + tile, seed=0)
    mosaic = np.vstack(
        [
            np.hstack([scene[y : y + tile, x : x + tile] for x in range(0, across * wide, wide)])
            for y in range(0, down * high, high)
        ]
    )
    half = Image.fromarray(mosaic).resize((across * 128, down * 128), Image.Resampling.BOX)
    first = (
        '<iScan Magnification="20" ScanRes="0.465" UnitNumber="1001" ScannerModel="DP 200"'
        ' BuildVersion="1.1.0" Barcode1D="S26-1" ScanDate="05/06/2024 07:08:09 AM"/>'
    )
    joints = _ventana_joints(across, down, overlap_x, overlap_y)
    info = (
        f'<EncodeInfo><SlideStitchInfo><ImageInfo AOIScanned="1" Width="{tile}" Height="{tile}"'
        f' NumRows="{down}" NumCols="{across}" Pos-X="0" Pos-Y="0">{joints}</ImageInfo>'
        '</SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            draw_scene(107, 320, seed=3),
            description="Label Image",
            extratags=[_xmp(first)],
            metadata=None,
            photometric="rgb",
        )
        for level, pixels in enumerate((mosaic, np.asarray(half))):
            file.write(
                pixels,
                tile=(tile, tile),
                description=f"level={level} mag={20 >> level} quality=90",
                extratags=[_xmp(info)] if overlapping and level == 0 else [],
                metadata=None,
                **YCBCR,
            )
    small = Image.fromarray(scene).resize((scene.shape[1] // 2, scene.shape[0] // 2))
    return [scene, np.asarray(small)]


def _ventana_joints(across: int, down: int, overlap_x: int, overlap_y: int) -> str:
    """Return how neighbours overlap; tiles are counted from the bottom, to and fro."""

    def number(row: int, column: int) -> int:
        up = down - 1 - row
        return up * across + (across - 1 - column if up % 2 else column) + 1

    joints = ""
    for row in range(down):
        for column in range(across):
            if column:
                pair = number(row, column - 1), number(row, column)
                joints += _ventana_joint("RIGHT", pair, overlap_x, 0)
            if row:
                pair = number(row, column), number(row - 1, column)
                joints += _ventana_joint("UP", pair, 0, overlap_y)
    return joints


def _ventana_joint(direction: str, tiles: tuple[int, int], overlap_x: int, overlap_y: int) -> str:
    return (
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{direction}"'
        f' Tile1="{tiles[0]}" Tile2="{tiles[1]}" OverlapX="{overlap_x}" OverlapY="{overlap_y}"/>'
    )


def _xmp(text: str) -> tuple[int, str, int, bytes, bool]:
    return 700, "B", len(text) + 1, text.encode() + b"\0", True


def _padded(pixels: Pixels, tile: int) -> Pixels:
    rows, columns = pixels.shape[:2]
    padding = ((0, -rows % tile), (0, -columns % tile), (0, 0))
    return np.pad(pixels, padding, constant_values=255)


def _jpeg(pixels: Pixels) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


# -- MIRAX


@dataclass(frozen=True)
class MiraxTruth:
    """What a MIRAX slide shows where it was scanned.

    Parameters
    ----------
    left, top
        Of the scanned part in the canvas, in pixels of the base level.
    pixels
        The photos of the base level, drawn over each other.
    """

    left: int
    top: int
    pixels: Pixels


def make_mirax(path: Path, *, image_format: str = "JPEG", slide_type: str = "") -> MiraxTruth:
    """Write a MIRAX slide of 8 x 6 photos that overlap by 16 pixels; only 4 x 3 were scanned."""
    photo, overlap, across, down = 256, 16, 8, 6
    advance = photo - overlap
    scanned = [(row, column) for row in (2, 3, 4) for column in (2, 3, 4, 5)]
    left, top = 2 * advance, 2 * advance
    scene = draw_scene(4 * advance + overlap, 3 * advance + overlap, seed=0)
    photos = {
        (row, column): scene[
            (row - 2) * advance : (row - 2) * advance + photo,
            (column - 2) * advance : (column - 2) * advance + photo,
        ]
        for row, column in scanned
    }
    data = b"data"
    levels: list[list[tuple[int, int, int, int]]] = []
    for level in range(3):
        items = []
        step = 1 << level
        for row in range(0, down, step):
            for column in range(0, across, step):
                whole = _concatenated(photos, row, column, step, photo)
                if whole is None:
                    continue
                stream = _picture(whole, image_format)
                items.append((row * across + column, len(data), len(stream), 0))
                data += stream
        levels.append(items)
    pictures = []
    for pixels in (draw_scene(320, 107, seed=3), draw_scene(97, 115, seed=2)):
        stream = _jpeg(pixels)
        pictures.append((len(data), len(stream), 0))
        data += stream
    folder = path.with_suffix("")
    folder.mkdir()
    identifier = "0123456789ABCDEF0123456789ABCDEF"
    (folder / "Data0000.dat").write_bytes(data)
    (folder / "Index.dat").write_bytes(_mirax_index(identifier, levels, pictures))
    text = _mirax_ini(identifier, across, down, overlap, image_format, slide_type)
    (folder / "Slidedat.ini").write_text("\ufeff" + text, encoding="utf-8", newline="")
    path.write_bytes(_jpeg(draw_scene(64, 64, seed=1)))
    shown = np.zeros_like(scene)
    for (row, column), pixels in sorted(photos.items()):
        y, x = (row - 2) * advance, (column - 2) * advance
        decoded = np.asarray(Image.open(BytesIO(_picture(pixels, image_format))).convert("RGB"))
        shown[y : y + photo, x : x + photo] = decoded
    return MiraxTruth(left, top, shown)


def _concatenated(
    photos: dict[tuple[int, int], Pixels], row: int, column: int, step: int, photo: int
) -> Pixels | None:
    """Return step x step photos side by side, reduced to the size of one."""
    whole = Image.new("RGB", (photo, photo), "white")
    size = photo // step
    found = False
    for y in range(step):
        for x in range(step):
            if (row + y, column + x) in photos:
                part = Image.fromarray(photos[row + y, column + x])
                whole.paste(part.resize((size, size), Image.Resampling.BOX), (x * size, y * size))
                found = True
    return np.asarray(whole) if found else None


def _picture(pixels: Pixels, image_format: str) -> bytes:
    buffer = BytesIO()
    kind = {"BMP24": "BMP"}.get(image_format, image_format)
    options = {"quality": 85, "subsampling": "4:4:4"} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _mirax_index(
    identifier: str,
    levels: list[list[tuple[int, int, int, int]]],
    pictures: list[tuple[int, int, int]],
) -> bytes:
    """Return Index.dat: roots of levels and of pictures, then pointers, records and pages."""
    head = b"01.02" + identifier.encode()
    start = len(head) + 8
    pages = [
        struct.pack("<ii", len(items), 0) + b"".join(struct.pack("<4i", *item) for item in items)
        for items in levels
    ]
    pages += [struct.pack("<4i3i", 1, 0, 0, 0, *place) for place in pictures]
    records = start + 4 * len(pages)
    first_page = records + 8 * len(pages)
    pointers, body, place = b"", b"", first_page
    for number, page in enumerate(pages):
        pointers += struct.pack("<i", records + 8 * number)
        body += struct.pack("<ii", 0, place)
        place += len(page)
    roots = struct.pack("<ii", start, start + 4 * len(levels))
    return head + roots + pointers + body + b"".join(pages)


def _mirax_ini(
    identifier: str, across: int, down: int, overlap: int, image_format: str, slide_type: str
) -> str:
    sections: dict[str, dict[str, object]] = {
        "GENERAL": {
            "SLIDE_ID": identifier,
            "SLIDE_CREATIONDATETIME": "31/10/2023 11:05:58",
            "SLIDE_TYPE": slide_type or "SLIDE_TYPE_BRIGHTFIELD",
            "IMAGENUMBER_X": across,
            "IMAGENUMBER_Y": down,
            "OBJECTIVE_MAGNIFICATION": 20,
            "CameraImageDivisionsPerSide": 1,
        },
        "HIERARCHICAL": {
            "HIER_COUNT": 1,
            "NONHIER_COUNT": 1,
            "INDEXFILE": "Index.dat",
            "HIER_0_NAME": "Slide zoom level",
            "HIER_0_COUNT": 3,
            **{f"HIER_0_VAL_{n}_SECTION": f"LAYER_0_LEVEL_{n}_SECTION" for n in range(3)},
            "NONHIER_0_NAME": "Scan data layer",
            "NONHIER_0_COUNT": 2,
            "NONHIER_0_VAL_0": "ScanDataLayer_SlideThumbnail",
            "NONHIER_0_VAL_0_SECTION": "MACRO",
            "NONHIER_0_VAL_1": "ScanDataLayer_SlideBarcode",
            "NONHIER_0_VAL_1_SECTION": "LABEL",
        },
        "DATAFILE": {"FILE_COUNT": 1, "FILE_0": "Data0000.dat"},
        "MACRO": {"THUMBNAIL_IMAGE_TYPE": "JPEG"},
        "LABEL": {"BARCODE_IMAGE_TYPE": "JPEG"},
    }
    for level in range(3):
        sections[f"LAYER_0_LEVEL_{level}_SECTION"] = {
            "OVERLAP_X": overlap / (1 << level),
            "OVERLAP_Y": overlap / (1 << level),
            "MICROMETER_PER_PIXEL_X": 0.25 * (1 << level),
            "MICROMETER_PER_PIXEL_Y": 0.25 * (1 << level),
            "IMAGE_FORMAT": image_format,
            "IMAGE_FILL_COLOR_BGR": 0xF0F8FF,
            "DIGITIZER_WIDTH": 256,
            "DIGITIZER_HEIGHT": 256,
            "IMAGE_CONCAT_FACTOR": 1 if level else 0,
        }
    return "".join(
        f"[{name}]\r\n" + "".join(f"{key} = {value}\r\n" for key, value in section.items())
        for name, section in sections.items()
    )
