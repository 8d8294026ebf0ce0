// The same pixels as Pillow's, to the bit, so that the network gets the same input as in training
// (src/cxr_distill/films/pixels.py). tests/test_page.py compares the two.

const PRECISION_BITS = 32 - 8 - 2; // of Pillow's fixed-point weights (src/libImaging/Resample.c)

/** ITU-R 601 luma as Pillow's convert("L") rounds it. `rgba`: 4 bytes a pixel, alpha unread; result: 1 byte a pixel. */
export function luma(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let pixel = 0, at = 0; pixel < grey.length; pixel += 1, at += 4) {
    grey[pixel] = (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16;
  }
  return grey;
}

/** Numbers as grey bytes, 0 at `black` to 255 at `white`, clipped; halves go to the even level. */
export function levels(values, black, white) {
  const spread = white - black || 1;
  return Uint8Array.from(values, (value) => {
    const level = Math.min(Math.max(((value - black) / spread) * 255, 0), 255);
    const floor = Math.floor(level);
    return level - floor === 0.5 ? floor + (floor % 2) : Math.floor(level + 0.5);
  });
}

/** `grey` (height x width bytes) squashed to size x size like Pillow's resize(..., BILINEAR): a triangle filter whose
 * support grows with the reduction, along rows and along columns, rounded to bytes in between. */
export function squash(grey, width, height, size) {
  const rows = (from, lines) =>
    resample(from, weights(width, size), { lines, line: width, step: 1, outLine: size, outStep: 1 });
  const columns = (from, lines) =>
    resample(from, weights(height, size), { lines, line: 1, step: lines, outLine: 1, outStep: lines });
  // Pillow 13 begins with the columns if the height shrinks by more than twice as many pixels as the width.
  const tall = height > size && height - size > 2 * (width - size);
  return tall ? rows(columns(grey, width), size) : columns(rows(grey, height), size);
}

/** For each output position, its first input and the integer weights of the inputs from there. */
function weights(input, output) {
  const scale = input / output;
  const support = Math.max(scale, 1);
  return Array.from({ length: output }, (_, position) => {
    const centre = (position + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support + 0.5), input);
    const raw = new Float64Array(end - first);
    let sum = 0;
    for (let tap = 0; tap < raw.length; tap += 1) {
      raw[tap] = Math.max(1 - Math.abs((tap + first - centre + 0.5) * (1 / support)), 0);
      sum += raw[tap];
    }
    return { first, taps: Int32Array.from(raw, (weight) => Math.trunc(0.5 + (weight / sum) * (1 << PRECISION_BITS))) };
  });
}

function resample(from, positions, { lines, line, step, outLine, outStep }) {
  const to = new Uint8Array(lines * positions.length);
  positions.forEach(({ first, taps }, position) => {
    for (let number = 0; number < lines; number += 1) {
      let sum = 1 << (PRECISION_BITS - 1);
      let at = number * line + first * step;
      for (let tap = 0; tap < taps.length; tap += 1, at += step) sum += from[at] * taps[tap];
      to[number * outLine + position * outStep] = Math.min(sum >> PRECISION_BITS, 255);
    }
  });
  return to;
}
