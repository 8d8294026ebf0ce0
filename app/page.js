// The page: takes files, shows what the network says of them. One film at a time is decoded; only answers are kept.

import { marked } from "./vendor/marked.esm.js";
import { FilmError } from "./errors.js";
import { readFilm } from "./films.js";
import { drawFilm, drawHeat } from "./heat.js";
import { readsPixelsBack } from "./jpeg.js";
import { loadModel, screen } from "./model.js";

const COLUMNS = ["file", "p_pneumonia", "p_calibrated", "decision", "refused", "reason"];

const at = (id) => document.getElementById(id);
const films = []; // {name, file, row, answer?, error?, shown}: shown is true where a refused film's answer is asked for
let model = null;
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
  at("threshold").textContent = model.threshold.toFixed(2);
  at("mark").style.insetInlineStart = `${100 * model.threshold}%`;
  at("versions").textContent =
    `Model ${model.sha256.slice(0, 12)}, ${model.precision}, ${model.image_size} x ${model.image_size} pixels; ` +
    `weights ${model.weights_sha256.slice(0, 12)}; data set ${model.dataset_sha256.slice(0, 12)}`;
  say("Ready.");
}

function listen() {
  at("files").addEventListener("change", () => {
    add([...at("files").files]);
    at("files").value = ""; // so that the same file can be chosen again
  });
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  document.addEventListener("dragover", () => at("drop").classList.add("over"));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? at("drop").classList.remove("over"));
  document.addEventListener("drop", async (event) => {
    at("drop").classList.remove("over");
    if (model) add(await dropped(event.dataTransfer));
  });
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

function add(files) {
  const added = files.map((file) => ({ name: file.path ?? file.name, file, shown: false }));
  films.push(...added);
  added.forEach(addRow);
  at("all").hidden = !films.length;
  queue = queue.then(() => screenAll(added));
}

async function screenAll(added) {
  for (const [index, film] of added.entries()) {
    if (!films.includes(film)) return; // cleared
    if (added.length > 1) say(`Screening ${index + 1} of ${added.length} ...`, { quietly: true });
    let picture = null;
    try {
      picture = await read(film);
      film.answer = await screen(model, picture);
    } catch (error) {
      film.error = error instanceof FilmError ? error.message : `this browser could not screen it (${error.message})`;
    }
    if (!films.includes(film)) return;
    fillRow(film);
    if (index === 0) await show(film, picture);
    await new Promise((next) => setTimeout(next)); // lets the page answer between films
  }
  if (added.length === 1) say(`${added[0].name}: ${spoken(added[0])}`);
  else if (added.length) say(summary());
}

async function read(film) {
  let buffer;
  try {
    buffer = await film.file.arrayBuffer();
  } catch {
    throw new FilmError("cannot be read; was it moved or changed?");
  }
  return readFilm(new Uint8Array(buffer));
}

/** What may be shown of a film: its answer, unless it was refused and nobody asked for it. */
function visible(film) {
  return film.answer && (!film.answer.refusal || film.shown) ? film.answer : null;
}

function verdict(film) {
  if (film.error) return "unreadable";
  if (!film.answer) return "waiting";
  return visible(film)?.decision ?? "refused";
}

function reason(film) {
  return film.error ?? film.answer?.refusal ?? "";
}

function spoken(film) {
  const answer = visible(film);
  const what = verdict(film);
  return [answer ? `${what}, probability ${answer.probability.toFixed(2)}` : what, reason(film)]
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
    { refused: "Refused", unreadable: "Cannot be read", waiting: "Waiting" }[verdict(film)] ?? verdict(film);
  at("decision").className = `decision ${verdict(film)}`;
  at("reason").textContent =
    reason(film) && (film.shown ? `Shown at your request, though it is ${reason(film)}.` : sentence(film));
  at("figures").hidden = !answer;
  at("anyway").hidden = !film.answer?.refusal || film.shown;
  if (answer) {
    at("probability").textContent = answer.probability.toFixed(3);
    at("calibrated").textContent = answer.calibrated.toFixed(3);
    at("needle").style.inlineSize = `${100 * answer.probability}%`;
  }
  document.querySelector("figure").hidden = Boolean(film.error);
  if (film.error) return;
  try {
    drawFilm(at("picture"), picture ?? (await read(film)));
  } catch (error) {
    at("reason").textContent = `The film cannot be shown any more: ${error.message}`;
  }
  if (selected === film) showHeat();
}

function sentence(film) {
  const text = reason(film);
  const consequence = film.error ? "" : " No probability is given for what is no upright frontal chest film.";
  return `${text[0].toUpperCase()}${text.slice(1)}.${consequence}`;
}

function showHeat() {
  const answer = selected && visible(selected);
  const on = Boolean(answer) && at("heat-on").checked;
  at("heat-on").disabled = !answer;
  at("heat").hidden = !on;
  at("scale").classList.toggle("off", !on);
  if (on) drawHeat(at("heat"), at("picture"), answer.activation);
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
      const refused = verdict(film) === "refused" ? "True" : "False";
      return [film.name, ...numbers, answer?.decision ?? "", refused, reason(film)].map(cell).join(",");
    });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[COLUMNS.join(","), ...lines, ""].join("\r\n")], { type: "text/csv" }));
  link.download = "cxr-screen.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The shortest decimal number that is this one in single precision. */
function shortest(value) {
  for (let digits = 1; ; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
}

/** The files that were dropped, those in dropped folders included; hidden files left out. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const files = [];
  const walk = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => null);
      if (file) files.push(Object.assign(file, { path }));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => []);
      if (!some.length) return;
      for (const child of some) if (!child.name.startsWith(".")) await walk(child, `${path}/${child.name}`);
    }
  };
  for (const entry of entries) await walk(entry, entry.name);
  return files;
}

async function showCard() {
  const answer = await fetch("MODEL_CARD.md").catch(() => null);
  const text = answer?.ok ? await answer.text() : "The model card could not be loaded.";
  at("card").innerHTML = marked.parse(text.replace(/^# /gm, "## ")); // a file of this project, not a stranger's
}

async function keepOffline() {
  if (!navigator.serviceWorker) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    at("offline").hidden = false;
  } catch {
    // Private windows forbid it; the page works all the same while the server runs.
  }
}
