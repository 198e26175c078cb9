/** The list of slides. */

import { SlideImage, getDatasets, grouped, patient, value } from "./dicom.js";
import { thumbnail } from "./frames.js";
import { hideProblem, showProblem } from "./problem.js";

/** Slides that are listed at once. */
const PAGE = 24;

const list = document.getElementById("slides");
const more = document.getElementById("more");
const state = document.documentElement.dataset;

/** List the next slides. */
async function listMore() {
  hideProblem();
  more.hidden = true;
  try {
    const query = `Modality=SM&limit=${PAGE + 1}&offset=${list.children.length}`;
    const found = await getDatasets(`/series?${query}`);
    const cards = found.slice(0, PAGE).map((series) => [series, cardOf(series)]);
    list.append(...cards.map(([, card]) => card));
    document.getElementById("empty").hidden = list.children.length > 0;
    await Promise.all(cards.map(([series, card]) => complete(series, card)));
    more.hidden = found.length <= PAGE;
    state.ready = "true";
  } catch (error) {
    showProblem(error, listMore);
    state.ready = "failed";
  }
}

/** Return what a search for series says about a slide; its picture comes later. */
function cardOf(series) {
  const card = document.getElementById("slide").content.cloneNode(true).firstElementChild;
  const write = (place, text) => (card.querySelector(place).textContent = text);
  const count = value(series, "NumberOfSeriesRelatedInstances");
  write(".container", value(series, "ContainerIdentifier") ?? "No container identifier");
  write(".patient", patient(series) || "Patient not stated");
  write(".count", `${count} ${count === 1 ? "instance" : "instances"}`);
  card.querySelector("a").href = `view?${new URLSearchParams({
    study: value(series, "StudyInstanceUID"),
    series: value(series, "SeriesInstanceUID"),
  })}`;
  return card;
}

/** Add size and picture to a card. */
async function complete(series, card) {
  const place = card.querySelector(".picture");
  try {
    const [study, own] = ["StudyInstanceUID", "SeriesInstanceUID"].map((of) => value(series, of));
    const path = `/studies/${study}/series/${own}`;
    const datasets = await getDatasets(`${path}/instances`);
    const images = datasets.map((dataset) => new SlideImage(dataset));
    const volumes = images.filter((image) => image.flavour === "VOLUME");
    volumes.sort((one, other) => other.columns - one.columns);
    const base = volumes[0];
    if (base) {
      const size = `${grouped(base.columns)} × ${grouped(base.rows)} pixels`;
      card.querySelector(".size").textContent = size;
    }
    const name = card.querySelector(".container").textContent;
    place.replaceChildren(base ? await thumbnail(path, `Slide ${name}`) : "No picture");
  } catch (error) {
    place.textContent = error.title ?? "No picture";
    place.title = error.message;
    place.classList.add("hatched");
  }
}

listMore();
