// What a person is meant to read about a file that cannot be screened.

export class FilmError extends Error {}

export const MAX_PIXELS = 50_000_000; // as in src/cxr_distill/films/pixels.py

/** Called with what a file's header claims, before any memory is asked for. */
export function checkSize(width, height) {
  if (!width || !height) throw new FilmError("its header claims no pixels");
  if (width * height > MAX_PIXELS) throw new FilmError(`${width}x${height} pixels is too large`);
}
