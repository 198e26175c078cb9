/** The viewer of one slide. */

import * as L from "../leaflet/leaflet-src.esm.js";
import { SlideImage, getDatasets, grouped, patient, value } from "./dicom.js";
import { Frames, picture } from "./frames.js";
import { hideProblem, showProblem } from "./problem.js";
import { Slide, SlideLayer } from "./slide.js";

const element = (id) => document.getElementById(id);
const state = document.documentElement.dataset;

/** Read the series that the address names, and show it. */
async function open() {
  hideProblem();
  try {
    const images = (await getDatasets(`${await seriesPath()}/metadata`)).map(
      (dataset) => new SlideImage(dataset),
    );
    describe(images);
    const slide = new Slide(images);
    const map = showMap(slide);
    showFacts(slide);
    showScale(map, slide);
    showPlace(map, slide);
  } catch (error) {
    showProblem(error, open);
    state.ready = "failed";
  }
}

/** Return the path of the series; without one in the address, the first slide of the study. */
async function seriesPath() {
  const address = new URLSearchParams(location.search);
  const study = `/studies/${address.get("study")}`;
  const series =
    address.get("series") ??
    value((await getDatasets(`${study}/series?Modality=SM&limit=1`))[0], "SeriesInstanceUID");
  return `${study}/series/${series}`;
}

/** Name the slide, and show its label and overview. */
function describe(images) {
  const name = value(images[0].dataset, "ContainerIdentifier") ?? "Slide";
  element("container").textContent = name;
  document.title = `${name} – Slidegate`;
  for (const flavour of ["LABEL", "OVERVIEW"]) {
    const image = images.find((one) => one.flavour === flavour && one.frames === 1);
    if (image) showPicture(image, flavour === "LABEL" ? "Label" : "Overview");
  }
}

async function showPicture(image, name) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = name;
  figure.append(caption);
  element("pictures").append(figure);
  try {
    figure.prepend(await picture(image, `${name} of the slide`));
  } catch (error) {
    caption.textContent = `${name}: ${error.title ?? ""} ${error.message}`;
  }
}

/** Make the map; it says in `data-ready` whether the view is drawn. */
function showMap(slide) {
  const crs = slide.crs();
  const map = L.map("map", {
    crs,
    minZoom: 0,
    maxZoom: crs.last,
    zoomDelta: 2,
    wheelPxPerZoomLevel: 40,
    attributionControl: false,
    fadeAnimation: false,
    zoomAnimation: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    maxBounds: slide.bounds.pad(0.5),
  });
  const layer = new SlideLayer(slide, new Frames(), { maxZoom: crs.last });
  const failed = new Map();
  const tell = () => {
    const [error] = failed.values();
    if (error) showProblem(error, () => layer.redraw());
    else hideProblem();
  };
  layer.on("tileerror", ({ tile, error }) => {
    failed.set(tile, error);
    tell();
  });
  layer.on("tileunload", ({ tile }) => {
    if (failed.delete(tile)) tell();
  });
  layer.on("loading", () => (state.ready = "false"));
  layer.on("load", () => (state.ready = failed.size ? "failed" : "true"));
  const fit = () => map.fitBounds(slide.bounds);
  const native = () => map.setZoom(crs.native);
  map.fitBounds(slide.bounds, { animate: false });
  map.addLayer(layer);
  element("fit").addEventListener("click", fit);
  element("native").addEventListener("click", native);
  map.on("keydown", ({ originalEvent }) => ({ 0: fit, 1: native })[originalEvent.key]?.());
  return map;
}

/** Keep a bar of a round length, and the magnification, beside the map. */
function showScale(map, slide) {
  const bar = element("scale");
  const update = () => {
    const scale = map.options.crs.scale(map.getZoom());
    const power = slide.power ? `${Number((slide.power * scale).toPrecision(2))}×` : "";
    element("magnification").value = power || `${Number((100 * scale).toPrecision(2))} %`;
    if (!slide.spacing_mm) return;
    const perPixel = (1000 * slide.spacing_mm) / scale;
    const length = roundLength(120 * perPixel);
    const text = length < 1000 ? `${length} µm` : `${length / 1000} mm`;
    bar.hidden = false;
    bar.style.width = `${length / perPixel}px`;
    bar.firstElementChild.textContent = text;
    bar.setAttribute("aria-label", `Scale bar: ${text}`);
  };
  map.on("zoomend", update);
  update();
}

/** Return the largest of 1, 2, 5, 10, ... that is not larger. */
function roundLength(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return [5, 2, 1].find((digit) => digit * power <= length) * power;
}

/** Say which pixel of the base level, and which point on the slide, is under the pointer. */
function showPlace(map, slide) {
  const place = element("place");
  map.on("mousemove", ({ latlng: { lat: row, lng: column } }) => {
    const inside = slide.bounds.contains([row, column]);
    const point = inside && slide.base.point_mm(column, row);
    place.value = inside ? `column ${Math.floor(column)}, row ${Math.floor(row)}` : "";
    if (point) place.value += ` · x ${point[0].toFixed(3)} mm, y ${point[1].toFixed(3)} mm`;
  });
  map.on("mouseout", () => (place.value = ""));
}

/** List what is known of the slide. */
function showFacts(slide) {
  const { dataset, columns, rows, spacing } = slide.base;
  const size_mm = [columns * spacing[1], rows * spacing[0]].map((side) => side.toFixed(2));
  const rounded_um = (side) => Number((1000 * side).toPrecision(4));
  const spacings_um = new Set([spacing[1], spacing[0]].map(rounded_um));
  const scanner = ["Manufacturer", "ManufacturerModelName"].map((of) => value(dataset, of));
  const facts = {
    Patient: patient(dataset) || "not stated",
    Scanned: day(value(dataset, "AcquisitionDateTime")),
    Scanner: scanner.filter((text) => text && text !== "unknown").join(" "),
    Pixels: `${grouped(columns)} × ${grouped(rows)}`,
    Size: spacing.length && `${size_mm.join(" × ")} mm`,
    "Pixel spacing": spacing.length && `${[...spacings_um].join(" × ")} µm`,
    Objective: slide.power && `${slide.power}×`,
    Levels: slide.levels.map((level) => `1:${Number(level.across.toFixed(2))}`).join(", "),
  };
  for (const [name, text] of Object.entries(facts)) {
    if (!text) continue;
    const [term, definition] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    definition.textContent = text;
    element("facts").append(term, definition);
  }
}

/** Return the day of a DICOM date and time; 1900 stands for an unknown one. */
function day(text = "1900") {
  return text.startsWith("1900") ? "" : text.replace(/^(\d{4})(\d{2})(\d{2}).*/, "$1-$2-$3");
}

open();
