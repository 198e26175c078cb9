/** A slide on a Leaflet map: its pyramid, its coordinates, and tiles composed from frames. */

import * as L from "../leaflet/leaflet-src.esm.js";
import { Problem, SlideImage, value, values } from "./dicom.js";

/** Pixels of the coarsest level that may be drawn into one pixel of the screen, per side. */
const MOST_REDUCTION = 16;

/** How much a level may be magnified: scanners round sizes, and this little is not seen. */
const ENOUGH = 1.05;

/** Zooms beyond one pixel of the slide per pixel of the page: up to four times. */
const ZOOMS_BEYOND = 4;

/** The VOLUME images of a series as a pyramid. */
export class Slide {
  /** @param {SlideImage[]} images All instances of the series. */
  constructor(images) {
    const volumes = images.filter((image) => image.flavour === "VOLUME" && image.tiled);
    if (!volumes.length) {
      const detail = "The series has no VOLUME image of the organization TILED_FULL.";
      throw new Problem("There is no slide to show.", detail);
    }
    volumes.sort((one, other) => other.columns - one.columns);
    this.base = volumes[0];
    /** The finest first, each with its place in the base level. */
    this.levels = volumes
      .filter((image) => sameView(image, this.base))
      .map((image) => ({ image, ...this.#place(image) }));
  }

  /**
   * Return where an image lies in the base level: the point of its corner, and the pixels of the
   * base level per pixel of it. Without the attributes that tell, it shows the same area.
   */
  #place(image) {
    const { base } = this;
    const { spacing, columns, rows } = image;
    const corner = base.pointOf(image.point_mm(0, 0));
    if (!corner) {
      return { left: 0, top: 0, across: base.columns / columns, down: base.rows / rows };
    }
    const [across, down] = [spacing[1] / base.spacing[1], spacing[0] / base.spacing[0]];
    return { left: corner[0], top: corner[1], across, down };
  }

  /**
   * Return the coarsest level that is fine enough.
   * @param {number} resolution Pixels of the screen per pixel of the base level.
   */
  levelFor(resolution) {
    const enough = (level) => level.across * resolution <= ENOUGH;
    return this.levels.findLast(enough) ?? this.levels[0];
  }

  /** Millimetres per pixel of the base level; undefined if unknown. */
  get spacing_mm() {
    return this.base.spacing[1];
  }

  /** Magnification of the objective; undefined if unknown. */
  get power() {
    return value(value(this.base.dataset, "OpticalPathSequence"), "ObjectiveLensPower");
  }

  /**
   * Return the coordinate reference system: latitude is the row and longitude the column of the
   * base level. Zooms are whole numbers, a factor of the square root of two apart; at zoom
   * `native` a pixel of the slide is a pixel of the page.
   */
  crs() {
    const { base, levels } = this;
    const reduction = Math.max(base.columns, base.rows) / 256;
    const most = MOST_REDUCTION * levels.at(-1).across;
    const native = Math.max(0, 2 * Math.ceil(Math.log2(Math.min(reduction, most))));
    return {
      ...L.CRS.Simple,
      transformation: new L.Transformation(1, 0, 1, 0),
      scale: (zoom) => 2 ** ((zoom - native) / 2),
      zoom: (scale) => 2 * Math.log2(scale) + native,
      native,
      last: native + ZOOMS_BEYOND,
    };
  }

  /** The whole slide, in coordinates of the map. */
  get bounds() {
    return L.latLngBounds([0, 0], [this.base.rows, this.base.columns]);
  }
}

/** Whether two images lie in the same way on the same slide. */
function sameView(one, other) {
  const frames = [one, other].map(({ dataset }) => value(dataset, "FrameOfReferenceUID"));
  const turned = one.cosines.some((cosine, index) => Math.abs(cosine - other.cosines[index]) > 1e-3);
  return frames[0] === frames[1] && !turned;
}

/** Draws a slide. Events are those of GridLayer; a tile that lacks a frame is a `tileerror`. */
export const SlideLayer = L.GridLayer.extend({
  /**
   * @param {Slide} slide
   * @param {import("./frames.js").Frames} frames
   * @param {object} options Of GridLayer.
   */
  initialize(slide, frames, options) {
    L.GridLayer.prototype.initialize.call(this, {
      bounds: slide.bounds,
      updateWhenZooming: false,
      ...options,
    });
    this._slide = slide;
    this._frames = frames;
    this._pieces = new WeakMap();
    this.on("tileunload", ({ tile }) => this._release(tile));
  },

  createTile(coords, done) {
    const size = this.getTileSize();
    const tile = document.createElement("canvas");
    tile.width = Math.round(size.x * devicePixelRatio);
    tile.height = Math.round(size.y * devicePixelRatio);
    const resolution = (this._map.options.crs.scale(coords.z) * tile.width) / size.x;
    const level = this._slide.levelFor(resolution);
    const pieces = framesWithin(level, resolution, coords, tile).map((place) => ({
      ...place,
      frame: this._frames.take(level.image, place.frameNumber),
    }));
    this._pieces.set(tile, pieces);
    const context = tile.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.imageSmoothingEnabled = level.across * resolution < 2; // beyond, pixels are shown
    Promise.allSettled(pieces.map((piece) => draw(context, piece))).then((results) => {
      if (this._pieces.has(tile)) done(results.find((one) => one.reason)?.reason, tile);
    });
    return tile;
  },

  _release(tile) {
    const pieces = this._pieces.get(tile) ?? [];
    this._pieces.delete(tile);
    for (const { frame } of pieces) frame.release();
  },

  /** Keep what is drawn until new tiles are: GridLayer looks for zooms a factor of two apart. */
  _retainParent() {
    for (const tile of Object.values(this._tiles)) tile.retain ||= Boolean(tile.loaded);
    return true;
  },
});

/**
 * Return the frames that touch a tile of the map, and where they go. Edges are rounded to whole
 * pixels of the canvas, so that neighbours neither overlap nor leave a seam.
 * @param {{image: SlideImage, left: number, top: number, across: number, down: number}} level
 * @param {number} resolution Pixels of the canvas per pixel of the base level.
 * @param {{x: number, y: number}} coords Of the tile.
 * @param {{width: number, height: number}} canvas
 */
function framesWithin(level, resolution, coords, canvas) {
  const { image, across, down } = level;
  const left = coords.x * canvas.width;
  const top = coords.y * canvas.height;
  const x = (column) => Math.round((level.left + column * across) * resolution) - left;
  const y = (row) => Math.round((level.top + row * down) * resolution) - top;
  const span = (from, length, perFrame, count) => [
    Math.max(0, Math.floor((from - 1) / perFrame)),
    Math.min(count - 1, Math.floor((from + length + 1) / perFrame)),
  ];
  const wide = image.tileColumns * across * resolution;
  const high = image.tileRows * down * resolution;
  const [fromLeft, fromTop] = [left - level.left * resolution, top - level.top * resolution];
  const [firstColumn, lastColumn] = span(fromLeft, canvas.width, wide, image.across);
  const [firstRow, lastRow] = span(fromTop, canvas.height, high, image.down);
  const found = [];
  for (let tileRow = firstRow; tileRow <= lastRow; tileRow += 1) {
    for (let tileColumn = firstColumn; tileColumn <= lastColumn; tileColumn += 1) {
      const { column, row, columns, rows } = image.extent(tileRow, tileColumn);
      const to = { left: x(column), top: y(row), right: x(column + columns), bottom: y(row + rows) };
      const seen = to.right > 0 && to.bottom > 0 && to.left < canvas.width && to.top < canvas.height;
      const frameNumber = image.frameNumber(tileRow, tileColumn);
      if (seen) found.push({ frameNumber, columns, rows, to });
    }
  }
  return found;
}

/** Draw one frame when it has come, without its padding; hatch its place if it cannot come. */
async function draw(context, { frame, columns, rows, to }) {
  const place = [to.left, to.top, to.right - to.left, to.bottom - to.top];
  try {
    context.drawImage(await frame.bitmap, 0, 0, columns, rows, ...place);
  } catch (error) {
    context.fillStyle = hatched(context);
    context.fillRect(...place);
    throw error;
  } finally {
    frame.release();
  }
}

/** Return the pattern of what cannot be shown; nothing on a slide looks like it. */
function hatched(context) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 16;
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#eef0f3";
  pen.fillRect(0, 0, 16, 16);
  pen.strokeStyle = "#8a93a3";
  pen.lineWidth = 2;
  for (const shift of [-16, 0, 16]) {
    pen.moveTo(shift, 16);
    pen.lineTo(shift + 16, 0);
  }
  pen.stroke();
  return context.createPattern(canvas, "repeat");
}
