// The page: takes files and shows the answers of the network. It decodes one film at a time and keeps only answers.

import { marked } from "./vendor/marked.esm.js";
import DOMPurify from "./vendor/purify.es.mjs";
import { FilmError } from "./errors.js";
import { readFilm } from "./films.js";
import { drawFilm, drawHeat } from "./heat.js";
import { readsPixelsBack } from "./jpeg.js";
import { loadModel, screen } from "./model.js";
import { judged, readSite, shortest, whose } from "./site.js";

const UNREADABLE = "cannot be read; was it moved, changed or protected?";
const COLUMNS = ["file", "p_pneumonia", "p_calibrated", "decision", "rejected", "reason"];
const CARD = {
  ALLOWED_TAGS: "h2 h3 h4 h5 h6 p ul ol li table thead tbody tr th td a code pre em strong blockquote br hr".split(" "),
  ALLOWED_ATTR: ["href", "align"],
  RETURN_DOM_FRAGMENT: true,
};

const at = (id) => document.getElementById(id);
// {name, file, row, answer?, error?, shown}: `file` is null if the browser gave none, and `error` says why; `shown` is
// true for a rejected film whose answer was asked for.
const films = [];
let model = null;
let site = null; // an operating point of one's own
let selected = null;
let queue = Promise.resolve();

start();

async function start() {
  listen();
  showCard();
  keepOffline();
  try {
    model = await loadModel((share) => (at("load").value = share));
    if (!(await readsPixelsBack())) {
      problem(
        "This browser changes the pixels that a page reads (protection against fingerprinting). Allow this page to " +
          "read canvas data, or its answers will be wrong.",
      );
    }
  } catch (error) {
    at("loading").hidden = true;
    problem(`The network could not be loaded: ${error.message}. Reload the page to try again.`);
    return;
  }
  at("loading").hidden = true;
  at("files").disabled = false;
  showThreshold();
  at("versions").textContent =
    `Model ${model.sha256.slice(0, 12)}, ${model.precision}, ${model.image_size} x ${model.image_size} pixels; ` +
    `weights ${model.weights_sha256.slice(0, 12)}; data set ${model.dataset_sha256.slice(0, 12)}`;
  say("Ready.");
}

function listen() {
  at("files").addEventListener("change", () => {
    add([...at("files").files].map(named));
    at("files").value = ""; // so that the same file can be chosen again
  });
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("dragover", () => at("drop").classList.add("over"));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? at("drop").classList.remove("over"));
  document.addEventListener("drop", async (event) => {
    at("drop").classList.remove("over");
    if (model) add(await dropped(event.dataTransfer));
    else say("The network is not loaded yet.");
  });
  at("no-site").addEventListener("click", () => useSite(null));
  at("heat-on").addEventListener("change", showHeat);
  at("anyway").addEventListener("click", () => {
    selected.shown = true;
    fillRow(selected);
    show(selected);
    at("name").focus();
  });
  at("csv").addEventListener("click", saveCsv);
  at("clear").addEventListener("click", () => {
    films.length = 0;
    selected = null;
    at("rows").replaceChildren();
    at("all").hidden = at("one").hidden = true;
    say("Cleared.");
    at("files").focus();
  });
}

function named(file) {
  return { name: file.name, file };
}

/** `found`: {name, file} or, for what cannot be read, {name, file: null, error}. A JSON file is a site file. */
function add(found) {
  const isSite = ({ name, file }) => file && name.toLowerCase().endsWith(".json");
  for (const { name, file } of found.filter(isSite)) loadSite(name, file);
  const added = found.filter((film) => !isSite(film)).map((film) => ({ ...film, shown: false }));
  films.push(...added);
  added.forEach(addRow);
  at("all").hidden = !films.length;
  queue = queue.then(() => screenAll(added));
}

async function loadSite(name, file) {
  try {
    useSite(readSite(await file.text(), model.sha256));
    say(whose(site));
  } catch (error) {
    say(`${name}: ${error instanceof DOMException ? UNREADABLE : error.message}.`);
  }
}

