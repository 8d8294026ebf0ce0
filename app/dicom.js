// DICOM: one frame as a viewer first shows it, with rescale and VOI table or window, as
// src/cxr_distill/films/dicom.py does.

import { FilmError, checkSize } from "./errors.js";
import { readJpeg } from "./jpeg.js";
import { levels, luma } from "./pixels.js";

const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const NATIVE = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", BIG_ENDIAN];
const JPEG_BASELINE = "1.2.840.10008.1.2.4.50";
const RLE = "1.2.840.10008.1.2.5";

export async function readDicom(bytes) {
  const { dicomParser } = globalThis; // a classic script that index.html loads
  let data;
  try {
    const explicit = /^[A-Z]{2}$/.test(String.fromCharCode(bytes[4], bytes[5])); // each element names its type
    data = dicomParser.parseDicom(bytes, bytes[128] === 0x44 ? {} : { TransferSyntaxUID: NATIVE[explicit ? 1 : 0] });
  } catch (error) {
    throw new FilmError(
      `corrupt, or a kind of DICOM that this page cannot read (${error.exception ?? error.message ?? error})`,
    );
  }
  const shape = readShape(data);
  const { width, height, samples, bits } = shape;
  const element = data.elements.x7fe00010;
  const syntax = data.string("x00020010") ?? NATIVE[0];
  if (syntax === JPEG_BASELINE) {
    const picture = await readJpeg(frame(data, element));
    if (samples > 1) return picture;
    return { width, height, grey: toGrey(data, shape, picture.grey) };
  }
  let raw;
  if (NATIVE.includes(syntax)) raw = bytes.subarray(element.dataOffset, element.dataOffset + element.length);
  else if (syntax === RLE) raw = unpackRle(frame(data, element), shape);
  else throw new FilmError(`compressed in a way that this page cannot read (transfer syntax ${syntax})`);
  if (raw.length < (width * height * samples * bits) / 8) throw new FilmError("truncated");
  const bigEndian = syntax === BIG_ENDIAN;
  if (samples > 1) return { width, height, grey: colourToGrey(raw, shape) };
  return { width, height, grey: toGrey(data, shape, codes(raw, shape, { bigEndian })) };
}

function readShape(data) {
  const shape = {
    width: data.uint16("x00280011") ?? 0,
    height: data.uint16("x00280010") ?? 0,
    samples: data.uint16("x00280002") ?? 1,
    bits: data.uint16("x00280100") ?? 0,
    stored: data.uint16("x00280101") ?? data.uint16("x00280100"),
    signed: data.uint16("x00280103") === 1,
    planar: data.uint16("x00280006") === 1,
    photometric: (data.string("x00280004") ?? "").trim(),
  };
  if (!data.elements.x7fe00010) throw new FilmError("a DICOM file without a picture");
  checkSize(shape.width, shape.height);
  const frames = Number(data.string("x00280008") ?? 1);
  if (frames > 1) throw new FilmError(`${frames} pictures in one file; save them one by one`);
  const known = shape.samples === 1 ? ["MONOCHROME1", "MONOCHROME2"] : ["RGB", "YBR_FULL", "YBR_FULL_422"];
  if (![1, 3].includes(shape.samples) || !known.includes(shape.photometric)) {
    throw new FilmError(
      `a DICOM picture of a kind that this page cannot read (${shape.photometric || "no kind named"})`,
    );
  }
  if (![8, 16].includes(shape.bits) || shape.stored < 1 || shape.stored > shape.bits) {
    throw new FilmError(`a DICOM picture of ${shape.bits} bits, which this page cannot read`);
  }
  return shape;
}

function frame(data, element) {
  try {
    const { dicomParser } = globalThis;
    return dicomParser.readEncapsulatedPixelDataFromFragments(data, element, 0, element.fragments.length);
  } catch {
    throw new FilmError("truncated");
  }
}

/** The low `stored` bits of each pixel, as unsigned numbers. */
function codes(raw, { width, height, bits, stored }, { bigEndian }) {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const found = new Uint16Array(width * height);
  const mask = 2 ** stored - 1;
  for (let pixel = 0; pixel < found.length; pixel += 1) {
    found[pixel] = (bits === 8 ? raw[pixel] : view.getUint16(2 * pixel, !bigEndian)) & mask;
  }
  return found;
}

/** Grey levels: DICOM PS3.3 C.7.6.3.1.2, C.11.1, C.11.2. Worked out once for each stored value: a film has few of them
 * and millions of pixels. */
function toGrey(data, { photometric, stored, signed }, pixels) {
  const unused = 32 - stored;
  const meant = Int32Array.from({ length: 2 ** stored }, (_, code) => (signed ? (code << unused) >> unused : code));
  const padding = signed ? data.int16("x00280120") : data.uint16("x00280120");
  const rescale = lookup(data.elements.x00283000, signed) ?? linear(data);
  const voi = lookup(data.elements.x00283010, signed);
  const values = Float64Array.from(meant, rescale.of);
  const window = readWindow(data);
  let [black, white] = voi
    ? [0, voi.top]
    : window
      ? [window.black, window.white]
      : range(values, pixels, meant.indexOf(padding));
  let shown = voi ? values.map(voi.of) : values;
  if (!voi && window?.sigmoid) {
    shown = values.map((value) => 1 / (1 + Math.exp(-4 * ((value - black) / (white - black) - 0.5))));
    [black, white] = [0, 1];
  }
  if (photometric === "MONOCHROME1") [black, white] = [white, black];
  const shades = levels(shown, black, white);
  if (padding !== undefined) shades[meant.indexOf(padding)] = 0;
  const grey = new Uint8Array(pixels.length);
  for (let pixel = 0; pixel < grey.length; pixel += 1) grey[pixel] = shades[pixels[pixel]];
  return grey;
}

