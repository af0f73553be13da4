"use strict";
// Numbers for the figures: unpacking, frequency responses, colours. Nothing here touches the page.

// Integers in base64, little-endian, of one scale.
function unpack(packed, bytes) {
  const text = atob(packed.data);
  const raw = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const whole = bytes === 2 ? new Int16Array(raw.buffer) : new Int8Array(raw.buffer);
  return Float64Array.from(whole, (v) => v * packed.scale);
}

// Rows of a flat array.
function rowsOf(values, count, width, offset = 0) {
  const rows = [];
  for (let n = 0; n < count; n++) {
    rows.push(Array.from(values.subarray(offset + n * width, offset + (n + 1) * width)));
  }
  return rows;
}

// The taps of every kernel of a mixer at one snapshot.
function tapsAt(mixer, snapshot) {
  if (!mixer.unpacked) mixer.unpacked = unpack(mixer.taps, 2);
  const [, count, width] = mixer.taps.shape;
  return rowsOf(mixer.unpacked, count, width, snapshot * count * width);
}

function haarTaps(mixer) {
  const width = mixer.taps.shape[2];
  return mixer.windows.map((w) => Array.from({length: width}, (_, k) => (k < w ? 1 / w : 0)));
}

// Frequencies in cycles per token: octaves from one cycle in four kernel lengths, or even steps.
function frequencyGrid(numTaps, octaves) {
  const points = 160;
  const lowest = 2 ** -Math.ceil(Math.log2(4 * Math.max(numTaps, 2)));
  return Array.from({length: points}, (_, i) => {
    const part = i / (points - 1);
    return octaves ? lowest * (0.5 / lowest) ** part : 0.5 * part;
  });
}

// |H(f)| = |Σ_k taps(k) e^{−2πi f k}| of each kernel.
function magnitudes(kernels, frequencies) {
  const width = kernels.length ? kernels[0].length : 0;
  const cosines = frequencies.map((f) => new Float64Array(width).map((_, k) => Math.cos(2 * Math.PI * f * k)));
  const sines = frequencies.map((f) => new Float64Array(width).map((_, k) => Math.sin(2 * Math.PI * f * k)));
  return kernels.map((taps) => {
    let last = width;
    while (last > 0 && taps[last - 1] === 0) last--;
    return frequencies.map((_, i) => {
      let real = 0, imaginary = 0;
      for (let k = 0; k < last; k++) {
        real += taps[k] * cosines[i][k];
        imaginary += taps[k] * sines[i][k];
      }
      return Math.hypot(real, imaginary);
    });
  });
}

const FLOOR = 1e-4;

// What is shown of a magnitude: "relative" to the row's peak in dB, "gain" in dB, or "linear".
function scaled(rows, scale) {
  return rows.map((row) => {
    if (scale === "linear") return row;
    const peak = scale === "relative" ? Math.max(...row) || 1 : 1;
    return row.map((v) => 20 * Math.log10(Math.max(v / peak, FLOOR)));
  });
}

// Octaves, at most six, as "1/8".
function octaveTicks(lowest) {
  const count = Math.round(-Math.log2(lowest));
  const stride = Math.ceil(count / 6);
  const exponents = [];
  for (let e = 1; e <= count; e += stride) exponents.unshift(e);
  return {tickvals: exponents.map((e) => 2 ** -e), ticktext: exponents.map((e) => "1/" + 2 ** e)};
}

// Plotly reads a few tags in texts; tokens must not be taken for them.
function plain(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function three(value) {
  return Number(value).toPrecision(3);
}
