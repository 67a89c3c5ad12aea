"use strict";
// The picture: draws what `receive` is told. Who listens is in page.js.
const $ = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let hello = null, moment = null, stale = true;
let heat = [], trace = [], follow = [0, 0], places = [], unsent = 0;

// What the picture tells whoever listens: a cell to follow, a threshold for all keywords.
let tell = () => {};

function say(text, fault = false) {
  $("status").textContent = text;
  $("status").className = fault ? "error" : "";
}

// A stream begins.
function clear() { heat = []; trace = []; unsent = 0; }

// From whoever listens: {"type": "hello"} once, then moments, or an error.
function receive(message) {
  if (message.type === "error") { say(message.text, true); return; }
  if (message.type === "hello") { begin(message); return; }
  moment = message; stale = true;
  heat.push(...message.heat); heat = heat.slice(-Math.round(3 / hello.frame_s));
  trace.push(...message.followed); trace = trace.slice(-Math.round(6 / hello.frame_s));
}

// What is there before anything is heard: every axis, mark and row, and nothing in them.
function silence() {
  const thresholds = hello.classes.map((name) => hello.thresholds[name] ?? null);
  return {
    time_s: 0, peak: 0, rms: 0, floor: 0, clipped: 0, lost: 0, factor: 0, thresholds, events: [], now: null, average: null,
    scores: hello.classes.map(() => 0), candidates: hello.beta1.map((block) => block.map(() => 0)),
    bits: hello.beta1.map((block) => "0".repeat(block.length)),
  };
}

function begin(message) {
  hello = message; moment = silence(); heat = []; trace = [];
  $("model").textContent = message.model;
  $("server").disabled = Boolean(message.server_microphone);
  $("server").title = message.server_microphone;
  $("threshold").value = Object.values(message.thresholds)[0] ?? 0.5;
  const values = [...new Set(Object.values(message.thresholds))];
  $("threshold-value").textContent = values.length === 1 ? values[0].toFixed(2) : "they differ";
  $("scores").replaceChildren(...message.classes.map((name) => {
    const row = document.createElement("div");
    row.className = "score";
    const label = document.createElement("span"), bar = document.createElement("span"), number = document.createElement("span");
    label.textContent = name.replaceAll("_", " "); bar.className = "bar"; number.className = "number";
    bar.append(document.createElement("i"), document.createElement("b"));
    row.append(label, bar, number);
    return row;
  }));
  choose(...follow);
}

// Blocks and cells count from 1 for people, from 0 in messages.
function choose(block, cell) {
  block = Math.max(0, Math.min(hello.beta1.length - 1, block || 0));
  cell = Math.max(0, Math.min((hello.beta1[block] ?? []).length - 1, cell || 0));
  follow = [block, cell]; trace = []; stale = true;
  $("follow-block").value = block + 1; $("follow-block").max = hello.beta1.length;
  $("follow-cell").value = cell + 1; $("follow-cell").max = (hello.beta1[block] ?? []).length;
  tell({ follow });
}

function surface(id) {
  const canvas = $(id), ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  pen.font = `${11 * ratio}px system-ui, sans-serif`;
  return [pen, width, height, ratio];
}

function write(pen, text, x, y, align = "left", base = "middle", colour = "--soft") {
  pen.fillStyle = style(colour); pen.textAlign = align; pen.textBaseline = base;
  pen.fillText(text, x, y);
}

const LEFT = 58, BELOW = 18; // CSS pixels beside and below a picture, for its axes

// Seconds before now, along the lower edge of a picture.
function drawSeconds(pen, x, width, y, seconds, ratio) {
  for (let s = seconds; s >= 0; s--) {
    const at = x + width * (1 - s / seconds);
    pen.fillStyle = style("--soft"); pen.fillRect(Math.min(x + width - ratio, at), y, ratio, 3 * ratio);
    write(pen, s ? `\u2212${s} s` : "now", s === seconds ? at : s ? at : x + width, y + 5 * ratio, s === seconds ? "left" : s ? "center" : "right", "top");
  }
}

