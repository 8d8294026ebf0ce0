// A JPEG as the browser decodes it, turned as its EXIF says, without the colour profiles that browsers apply.

import { FilmError, checkSize } from "./errors.js";
import { luma } from "./pixels.js";

const BAND = 512; // rows read back at a time: a whole film as RGBA would be too much for a phone
const START_OF_SCAN = 0xda;
const END = 0xd9;
const COLOUR_PROFILE = 0xe2;

export async function readJpeg(bytes) {
  const parts = plain(bytes);
  let bitmap;
  try {
    const options = { colorSpaceConversion: "none", imageOrientation: "from-image" };
    bitmap = await createImageBitmap(new Blob(parts, { type: "image/jpeg" }), options);
  } catch {
    throw new FilmError("corrupt, or a kind of JPEG that this browser cannot read");
  }
  try {
    return { grey: greyOf(bitmap), width: bitmap.width, height: bitmap.height };
  } finally {
    bitmap.close();
  }
}

/** Whether this browser returns the pixels that it drew. Protection against fingerprinting may change them. */
export async function readsPixelsBack() {
  const drawn = Uint8ClampedArray.from({ length: 64 * 64 * 4 }, (_, index) =>
    index % 4 === 3 ? 255 : (index * 7) % 256,
  );
  const bitmap = await createImageBitmap(new ImageData(drawn, 64, 64), { colorSpaceConversion: "none" });
  const expected = luma(drawn);
  return greyOf(bitmap).every((value, pixel) => value === expected[pixel]);
}

function greyOf(bitmap) {
  const { width, height } = bitmap;
  const grey = new Uint8Array(width * height);
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = Math.min(BAND, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new FilmError(`${width}x${height} pixels is too large for this browser`);
  for (let top = 0; top < height; top += BAND) {
    const rows = Math.min(BAND, height - top);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    grey.set(luma(context.getImageData(0, 0, width, rows).data), top * width);
  }
  return grey;
}

/** The parts of the file without colour profiles, which browsers apply differently. */
function plain(bytes) {
  const parts = [bytes.subarray(0, 2)];
  let sized = false;
  let at = 2;
  for (;;) {
    const begin = at;
    while (bytes[at] === 0xff && bytes[at + 1] === 0xff) at += 1; // fill bytes
    const marker = bytes[at + 1];
    if (at + 4 > bytes.length && marker !== END) throw new FilmError("truncated");
    if (bytes[at] !== 0xff) throw new FilmError("corrupt: a JPEG marker is missing");
    if (marker === END) {
      if (!sized) throw new FilmError("corrupt: no picture in it");
      parts.push(bytes.subarray(begin, at + 2));
      return parts;
    }
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    const end = at + 2 + length;
    if (length < 2) throw new FilmError("corrupt: a JPEG segment without length");
    if (end > bytes.length) throw new FilmError("truncated");
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      checkSize((bytes[at + 7] << 8) | bytes[at + 8], (bytes[at + 5] << 8) | bytes[at + 6]);
      sized = true;
    }
    at = marker === START_OF_SCAN ? endOfScan(bytes, end) : end;
    if (marker !== COLOUR_PROFILE) parts.push(bytes.subarray(begin, at));
  }
}

/** The place of the next marker that is neither a stuffed byte nor a restart marker. */
function endOfScan(bytes, from) {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next === undefined) break;
    if (next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
  }
  throw new FilmError("truncated");
}
