/** DICOMweb and the DICOM JSON Model, as far as the pages need them. */

// A proxy may show the server below a prefix.
const ROOT = new URL("../dicom-web", import.meta.url).href;

const TAGS = {
  ImageType: "00080008",
  AcquisitionDateTime: "0008002A",
  Manufacturer: "00080070",
  ManufacturerModelName: "00081090",
  PatientName: "00100010",
  PatientID: "00100020",
  StudyInstanceUID: "0020000D",
  SeriesInstanceUID: "0020000E",
  SOPInstanceUID: "00080018",
  FrameOfReferenceUID: "00200052",
  NumberOfSeriesRelatedInstances: "00201209",
  DimensionOrganizationType: "00209311",
  SamplesPerPixel: "00280002",
  PhotometricInterpretation: "00280004",
  NumberOfFrames: "00280008",
  Rows: "00280010",
  Columns: "00280011",
  PixelSpacing: "00280030",
  BitsAllocated: "00280100",
  PixelMeasuresSequence: "00289110",
  ContainerIdentifier: "00400512",
  XOffsetInSlideCoordinateSystem: "0040072A",
  YOffsetInSlideCoordinateSystem: "0040073A",
  TotalPixelMatrixColumns: "00480006",
  TotalPixelMatrixRows: "00480007",
  TotalPixelMatrixOriginSequence: "00480008",
  ImageOrientationSlide: "00480102",
  OpticalPathSequence: "00480105",
  ObjectiveLensPower: "00480112",
  SharedFunctionalGroupsSequence: "52009229",
};

/** What went wrong, in words for people. */
export class Problem extends Error {
  /**
   * @param {string} title What is wrong.
   * @param {string} detail What that means and what to do.
   */
  constructor(title, detail) {
    super(detail);
    this.title = title;
  }
}

/**
 * Return all values of an attribute.
 * @param {object} dataset In the DICOM JSON Model.
 * @param {keyof TAGS} keyword
 * @returns {Array}
 */
export function values(dataset, keyword) {
  return dataset?.[TAGS[keyword]]?.Value ?? [];
}

/** Return the first value of an attribute; undefined if it has none. */
export function value(dataset, keyword) {
  return values(dataset, keyword)[0] ?? undefined;
}

/** Return the patient's name and ID as people write them; empty if unknown. */
export function patient(dataset) {
  const name = value(dataset, "PatientName")?.Alphabetic?.replace(/\^+/g, " ").trim();
  return [name, value(dataset, "PatientID")].filter(Boolean).join(" · ");
}

/** Return a number as people read it. */
export function grouped(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}

/**
 * Ask the server.
 * @param {string} path Below the DICOMweb root.
 * @param {string} accept Media types.
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>} An answer that is no error.
 */
export async function get(path, accept, signal) {
  let answer;
  try {
    answer = await fetch(ROOT + path, { headers: { Accept: accept }, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem("The server does not answer.", "It may have been stopped.");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new Problem(`${told.title ?? `Error ${answer.status}`}.`, told.detail ?? "");
}

/** Ask for data sets in the DICOM JSON Model. */
export async function getDatasets(path) {
  return (await get(path, "application/dicom+json")).json();
}

/** One instance of a slide: its size, its tiles and where it lies. */
export class SlideImage {
  /** @param {object} dataset Metadata, or a match of a search for instances. */
  constructor(dataset) {
    const [study, series, instance] = ["Study", "Series", "SOP"].map((of) =>
      value(dataset, `${of}InstanceUID`),
    );
    this.dataset = dataset;
    this.path = `/studies/${study}/series/${series}/instances/${instance}`;
    this.flavour = values(dataset, "ImageType")[2];
    this.tileColumns = value(dataset, "Columns");
    this.tileRows = value(dataset, "Rows");
    this.columns = value(dataset, "TotalPixelMatrixColumns") ?? this.tileColumns;
    this.rows = value(dataset, "TotalPixelMatrixRows") ?? this.tileRows;
    this.across = Math.ceil(this.columns / this.tileColumns);
    this.down = Math.ceil(this.rows / this.tileRows);
    this.frames = value(dataset, "NumberOfFrames") ?? 1;
    const shared = value(dataset, "SharedFunctionalGroupsSequence");
    /** Millimetres from row to row and from column to column; empty if unknown. */
    this.spacing = values(value(shared, "PixelMeasuresSequence"), "PixelSpacing");
    /** Directions of rows and columns on the slide; empty if unknown. */
    this.cosines = values(dataset, "ImageOrientationSlide");
    this.origin = value(dataset, "TotalPixelMatrixOriginSequence");
  }

  /** Whether it says where it lies on the slide. */
  get placed() {
    return Boolean(this.origin) && this.cosines.length === 6 && this.spacing.length === 2;
  }

  /**
   * Return the point on the slide, in millimetres, of a point that is counted from the corner of
   * the top left pixel. The stated origin is the centre of that pixel (PS3.3 C.8.12.14).
   * @returns {[number, number] | undefined}
   */
  point_mm(column, row) {
    if (!this.placed) return undefined;
    const [perRow, perColumn] = this.spacing;
    const along = (column - 0.5) * perColumn;
    const down = (row - 0.5) * perRow;
    return ["X", "Y"].map((axis, at) => {
      const start = value(this.origin, `${axis}OffsetInSlideCoordinateSystem`);
      return start + this.cosines[at] * along + this.cosines[at + 3] * down;
    });
  }

  /**
   * Return the column and row, from the corner of the top left pixel, of a point on the slide.
   * @param {[number, number] | undefined} point_mm
   * @returns {[number, number] | undefined}
   */
  pointOf(point_mm) {
    if (!this.placed || !point_mm) return undefined;
    const corner = this.point_mm(0, 0);
    const [x, y] = [point_mm[0] - corner[0], point_mm[1] - corner[1]];
    const [perRow, perColumn] = this.spacing;
    return [
      (x * this.cosines[0] + y * this.cosines[1]) / perColumn,
      (x * this.cosines[3] + y * this.cosines[4]) / perRow,
    ];
  }

  /** Whether frame numbers follow from places; otherwise each frame would say its own. */
  get tiled() {
    const full = value(this.dataset, "DimensionOrganizationType") === "TILED_FULL";
    return this.frames >= this.across * this.down && (full || this.frames === 1);
  }

  /** Return the number of a frame, counted from 1; rows and columns of tiles count from 0. */
  frameNumber(tileRow, tileColumn) {
    return tileRow * this.across + tileColumn + 1;
  }

  /** Return the place of a frame in the total pixel matrix, without the padding of edge tiles. */
  extent(tileRow, tileColumn) {
    const column = tileColumn * this.tileColumns;
    const row = tileRow * this.tileRows;
    return {
      column,
      row,
      columns: Math.min(this.tileColumns, this.columns - column),
      rows: Math.min(this.tileRows, this.rows - row),
    };
  }
}
