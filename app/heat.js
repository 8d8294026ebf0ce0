// A film and its heat map, drawn like src/cxr_distill/screen/heatmap.py draws it.

const SIDE = 900; // pixels of the drawn film's longer side
const FULL = 15; // logits from which on the colour is full; the same for every film, so that films can be compared
const STRENGTH = 0.5; // share of the colour where the map is strongest
const TOWARDS = [255, 40, 0];
const AGAINST = [0, 110, 255];

export function drawFilm(canvas, { grey, width, height }) {
  const shrink = Math.min(SIDE / Math.max(width, height), 1);
  canvas.width = Math.max(Math.round(width * shrink), 1);
  canvas.height = Math.max(Math.round(height * shrink), 1);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (let pixel = 0; pixel < canvas.width * canvas.height; pixel += 1) {
    const column = Math.trunc(((pixel % canvas.width) * width) / canvas.width);
    const row = Math.trunc((Math.trunc(pixel / canvas.width) * height) / canvas.height);
    image.data.fill(grey[row * width + column], 4 * pixel, 4 * pixel + 3);
    image.data[4 * pixel + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** `activation`: {values, rows, columns}, stretched over the whole film, because the film was squashed. */
export function drawHeat(canvas, film, { values, rows, columns }) {
  canvas.width = film.width;
  canvas.height = film.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const sample = (row, column) =>
    values[Math.min(Math.max(row, 0), rows - 1) * columns + Math.min(Math.max(column, 0), columns - 1)];
  for (let y = 0; y < canvas.height; y += 1) {
    const row = ((y + 0.5) * rows) / canvas.height - 0.5;
    const [top, down] = [Math.floor(row), row - Math.floor(row)];
    for (let x = 0; x < canvas.width; x += 1) {
      const column = ((x + 0.5) * columns) / canvas.width - 0.5;
      const [left, right] = [Math.floor(column), column - Math.floor(column)];
      const above = sample(top, left) * (1 - right) + sample(top, left + 1) * right;
      const below = sample(top + 1, left) * (1 - right) + sample(top + 1, left + 1) * right;
      const towards = Math.min(Math.max((above * (1 - down) + below * down) / FULL, -1), 1);
      const pixel = 4 * (y * canvas.width + x);
      image.data.set(towards > 0 ? TOWARDS : AGAINST, pixel);
      image.data[pixel + 3] = 255 * STRENGTH * Math.abs(towards);
    }
  }
  context.putImageData(image, 0, 0);
}