/** Decide by the operating point `own`, or by the model's own if it is null. */
function useSite(own) {
  site = own;
  showThreshold();
  films.forEach(fillRow);
  if (selected) show(selected);
}

function showThreshold() {
  const { threshold } = site ?? model;
  at("threshold").textContent = String(threshold);
  at("mark").style.insetInlineStart = `${100 * threshold}%`;
  at("site").hidden = !site;
  at("whose").textContent = site ? whose(site) : "";
}

async function screenAll(added) {
  for (const [index, film] of added.entries()) {
    if (!films.includes(film)) return; // cleared
    if (added.length > 1) say(`Screening ${index + 1} of ${added.length} ...`, { quietly: true });
    let picture = null;
    try {
      if (film.file) {
        picture = await read(film);
        film.answer = await screen(model, picture);
      }
    } catch (error) {
      film.error = error instanceof FilmError ? error.message : `this browser could not screen it (${error.message})`;
    }
    if (!films.includes(film)) return;
    fillRow(film);
    if (index === 0) await show(film, picture);
    await new Promise((next) => setTimeout(next)); // lets the page respond between films
  }
  if (added.length === 1) say(`${added[0].name}: ${spoken(added[0])}`);
  else if (added.length) say(summary());
}

async function read(film) {
  let buffer;
  try {
    buffer = await film.file.arrayBuffer();
  } catch {
    throw new FilmError(UNREADABLE);
  }
  return readFilm(new Uint8Array(buffer));
}

/** The answer that may be shown: none for a rejected film, unless it was asked for. */
function visible(film) {
  if (!film.answer || (film.answer.rejection && !film.shown)) return null;
  return site ? judged(site, film.answer) : film.answer;
}

function verdict(film) {
  if (film.error) return "unreadable";
  if (!film.answer) return "waiting";
  return visible(film)?.decision ?? "rejected";
}

function reason(film) {
  return film.error ?? film.answer?.rejection ?? "";
}

function spoken(film) {
  const answer = visible(film);
  const what = verdict(film);
  return [answer ? `${what}, probability ${answer.probability.toFixed(3)}` : what, reason(film)]
    .filter(Boolean)
    .join("; ");
}

function summary() {
  const counts = new Map();
  for (const film of films) counts.set(verdict(film), (counts.get(verdict(film)) ?? 0) + 1);
  return `${films.length} files: ${[...counts].map(([what, count]) => `${count} ${what}`).join(", ")}.`;
}

function say(text, { quietly = false } = {}) {
  at("status").setAttribute("aria-live", quietly ? "off" : "polite");
  at("status").textContent = text;
}

function problem(text) {
  at("problem").textContent = text;
  at("problem").hidden = false;
}

function addRow(film) {
  film.row = at("rows").insertRow();
  const open = document.createElement("button");
  open.type = "button";
  open.textContent = film.name;
  open.addEventListener("click", () => show(film));
  film.row.insertCell().append(open);
  for (const kind of ["number", "number", "verdict"]) film.row.insertCell().className = kind;
  fillRow(film);
}

function fillRow(film) {
  const answer = visible(film);
  const [, probability, calibrated, decision] = film.row.cells;
  probability.textContent = answer?.probability.toFixed(3) ?? "";
  calibrated.textContent = answer?.calibrated.toFixed(3) ?? "";
  const what = document.createElement("span");
  what.className = `tag ${verdict(film)}`;
  what.textContent = verdict(film);
  decision.replaceChildren(what, reason(film) ? ` ${reason(film)}` : "");
}

