// The operating point that a place chose on its own films with `cxr-evaluate`, for one model and no other: site.json.

const FORMAT = 1;
const FIELDS = 10;

/** The operating point in a file's text. Throws an Error that says in one line why there is none. */
export function readSite(text, modelSha256) {
  let site = null;
  try {
    site = JSON.parse(text);
  } catch {
    // what it holds is said below
  }
  if (Number.isInteger(site?.format) && site.format !== FORMAT)
    throw new Error(`it is of format ${site.format}, this page reads ${FORMAT}`);
  if (!valid(site)) throw new Error("not a site file of cxr-evaluate");
  if (site.model_sha256 !== modelSha256)
    throw new Error(
      `made for another model (${site.model_sha256.slice(0, 12)}, this one is ${modelSha256.slice(0, 12)})`,
    );
  return site;
}

function valid(site) {
  const share = (value) => typeof value === "number" && value >= 0 && value <= 1;
  const count = (value) => Number.isInteger(value) && value > 0;
  // What Python calls printable.
  const line = (value) => typeof value === "string" && !/[\p{C}\p{Z}]/u.test(value.replaceAll(" ", ""));
  return (
    site?.format === FORMAT &&
    Object.keys(site).length === FIELDS &&
    [site?.threshold, site?.sensitivity, site?.prevalence].every(share) &&
    [site.films, site.patients].every(count) &&
    [site.name, site.date, site.model_sha256].every(line) &&
    Number.isFinite(site.calibration?.intercept) &&
    Number.isFinite(site.calibration.slope) &&
    site.calibration.slope > 0
  );
}

/** One line: whose operating point it is. */
export function whose(site) {
  return (
    `Operating point of ${site.name}, ${site.date}: threshold ${site.threshold}, chosen for a sensitivity of ` +
    `${site.sensitivity} on ${site.films} films of ${site.patients} patients.`
  );
}

/** An answer of the network as this place reads it: its threshold and its calibration. */
export function judged(site, answer) {
  const probability = Number(shortest(answer.probability)); // the number that cxr-screen compares
  const p = Math.min(Math.max(probability, 1e-7), 1 - 1e-7);
  const odds = site.calibration.slope * Math.log(p / (1 - p)) + site.calibration.intercept;
  return {
    ...answer,
    calibrated: Math.fround(1 / (1 + Math.exp(-odds))),
    decision: probability >= site.threshold ? "pneumonia" : "normal",
  };
}

/** The shortest decimal number that rounds to `value` in fp32. */
export function shortest(value) {
  for (let digits = 1; ; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
}
