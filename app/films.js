// From the bytes of a JPEG, PNG or DICOM file to a grey picture: {grey: one byte a pixel, width, height}.

import { readDicom } from "./dicom.js";
import { FilmError } from "./errors.js";
import { readJpeg } from "./jpeg.js";
import { readPng } from "./png.js";

const MIN_SIDE = 32; // pixels; a smaller picture shows nothing

/** Throws FilmError, whose message says what is wrong with the file. */
export async function readFilm(bytes) {
  const film = await read(bytes);
  if (Math.min(film.width, film.height) < MIN_SIDE) {
    throw new FilmError(`${film.width}x${film.height} pixels is too small to be a film`);
  }
  return film;
}

function read(bytes) {
  if (!bytes.length) throw new FilmError("empty");
  if (starts(bytes, [0xff, 0xd8, 0xff])) return readJpeg(bytes);
  if (starts(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return readPng(bytes);
  if (starts(bytes.subarray(128), [0x44, 0x49, 0x43, 0x4d])) return readDicom(bytes);
  if (starts(bytes, [0x08, 0x00])) return readDicom(bytes); // old devices leave out the preamble
  throw new FilmError("not a JPEG, PNG or DICOM image");
}

function starts(bytes, magic) {
  return magic.every((byte, index) => bytes[index] === byte);
}
