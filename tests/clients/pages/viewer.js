// A slide in dicom-microscopy-viewer, put together as its README says.

const { metadata: made, viewer: viewers } = dicomMicroscopyViewer;
const failures = [];
let client;
let volume;

const errorInterceptor = (error) => {
  failures.push(String(error.message ?? error));
  return error;
};

function connect(root) {
  client = new DICOMwebClient.api.DICOMwebClient({ url: root });
}

/** Wait for something, but not for ever. */
function soon(what, begin) {
  return new Promise((resolve, reject) => {
    const waiting = setTimeout(() => reject(new Error(`${what} takes too long`)), 20_000);
    begin(() => {
      clearTimeout(waiting);
      resolve();
    });
  });
}

/** Wait until a map has drawn all that it wants to draw. */
function drawn(map) {
  return soon("drawing", (done) => {
    map.once("rendercomplete", done);
    map.render();
  });
}

async function imagesOf(studyInstanceUID, seriesInstanceUID) {
  const found = await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID });
  return found.map((metadata) => new made.VLWholeSlideMicroscopyImage({ metadata }));
}

/** Show a slide as large as fits; returns what went wrong. */
async function showSlide(study, series) {
  const images = await imagesOf(study, series);
  const levels = images.filter((one) => ["VOLUME", "THUMBNAIL"].includes(one.ImageType[2]));
  volume = new viewers.VolumeImageViewer({ client, metadata: levels, errorInterceptor });
  const container = document.getElementById("slide");
  const firstTile = soon("the first tile", (done) => {
    container.addEventListener("dicommicroscopyviewer_frame_loading_ended", done, { once: true });
  });
  volume.render({ container });
  await firstTile;
  await drawn(volume.getMap());
  return failures;
}

/** Look at a place of the base level, `scale` pixels of it to one of the screen. */
async function lookAt(column, row, scale) {
  const view = volume.getMap().getView();
  view.setResolution(scale);
  view.setCenter([column, -(row + 1)]);
  await drawn(volume.getMap());
  return whereabouts();
}

/** What is in the middle of the window, in pixels of the base level, and how it is turned. */
function whereabouts() {
  const view = volume.getMap().getView();
  const [x, y] = view.getCenter();
  return [x, -y - 1, view.getResolution(), view.getRotation()];
}

/** Show a picture that is no level, such as the label. */
async function showPicture(Viewer, flavour, container, study, series) {
  const images = await imagesOf(study, series);
  const metadata = images.find((one) => one.ImageType[2] === flavour);
  const picture = new viewers[Viewer]({ client, metadata, errorInterceptor, resizeFactor: 0.5 });
  picture.render({ container: document.getElementById(container) });
  await drawn(picture[Symbol.for("map")]);
  return failures;
}

/** Draw the annotations of a series; returns what went wrong. */
async function showAnnotations(studyInstanceUID, seriesInstanceUID) {
  const found = await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID });
  for (const metadata of found) {
    const annotations = new made.MicroscopyBulkSimpleAnnotations({ metadata });
    volume.addAnnotationGroups(annotations);
    const ended = soon("loading annotations", (done) => {
      volume.getMap().getTargetElement()
        .addEventListener("dicommicroscopyviewer_loading_ended", done, { once: true });
    });
    volume.showAnnotationGroup(annotations.AnnotationGroupSequence[0].AnnotationGroupUID);
    await ended;
  }
  await drawn(volume.getMap());
  return failures;
}