function linear(data) {
  const number = (tag, otherwise) => {
    const value = Number(data.string(tag, 0) ?? otherwise);
    if (!Number.isFinite(value)) throw new FilmError("its pixel values are not numbers");
    return value;
  };
  const both = data.elements.x00281053 && data.elements.x00281052; // pydicom takes neither alone
  const [slope, intercept] = both ? [number("x00281053", 1), number("x00281052", 0)] : [1, 0];
  return { of: (value) => slope * value + intercept };
}

/** The first table of a LUT sequence: a function `of` a value, and `top`, the largest number of its bits; or null. */
function lookup(sequence, signed) {
  const table = sequence?.items?.[0]?.dataSet;
  if (!table?.elements.x00283002 || !table.elements.x00283006) return null;
  const entries = table.uint16("x00283002", 0) || 65536;
  const below = (table.elements.x00283002.vr ?? (signed ? "SS" : "US")) === "SS"; // implicit VR does not say
  const first = below ? table.int16("x00283002", 1) : table.uint16("x00283002", 1);
  const bits = table.uint16("x00283002", 2);
  const { dataOffset, length } = table.elements.x00283006;
  const wide = length >= 2 * entries;
  if (length < entries) throw new FilmError("truncated");
  const shade = (index) => (wide ? table.uint16("x00283006", index) : table.byteArray[dataOffset + index]);
  return { top: 2 ** bits - 1, of: (value) => shade(Math.min(Math.max(Math.trunc(value) - first, 0), entries - 1)) };
}

/** The values that the first window shows as black and as white, if there is a usable window. */
function readWindow(data) {
  let [centre, width] = ["x00281050", "x00281051"].map((tag) => Number(data.string(tag, 0) || NaN));
  const kind = (data.string("x00281056") ?? "LINEAR").trim();
  if (kind === "LINEAR") [centre, width] = [centre - 0.5, width - 1]; // for whole numbers: C.11.2.1.2.1
  if (!Number.isFinite(centre) || !Number.isFinite(width) || width <= 0) return null;
  return { black: centre - width / 2, white: centre + width / 2, sigmoid: kind === "SIGMOID" };
}

/** The least and the greatest value of the picture without its padding. */
function range(values, pixels, padding) {
  const used = new Uint8Array(values.length);
  for (let pixel = 0; pixel < pixels.length; pixel += 1) used[pixels[pixel]] = 1;
  used[padding] = 0;
  const found = values.filter((_, code) => used[code]);
  if (!found.length) throw new FilmError("nothing but padding");
  return [found.reduce((a, b) => Math.min(a, b)), found.reduce((a, b) => Math.max(a, b))];
}

function colourToGrey(raw, { width, height, bits, planar, photometric }) {
  if (bits !== 8 || photometric === "YBR_FULL_422")
    throw new FilmError("a DICOM colour picture that this page cannot read");
  const count = width * height;
  const sample = (pixel, channel) => raw[planar ? channel * count + pixel : 3 * pixel + channel];
  if (photometric === "YBR_FULL") return Uint8Array.from({ length: count }, (_, pixel) => sample(pixel, 0));
  return luma(Uint8Array.from({ length: 4 * count }, (_, at) => (at % 4 < 3 ? sample(at >> 2, at % 4) : 255)));
}

/** PS3.5 annex G: a segment for each byte of each sample, the high byte first. Laid out as a native little-endian
 * frame. */
function unpackRle(packed, { width, height, samples, bits, planar }) {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const bytes = bits / 8;
  const count = width * height;
  if (packed.length < 64 || view.getUint32(0, true) !== samples * bytes)
    throw new FilmError("corrupt: wrong RLE header");
  const raw = new Uint8Array(count * samples * bytes);
  for (let segment = 0; segment < samples * bytes; segment += 1) {
    const [sample, byte] = [Math.trunc(segment / bytes), bytes - 1 - (segment % bytes)];
    const begin = (planar ? sample * count : sample) * bytes + byte;
    const step = (planar ? 1 : samples) * bytes;
    let at = view.getUint32(4 + 4 * segment, true);
    for (let done = 0; done < count;) {
      if (at + 1 >= packed.length) throw new FilmError("truncated");
      const control = packed[at];
      const run = control > 128 ? 257 - control : 0;
      const length = Math.min(run || (control < 128 ? control + 1 : 0), count - done);
      for (let index = 0; index < length; index += 1) {
        raw[begin + (done + index) * step] = packed[at + 1 + (run ? 0 : index)];
      }
      done += length;
      at += control === 128 ? 1 : run ? 2 : control + 2;
    }
  }
  return raw;
}
