// PNG, decoded here because a canvas reduces 16 bits to 8 and applies colour management. The grey levels are those of
// src/cxr_distill/films/formats.py.

import { FilmError, checkSize } from "./errors.js";
import { levels, luma } from "./pixels.js";

const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // a pixel, by colour type
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

export async function readPng(bytes) {
  const { width, height, depth, type, interlaced, palette, transparent, data } = chunks(bytes);
  const passes = (interlaced ? ADAM7 : WHOLE)
    .map(([left, top, across, down]) => ({
      left,
      top,
      across,
      down,
      columns: Math.ceil((width - left) / across),
      rows: Math.ceil((height - top) / down),
    }))
    .filter(({ columns, rows }) => columns > 0 && rows > 0);
  const stride = (columns) => Math.ceil((columns * SAMPLES[type] * depth) / 8);
  const total = passes.reduce((sum, { columns, rows }) => sum + rows * (1 + stride(columns)), 0);
  const raw = await inflate(data, total);
  const deep = type === 0 && depth === 16;
  const grey = new (deep ? Uint16Array : Uint8Array)(width * height);
  const toGrey = greyOfRow({ depth, type, palette, transparent });
  const step = Math.max((SAMPLES[type] * depth) >> 3, 1);
  let at = 0;
  for (const { left, top, across, down, columns, rows } of passes) {
    let above = new Uint8Array(stride(columns));
    for (let row = 0; row < rows; row += 1) {
      const line = raw.subarray(at + 1, at + 1 + above.length);
      unfilter(raw[at], line, above, step);
      const shades = toGrey(line, columns);
      const start = (top + row * down) * width + left;
      if (across === 1) grey.set(shades, start);
      else for (let column = 0; column < columns; column += 1) grey[start + column * across] = shades[column];
      at += 1 + above.length;
      above = line;
    }
  }
  return { grey: deep ? ofDetector(grey) : grey, width, height };
}

/** Files of 16 bits often hold 12: white is the largest value with as many bits as the brightest pixel. */
function ofDetector(values) {
  const top = values.reduce((most, value) => Math.max(most, value), 0);
  return levels(values, 0, 2 ** Math.max(8, 32 - Math.clz32(top)) - 1);
}

function chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header = null;
  let palette = null;
  let transparent = null;
  const data = [];
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) throw new FilmError("truncated");
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) throw new FilmError("truncated");
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (/^[A-Z]/.test(name) && crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new FilmError(`corrupt: wrong checksum in PNG chunk ${name}`);
    }
    if (!header && name !== "IHDR") throw new FilmError("corrupt: a PNG without header");
    if (name === "IHDR") header = readHeader(view, at + 8, length);
    else if (name === "PLTE") palette = content;
    else if (name === "tRNS") transparent = content;
    else if (name === "acTL" && length === 8 && view.getUint32(at + 8) > 1) {
      throw new FilmError(`${view.getUint32(at + 8)} pictures in one file; save them one by one`);
    } else if (name === "IDAT") data.push(content);
    else if (name === "IEND") break;
    at += 12 + length;
  }
  if (!data.length) throw new FilmError("corrupt: no picture in it");
  if (header.type === 3 && !palette) throw new FilmError("corrupt: a PNG without its palette");
  return { ...header, palette, transparent, data };
}

function readHeader(view, at, length) {
  if (length !== 13) throw new FilmError("corrupt: wrong PNG header");
  const [width, height] = [view.getUint32(at), view.getUint32(at + 4)];
  const [depth, type, compression, filter, interlaced] = [8, 9, 10, 11, 12].map((offset) => view.getUint8(at + offset));
  if (!DEPTHS[type]?.includes(depth) || compression || filter || interlaced > 1) {
    throw new FilmError("corrupt: wrong PNG header");
  }
  checkSize(width, height);
  return { width, height, depth, type, interlaced };
}

