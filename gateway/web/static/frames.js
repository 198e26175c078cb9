/** Frames as bitmaps: fetched one at a time, checked, and kept for a while. */

import { Problem, get, value } from "./dicom.js";

/** Pixels that are kept: 128 MB. */
const MOST_PIXELS = 2 ** 25;

/** What a browser decodes; all else is rendered by the server, without loss. */
const BASELINE = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50";
const STORED = `${BASELINE}, application/octet-stream; transfer-syntax=*; q=0.5`;
const RENDERED = "rendered?iccprofile=no";

const [JFIF, ADOBE, BASELINE_FRAME, SCAN] = [0xe0, 0xee, 0xc0, 0xda];

/**
 * Fetch one frame.
 * @param {import("./dicom.js").SlideImage} image
 * @param {number} frameNumber Counted from 1.
 * @param {AbortSignal} [signal]
 * @returns {Promise<ImageBitmap>} Of exactly the size that the header states.
 */
export async function fetchFrame(image, frameNumber, signal) {
  const path = `${image.path}/frames/${frameNumber}`;
  const bytes = await storedFrame(image, path, signal);
  const file = bytes ?? (await (await get(`${path}/${RENDERED}`, "image/png", signal)).arrayBuffer());
  const bitmap = await createImageBitmap(new Blob([file])).catch(() => null);
  if (bitmap?.width !== image.tileColumns || bitmap?.height !== image.tileRows) {
    throw new Problem("Damaged frame.", `Frame ${frameNumber} is not the picture it should be.`);
  }
  return bitmap;
}

/** Return a frame as it is stored if a browser shows it in the right colours; else undefined. */
async function storedFrame(image, path, signal) {
  if (image.isRendered) return undefined;
  const answer = await get(path, STORED, signal);
  if (answer.headers.get("Content-Type").startsWith("image/")) {
    const bytes = await answer.arrayBuffer();
    if (coloursAreNamed(image, new Uint8Array(bytes))) return bytes;
  }
  image.isRendered = true; // all frames of an image are of one kind
  return undefined;
}

/**
 * Whether a browser takes the components of a JPEG for what the header says they are: it takes
 * three for Y, Cb and Cr unless an Adobe marker or their identifiers say R, G and B.
 */
function coloursAreNamed(image, jpeg) {
  if (value(image.dataset, "PhotometricInterpretation") !== "RGB") return true;
  let at = 2;
  while (jpeg[at] === 0xff) {
    const marker = jpeg[at + 1];
    if (marker === JFIF || marker === SCAN) return false;
    if (marker === ADOBE) return jpeg[at + 15] === 0;
    if (marker === BASELINE_FRAME) {
      return String.fromCharCode(jpeg[at + 10], jpeg[at + 13], jpeg[at + 16]) === "RGB";
    }
    at += 2 + jpeg[at + 2] * 256 + jpeg[at + 3];
  }
  return false;
}

/**
 * Return an image of a single frame as a canvas.
 * @param {import("./dicom.js").SlideImage} image
 * @param {string} description For those who do not see it.
 */
export async function picture(image, description) {
  const width = Math.min(image.columns, image.tileColumns);
  const height = Math.min(image.rows, image.tileRows);
  const canvas = labelled(width, height, description);
  const bitmap = await fetchFrame(image, 1);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/**
 * Return the thumbnail of a series as a canvas.
 * @param {string} path Of the series.
 * @param {string} description For those who do not see it.
 */
export async function thumbnail(path, description) {
  const answer = await get(`${path}/thumbnail`, "image/jpeg");
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = labelled(bitmap.width, bitmap.height, description);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

function labelled(width, height, description) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", description);
  return canvas;
}

/** Shares frames among those who draw them; the least recently used are dropped first. */
export class Frames {
  #entries = new Map();
  #pixels = 0;

  /**
   * Take a frame. It is loaded until all who took it have released it.
   * @param {import("./dicom.js").SlideImage} image
   * @param {number} frameNumber Counted from 1.
   * @returns {{bitmap: Promise<ImageBitmap>, release: () => void}} The bitmap may be used until
   *   it is released; releasing twice is harmless.
   */
  take(image, frameNumber) {
    const key = `${image.path}/${frameNumber}`;
    const entry = this.#entries.get(key) ?? this.#load(key, image, frameNumber);
    this.#entries.delete(key);
    this.#entries.set(key, entry); // the newest is the last
    entry.takers += 1;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      entry.takers -= 1;
      if (!entry.takers && !entry.loaded) this.#drop(key, entry);
      this.#trim();
    };
    return { bitmap: entry.bitmap, release };
  }

  #load(key, image, frameNumber) {
    const abort = new AbortController();
    const pixels = image.tileColumns * image.tileRows;
    const entry = { abort, pixels, takers: 0, loaded: false };
    entry.bitmap = fetchFrame(image, frameNumber, abort.signal);
    entry.bitmap.then(
      () => (entry.loaded = true),
      () => this.#drop(key, entry), // so that it is asked for again
    );
    this.#entries.set(key, entry);
    this.#pixels += pixels;
    return entry;
  }

  #trim() {
    for (const [key, entry] of this.#entries) {
      if (this.#pixels <= MOST_PIXELS) return;
      if (!entry.takers) this.#drop(key, entry);
    }
  }

  #drop(key, entry) {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#pixels -= entry.pixels;
    if (entry.loaded) entry.bitmap.then((bitmap) => bitmap.close());
    else entry.abort.abort();
  }
}