const decibels = (x) => (x > 0 ? 20 * Math.log10(x) : -Infinity);
const place = (x) => Math.max(0, Math.min(1, 1 + decibels(x) / 60));

function drawLevel() {
  const [pen, width, height, ratio] = surface("level"), bar = 20 * ratio;
  pen.fillStyle = style("--line"); pen.fillRect(0, 0, width, bar);
  pen.fillStyle = style(moment.peak >= 0.999 ? "--red" : "--green");
  pen.fillRect(0, 0, width * place(moment.rms), bar);
  for (const [value, colour] of [[moment.peak, "--ink"], [moment.floor, "--amber"]]) {
    if (value > 0) { pen.fillStyle = style(colour); pen.fillRect(width * place(value) - ratio, 0, 2 * ratio, bar); }
  }
  for (let level = -60; level <= 0; level += 10) {
    const x = width * (1 + level / 60);
    pen.fillStyle = style("--soft"); pen.fillRect(Math.min(width - ratio, x), bar, ratio, 3 * ratio);
    const text = level ? String(level).replace("-", "\u2212") : "0 dBFS";
    write(pen, text, x, bar + 5 * ratio, level === -60 ? "left" : level ? "center" : "right", "top");
  }
  const text = (x) => (x > 0 ? decibels(x).toFixed(0).replace("-", "\u2212") : "\u2013");
  $("levels").textContent = `rms (bar) ${text(moment.rms)}, peak (line) ${text(moment.peak)}, noise floor (amber) ${text(moment.floor)} dBFS\n` +
    `${moment.clipped} samples clipped, sound lost ${moment.lost + unsent} times, ${moment.time_s.toFixed(1)} s heard` +
    (moment.factor ? `, ${moment.factor.toFixed(0)} \u00d7 real time` : "");
}

const shades = [[13, 8, 135], [84, 2, 163], [139, 10, 165], [185, 50, 137], [219, 92, 104], [244, 136, 73], [254, 188, 43], [240, 249, 33]];
function shade(x) {
  const at = Math.min(6.999, Math.max(0, x * 7)), low = Math.floor(at), rest = at - low;
  return `rgb(${shades[low].map((c, i) => Math.round(c + rest * (shades[low + 1][i] - c))).join()})`;
}

function drawHeat() {
  const [pen, wide, high, ratio] = surface("heat"), left = LEFT * ratio;
  const frames = Math.round(3 / hello.frame_s), width = wide - left, height = high - BELOW * ratio, w = width / frames, h = height / hello.channels;
  pen.fillStyle = shade(0); pen.fillRect(left, 0, width, height);
  heat.forEach((row, at) => row.forEach((value, channel) => {
    pen.fillStyle = shade(Math.min(1, value / 128));
    pen.fillRect(left + Math.floor((frames - heat.length + at) * w), Math.floor(height - (channel + 1) * h), Math.ceil(w), Math.ceil(h));
  }));
  if (!heat.length) write(pen, "no sound yet", left + width / 2, height / 2, "center", "middle", "--on-heat");
  // A frequency belongs to the middle of its channel's row, and lies between two rows as between their centres.
  const centres = hello.centres_hz;
  let free = Infinity; // above the label below
  for (const hz of [125, 250, 500, 1000, 2000, 4000, 8000]) {
    const above = centres.findIndex((centre) => centre >= hz);
    if (above < 0 || (above === 0 && centres[0] > hz)) continue;
    const channel = above ? above - 1 + (hz - centres[above - 1]) / (centres[above] - centres[above - 1]) : 0;
    const y = height - (channel + 0.5) * h;
    if (y > free) continue;
    free = y - 13 * ratio;
    pen.fillStyle = style("--soft"); pen.fillRect(left - 4 * ratio, y, 4 * ratio, ratio);
    write(pen, hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, left - 7 * ratio, y, "right");
  }
  drawSeconds(pen, left, width, height, 3, ratio);
}