async function show(film, picture = null) {
  selected = film;
  for (const { row } of films)
    (row.classList.remove("selected"), row.querySelector("button").removeAttribute("aria-current"));
  film.row.classList.add("selected");
  film.row.querySelector("button").setAttribute("aria-current", "true");
  at("one").hidden = false;
  const answer = visible(film);
  at("name").textContent = film.name;
  at("decision").textContent =
    { rejected: "Rejected", unreadable: "Cannot be read", waiting: "Waiting" }[verdict(film)] ?? verdict(film);
  at("decision").className = `decision ${verdict(film)}`;
  at("reason").textContent =
    reason(film) && (film.shown ? `Shown at your request: it is ${reason(film)}.` : sentence(film));
  at("figures").hidden = !answer;
  at("anyway").hidden = !film.answer?.rejection || film.shown;
  if (answer) {
    at("probability").textContent = answer.probability.toFixed(3);
    at("calibrated").textContent = answer.calibrated.toFixed(3);
    at("needle").style.inlineSize = `${100 * answer.probability}%`;
  }
  document.querySelector("figure").hidden = Boolean(film.error);
  if (film.error) return;
  try {
    const seen = picture ?? (await read(film));
    if (selected !== film) return; // another one was chosen meanwhile
    drawFilm(at("picture"), seen);
  } catch (error) {
    if (selected !== film) return;
    at("reason").textContent = `The film cannot be shown any more: ${error.message}`;
  }
  showHeat();
}

function sentence(film) {
  const text = reason(film);
  const consequence = film.error ? "" : " Only an upright frontal chest film gets a probability.";
  return `${text[0].toUpperCase()}${text.slice(1)}.${consequence}`;
}

function showHeat() {
  const answer = selected && visible(selected);
  const on = Boolean(answer) && at("heat-on").checked;
  at("heat-on").disabled = !answer;
  let failure = "";
  try {
    if (on) drawHeat(at("heat"), at("picture"), answer.activation);
  } catch (error) {
    failure = `The heat map of ${selected.name} could not be drawn: ${error.message}`; // its verdict holds without it
  }
  at("no-heat").textContent = failure;
  at("no-heat").hidden = !failure;
  at("heat").hidden = !on || Boolean(failure);
  at("scale").classList.toggle("off", at("heat").hidden);
}

/** The same table as `cxr-screen --csv` writes. */
function saveCsv() {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = films
    .filter((film) => film.answer || film.error)
    .map((film) => {
      const answer = visible(film);
      const numbers = [answer?.probability, answer?.calibrated].map((value) =>
        value === undefined ? "" : shortest(value),
      );
      const rejected = verdict(film) === "rejected" ? "True" : "False";
      return [film.name, ...numbers, answer?.decision ?? "", rejected, reason(film)].map(cell).join(",");
    });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[COLUMNS.join(","), ...lines, ""].join("\r\n")], { type: "text/csv" }));
  link.download = "cxr-screen.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

/** What was dropped, for `add`: files and all files in folders, except hidden ones. What the browser cannot read is in
 * the list too, with the reason: a missing row would look like a film that was screened. */
async function dropped(transfer) {
  // The items are gone after the first wait, so all are asked before it.
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const given = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const found = [];
  const walk = async (entry, name) => {
    try {
      if (entry.isFile) {
        found.push({ name, file: await new Promise((done, failed) => entry.file(done, failed)) });
        return;
      }
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // a hundred or so at a time
        if (!some.length) return;
        for (const child of some) if (!child.name.startsWith(".")) await walk(child, `${name}/${child.name}`);
      }
    } catch {
      found.push({ name, file: null, error: entry.isFile ? UNREADABLE : "a folder that cannot be read to its end" });
    }
  };
  for (const { entry, file } of given) {
    if (entry) await walk(entry, entry.name);
    else if (file) found.push(named(file));
    else found.push({ name: "dropped item", file: null, error: UNREADABLE });
  }
  if (!found.length) say("There is no file in what was dropped.");
  return found;
}

async function showCard() {
  const answer = await fetch("MODEL_CARD.md").catch(() => null);
  const text = answer?.ok ? await answer.text() : "The model card could not be loaded.";
  // The card quotes whoever packed the films, so nothing in it is trusted. Tags are read as text: "<5 years>" stays.
  marked.use({ tokenizer: { html() {}, tag() {} } });
  at("card").replaceChildren(DOMPurify.sanitize(marked.parse(text.replace(/^# /gm, "## ")), CARD));
}

async function keepOffline() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    at("offline").hidden = false;
  } catch {
    // Private windows forbid it. The page then works only while the server runs.
  }
}
