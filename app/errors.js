// Errors that tell a person why a file cannot be screened.

export class FilmError extends Error {}

export const MAX_PIXELS = 50_000_000; // as in src/cxr_distill/films/pixels.py

/** Called with the size in a file's header, before memory is allocated. */
export function checkSize(width, height) {
  if (!width || !height) throw new FilmError("its header claims no pixels");
  if (width * height > MAX_PIXELS) throw new FilmError(`${width}x${height} pixels is too large`);
}
