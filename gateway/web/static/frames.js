/** Frames as bitmaps: fetched one at a time, checked, and kept for a while. */

import { Problem, get, value } from "./dicom.js";

/** Pixels that are kept: 128 MB. */
const MOST_PIXELS = 2 ** 25;

/** What a browser decodes; all else is decoded by the server. */
const BASELINE = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50";
const OCTETS = "application/octet-stream";

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
  let answer = await get(path, `${BASELINE}, ${OCTETS};q=0.5`, signal);
  let encoded = answer.headers.get("Content-Type").startsWith("image/");
  let bytes = await answer.arrayBuffer();
  if (encoded && !coloursAreNamed(image, new Uint8Array(bytes))) {
    answer = await get(path, OCTETS, signal);
    encoded = false;
    bytes = await answer.arrayBuffer();
  }
  const source = encoded ? new Blob([bytes]) : nativePixels(image, bytes);
  const bitmap = await createImageBitmap(source).catch(() => null);
  if (bitmap?.width !== image.tileColumns || bitmap?.height !== image.tileRows) {
    throw new Problem("Damaged frame.", `Frame ${frameNumber} is not the picture it should be.`);
  }
  return bitmap;
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

/** Return native R, G, B bytes as ImageData. */
function nativePixels(image, buffer) {
  const rgb = new Uint8Array(buffer);
  const count = image.tileColumns * image.tileRows;
  const monochrome = value(image.dataset, "SamplesPerPixel") === 1;
  if (monochrome || rgb.length < 3 * count) {
    throw new Problem("This frame cannot be shown.", "Only colours of 8 bits each can be.");
  }
  const pixels = new ImageData(image.tileColumns, image.tileRows);
  for (let from = 0, to = 0; from < 3 * count; from += 3, to += 4) {
    pixels.data[to] = rgb[from];
    pixels.data[to + 1] = rgb[from + 1];
    pixels.data[to + 2] = rgb[from + 2];
    pixels.data[to + 3] = 255;
  }
  return pixels;
}

/**
 * Return an image of a single frame as a canvas.
 * @param {import("./dicom.js").SlideImage} image
 * @param {string} description For those who do not see it.
 */
export async function picture(image, description) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.min(image.columns, image.tileColumns);
  canvas.height = Math.min(image.rows, image.tileRows);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", description);
  const bitmap = await fetchFrame(image, 1);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
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