/** The first `total` bytes of the zlib stream and no more: a small file can inflate to gigabytes. */
async function inflate(parts, total) {
  const raw = new Uint8Array(total);
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let filled = 0;
  try {
    while (filled < total) {
      const { value, done } = await reader.read();
      if (done) break;
      raw.set(value.subarray(0, total - filled), filled);
      filled += Math.min(value.length, total - filled);
    }
  } catch {
    throw new FilmError("corrupt: its compressed data are damaged");
  }
  reader.cancel().catch(() => {}); // whatever follows is ignored
  if (filled < total) throw new FilmError("truncated");
  return raw;
}

/** Undo a PNG filter in place; the same sample of the pixel before is `step` bytes back. */
function unfilter(filter, line, above, step) {
  if (filter > 4) throw new FilmError("corrupt: unknown PNG filter");
  if (filter === 0) return;
  for (let index = 0; index < line.length; index += 1) {
    const left = index >= step ? line[index - step] : 0;
    const up = above[index];
    if (filter === 1) line[index] += left;
    else if (filter === 2) line[index] += up;
    else if (filter === 3) line[index] += (left + up) >> 1;
    else line[index] += paeth(left, up, index >= step ? above[index - step] : 0);
  }
}

function paeth(left, up, corner) {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** A function that turns a row's bytes into grey bytes, or 16-bit grey into 16-bit values. Transparent is black. */
function greyOfRow({ depth, type, palette, transparent }) {
  if (type === 3) {
    const shades = paletteShades(palette, transparent);
    return (line, columns) => unpack(line, columns, depth).map((index) => shades[index]);
  }
  const clear = transparent && depth < 16 ? [1, 3, 5].map((at) => transparent[at]) : [];
  if (type === 0 && depth === 16) {
    return (line, columns) =>
      Uint16Array.from({ length: columns }, (_, index) => (line[2 * index] << 8) | line[2 * index + 1]);
  }
  if (type === 0) {
    const unit = 255 / (2 ** depth - 1);
    const shade = (value) => (value === clear[0] ? 0 : value * unit);
    return (line, columns) => unpack(line, columns, depth).map(shade);
  }
  const bytes = depth / 8; // the first one is the high byte
  const samples = SAMPLES[type];
  const colours = samples < 3 ? [0, 0, 0] : [0, 1, 2];
  const alpha = samples % 2 ? null : samples - 1;
  return (line, columns) => {
    const rgba = new Uint8Array(columns * 4);
    for (let index = 0; index < columns; index += 1) {
      const pixel = (sample) => line[(index * samples + sample) * bytes];
      const colour = colours.map(pixel);
      const seen =
        alpha === null ? (colour.every((value, channel) => value === clear[channel]) ? 0 : 255) : pixel(alpha);
      for (let channel = 0; channel < 3; channel += 1) rgba[4 * index + channel] = overBlack(colour[channel], seen);
    }
    return luma(rgba);
  };
}

/** As Pillow's alpha_composite rounds it. */
function overBlack(value, alpha) {
  const sum = value * alpha * 128 + (0x80 << 7);
  return (((sum >> 8) + sum) >> 8) >> 7;
}

function paletteShades(palette, transparent) {
  const rgba = new Uint8Array(256 * 4);
  for (let at = 0; at < palette.length; at += 1) {
    const index = Math.trunc(at / 3);
    rgba[4 * index + (at % 3)] = overBlack(palette[at], transparent?.[index] ?? 255);
  }
  return luma(rgba);
}

/** Values of `depth` bits (1, 2, 4 or 8), the first in the highest bits. */
function unpack(line, columns, depth) {
  const perByte = 8 / depth;
  const mask = 2 ** depth - 1;
  return Uint8Array.from({ length: columns }, (_, index) => {
    const shift = 8 - depth * (1 + (index % perByte));
    return (line[Math.trunc(index / perByte)] >> shift) & mask;
  });
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
