/** The place of a page where it says what went wrong. */

const place = document.getElementById("problem");
let again = () => {};
place.querySelector("button").addEventListener("click", () => again());

/**
 * Say what went wrong.
 * @param {Error} error With a title, if it is a Problem.
 * @param {() => void} retry What "Try again" does.
 */
export function showProblem(error, retry) {
  again = retry;
  place.querySelector("strong").textContent = error.title ?? "Something went wrong.";
  place.querySelector("span").textContent = error.message;
  place.hidden = false;
}

/** Say nothing. */
export function hideProblem() {
  place.hidden = true;
}