function drawScores() {
  [...$("scores").children].forEach((row, at) => {
    const score = moment.scores[at], threshold = moment.thresholds[at];
    row.querySelector("i").style.width = `${100 * score}%`;
    row.querySelector("b").style.cssText = threshold === null ? "display:none" : `left:${100 * threshold}%`;
    row.className = "score" + (threshold === null ? " other" : score >= threshold ? " fires" : "");
    row.querySelector(".number").textContent = score.toFixed(2) + (threshold === null ? "" : ` / ${threshold.toFixed(2)}`);
  });
}

// The cells of a block in one row, or in several where they would be too narrow.
function rowsOfCells(width) {
  const most = Math.max(1, Math.floor(width / 5));
  return hello.beta1.flatMap(({ length }, block) => {
    const rows = Math.max(1, Math.ceil(length / most)), each = Math.ceil(length / rows);
    return Array.from({ length: rows }, (_, row) => [block, row * each, Math.min(length, (row + 1) * each)]);
  });
}

// Each cell a column: its candidate as a bar, both thresholds as marks, a line below where the bit is set.
function drawCells() {
  const canvas = $("cells"), rows = rowsOfCells(canvas.clientWidth - LEFT);
  const tall = Math.max(44, Math.min(70, 200 / rows.length));
  const wanted = `${Math.round(tall * rows.length)}px`;
  if (canvas.style.height !== wanted) canvas.style.height = wanted;
  const [pen, wide, , ratio] = surface("cells"), left = LEFT * ratio, width = wide - left, room = (tall - 12) * ratio;
  places = [];
  rows.forEach(([block, from, to], line) => {
    const w = Math.min(width / Math.max(1, to - from), 60 * ratio), base = (line + 1) * tall * ratio - 7 * ratio;
    write(pen, `block ${block + 1}`, 0, base - room + 8 * ratio, "left", "middle", "--ink");
    write(pen, to - from > 1 ? `${from + 1}\u2013${to}` : `${to}`, 0, base - room + 22 * ratio);
    for (let cell = from; cell < to; cell++) {
      const low = hello.beta1[block][cell], high = hello.beta2[block][cell], c = moment.candidates[block][cell];
      const on = moment.bits[block][cell] === "1", scale = room / Math.max(1e-9, 1.6 * high, 1e-3);
      const x = left + (cell - from) * w, y = (value) => base - Math.max(0, Math.min(room, value * scale));
      pen.fillStyle = style("--line"); pen.fillRect(x + w * 0.1, base - room, w * 0.8, room);
      pen.fillStyle = style(c >= high ? "--green" : c >= low ? (on ? "--blue" : "--amber") : "--soft");
      pen.fillRect(x + w * 0.1, y(c), w * 0.8, base - y(c));
      pen.fillStyle = style("--ink");
      for (const mark of [low, high]) pen.fillRect(x, y(mark) - ratio / 2, w, ratio);
      if (on) { pen.fillStyle = style("--blue"); pen.fillRect(x + w * 0.1, base + ratio, w * 0.8, 2 * ratio); }
      if (block === follow[0] && cell === follow[1]) { pen.strokeStyle = style("--red"); pen.lineWidth = 2 * ratio; pen.strokeRect(x, base - room, w, room); }
      places.push([x / ratio, (base - room) / ratio, w / ratio, tall, block, cell]);
    }
  });
}

function drawFollowed() {
  const [pen, wide, high_, ratio] = surface("followed"), left = LEFT * ratio, width = wide - left;
  const [block, cell] = follow, low = (hello.beta1[block] || [0])[cell], high = (hello.beta2[block] || [0])[cell];
  const height = high_ - BELOW * ratio, frames = Math.round(6 / hello.frame_s), band = 14 * ratio, room = height - band - 4 * ratio;
  const top = 1.2 * Math.max(high * 1.3, ...trace.map(([c]) => c), 1e-3);
  const x = (at) => left + ((frames - trace.length + at) / frames) * width, y = (value) => room - Math.max(0, value / top) * room;
  pen.fillStyle = style("--line"); pen.globalAlpha = 0.5; pen.fillRect(left, y(high), width, y(low) - y(high)); pen.globalAlpha = 1;
  const close = y(low) - y(high) < 13 * ratio; // then the names stand above and below their lines
  for (const [value, name, base] of [[low, "beta1", close ? "top" : "middle"], [high, "beta2", close ? "bottom" : "middle"]]) {
    pen.strokeStyle = style("--soft"); pen.setLineDash([4 * ratio, 4 * ratio]); pen.lineWidth = ratio;
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(left + width, y(value)); pen.stroke();
    write(pen, name, left - 5 * ratio, y(value), "right", base);
  }
  write(pen, "bit", left - 5 * ratio, height - band / 2, "right");
  pen.fillStyle = style("--line"); pen.fillRect(left, height - band, width, band);
  pen.setLineDash([]); pen.strokeStyle = style("--amber"); pen.lineWidth = 1.5 * ratio; pen.beginPath();
  trace.forEach(([c], at) => (at ? pen.lineTo(x(at), y(c)) : pen.moveTo(x(at), y(c))));
  pen.stroke();
  pen.fillStyle = style("--blue");
  trace.forEach(([, z], at) => { if (z) pen.fillRect(Math.floor(x(at)), height - band, Math.ceil(width / frames) + 1, band); });
  if (!trace.length) write(pen, "no sound yet", left + width / 2, 8 * ratio, "center");
  drawSeconds(pen, left, width, height, 6, ratio);
}

function nano(value) { return value >= 1000 ? `${(value / 1000).toPrecision(3)} µW` : `${value.toPrecision(3)} nW`; }

function drawPower() {
  const rows = [["", "last second", "average"], ["core", "core", "core"], ["cells", "cells", "cells"],
    ["feedforward", "feedforward", "feedforward"], ["classifier, beside it", "classifier", "classifier"]];
  $("power").replaceChildren(...rows.map(([name, now, average], at) => {
    const row = document.createElement("tr");
    const figure = (power) => (power ? nano(power[now]) : "\u2013");
    for (const text of at ? [name, figure(moment.now), figure(moment.average)] : [name, now, average]) {
      const cell = document.createElement(at ? "td" : "th"); cell.textContent = text; row.append(cell);
    }
    return row;
  }));
}

let newest = null;
function drawEvents() {
  const last = moment.events.at(-1), mark = last ? `${last.index} ${last.time_s}` : "";
  if (mark === newest) return; // so that a selection in the list stays
  newest = mark;
  $("count").textContent = last ? last.index + 1 : 0;
  $("none").hidden = Boolean(last);
  $("events").replaceChildren(...moment.events.toReversed().map((event) => {
    const item = document.createElement("li");
    const columns = [`${event.time_s.toFixed(2)} s`, event.keyword.replaceAll("_", " "), event.score.toFixed(2), `${event.start_s.toFixed(2)} s`];
    item.append(...columns.map((text) => { const column = document.createElement("span"); column.textContent = text; return column; }));
    return item;
  }));
}

function draw() {
  if (hello && stale) {
    stale = false;
    for (const part of [drawLevel, drawHeat, drawScores, drawCells, drawFollowed, drawPower, drawEvents]) part();
  }
  requestAnimationFrame(draw);
}

$("threshold").oninput = (change) => {
  $("threshold-value").textContent = Number(change.target.value).toFixed(2);
  tell({ threshold: Number(change.target.value) });
};
$("cells").onclick = (click) => {
  const hit = places.find(([x, y, w, h]) => click.offsetX >= x && click.offsetX < x + w && click.offsetY >= y && click.offsetY < y + h);
  if (hit) choose(hit[4], hit[5]);
};
for (const id of ["follow-block", "follow-cell"]) {
  $(id).onchange = () => { if (hello) choose(Number($("follow-block").value) - 1, Number($("follow-cell").value) - 1); };
}
const again = () => { stale = true; };
window.addEventListener("resize", again);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
requestAnimationFrame(draw);
