"use strict";
const $ = (id) => document.getElementById(id);
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let socket = null, hello = null, moment = null, audio = null;
let heat = [], trace = [], follow = [0, 0], places = [], unsent = 0;

function say(text, fault = false) {
  $("status").textContent = text;
  $("status").className = fault ? "error" : "";
}

function stop() {
  if (socket) { socket.onclose = null; socket.close(); socket = null; }
  if (audio) { audio.stream.getTracks().forEach((track) => track.stop()); audio.context.close(); audio = null; }
  for (const name of ["demo", "browser", "server"]) $(name).setAttribute("aria-pressed", "false");
}

function listen(source, onopen = () => {}) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/live?source=${source}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onopen = onopen;
  socket.onclose = () => { stop(); if (!$("status").className) say("The connection has ended."); };
  heat = []; trace = []; unsent = 0;
  $(source).setAttribute("aria-pressed", "true");
}

function receive(message) {
  if (message.type === "error") { say(message.text, true); return; }
  if (message.type === "hello") { begin(message); return; }
  moment = message;
  heat.push(...message.heat); heat = heat.slice(-Math.round(3 / hello.frame_s));
  trace.push(...message.followed); trace = trace.slice(-Math.round(6 / hello.frame_s));
}

function begin(message) {
  hello = message;
  $("model").textContent = message.model;
  $("server").disabled = Boolean(message.server_microphone);
  $("server").title = message.server_microphone;
  $("threshold").value = Object.values(message.thresholds)[0] ?? 0.5;
  $("scores").replaceChildren(...message.classes.map((name) => {
    const row = document.createElement("div");
    row.className = "score";
    const label = document.createElement("span"), bar = document.createElement("span"), number = document.createElement("span");
    label.textContent = name; bar.className = "bar"; number.className = "number";
    bar.append(document.createElement("i"), document.createElement("b"));
    row.append(label, bar, number);
    return row;
  }));
  choose(0, 0);
}

async function useBrowser() {
  if (!navigator.mediaDevices || !window.isSecureContext) {
    say("The browser gives its microphone to pages from localhost or over HTTPS only: open this page as " +
        "http://localhost, or start with --tls-cert and --tls-key.", true);
    return;
  }
  try {
    const wish = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: wish });
    const context = new AudioContext();
    audio = { stream, context };
    await context.audioWorklet.addModule("worklet.js");
    const node = new AudioWorkletNode(context, "sender", { numberOfOutputs: 0 });
    context.createMediaStreamSource(stream).connect(node);
    listen("browser", () => {
      socket.send(`{"rate":${context.sampleRate}}`);
      node.port.onmessage = (block) => {
        if (!socket || socket.readyState !== 1) return;
        if (socket.bufferedAmount < 200000) socket.send(block.data); else unsent++;
      };
    });
    say(`This browser's microphone at ${context.sampleRate} Hz. The sound goes to the server of this page alone.`);
  } catch (error) {
    stop();
    say(`The microphone cannot be used: ${error.message}`, true);
  }
}

function choose(block, cell) {
  follow = [block, cell]; trace = [];
  if (socket && socket.readyState === 1) socket.send(JSON.stringify({ follow }));
  $("followed-title").textContent =
    `cell ${cell + 1} of block ${block + 1}: candidate over 6 s, latched bit below`;
}

function surface(id) {
  const canvas = $(id), ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  return [pen, width, height, ratio];
}

const decibels = (x) => (x > 0 ? 20 * Math.log10(x) : -Infinity);
const place = (x) => Math.max(0, Math.min(1, 1 + decibels(x) / 60));

function drawLevel() {
  const [pen, width, height, ratio] = surface("level");
  pen.fillStyle = style("--line"); pen.fillRect(0, 0, width, height);
  pen.fillStyle = style(moment.peak >= 0.999 ? "--red" : "--green");
  pen.fillRect(0, 0, width * place(moment.rms), height);
  for (const [value, colour] of [[moment.peak, "--ink"], [moment.floor, "--amber"]]) {
    pen.fillStyle = style(colour); pen.fillRect(width * place(value) - ratio, 0, 2 * ratio, height);
  }
  const text = (x) => (x > 0 ? decibels(x).toFixed(0) : "-∞");
  $("levels").textContent = `rms ${text(moment.rms)}, peak ${text(moment.peak)}, noise floor ${text(moment.floor)} dBFS; ` +
    `clipped ${moment.clipped}, lost ${moment.lost + unsent}; ${moment.factor.toFixed(0)} x real time; ${moment.time_s.toFixed(1)} s`;
}

const shades = [[13, 8, 135], [84, 2, 163], [139, 10, 165], [185, 50, 137], [219, 92, 104], [244, 136, 73], [254, 188, 43], [240, 249, 33]];
function shade(x) {
  const at = Math.min(6.999, Math.max(0, x * 7)), low = Math.floor(at), rest = at - low;
  return `rgb(${shades[low].map((c, i) => Math.round(c + rest * (shades[low + 1][i] - c))).join()})`;
}

function drawHeat() {
  const [pen, width, height] = surface("heat");
  const frames = Math.round(3 / hello.frame_s), w = width / frames, h = height / hello.channels;
  pen.fillStyle = shade(0); pen.fillRect(0, 0, width, height);
  heat.forEach((row, at) => row.forEach((value, channel) => {
    pen.fillStyle = shade(Math.min(1, value / 128));
    pen.fillRect(Math.floor((frames - heat.length + at) * w), Math.floor(height - (channel + 1) * h), Math.ceil(w), Math.ceil(h));
  }));
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

// Each cell a column: its candidate as a bar, both thresholds as marks, filled where the bit is set.
function drawCells() {
  const [pen, width, height, ratio] = surface("cells");
  const counts = hello.beta1.map((block) => block.length), most = Math.floor(width / (5 * ratio));
  const lines = counts.flatMap((count, block) => {
    const rows = Math.ceil(count / most);
    return Array.from({ length: rows }, (_, row) => [block, row * Math.ceil(count / rows), Math.min(count, (row + 1) * Math.ceil(count / rows))]);
  });
  const tall = height / Math.max(1, lines.length);
  places = [];
  lines.forEach(([block, from, to], line) => {
    const wide = Math.min(width / Math.max(1, to - from), 60 * ratio), base = (line + 1) * tall - 3 * ratio, room = tall - 8 * ratio;
    for (let cell = from; cell < to; cell++) {
      const low = hello.beta1[block][cell], high = hello.beta2[block][cell], c = moment.candidates[block][cell];
      const on = moment.bits[block][cell] === "1", scale = room / Math.max(1e-9, 1.6 * high, 1e-3);
      const x = (cell - from) * wide, y = (value) => base - Math.max(0, Math.min(room, value * scale));
      pen.fillStyle = style("--line"); pen.fillRect(x + wide * 0.1, base - room, wide * 0.8, room);
      pen.fillStyle = style(c >= high ? "--green" : on ? "--blue" : c >= low ? "--amber" : "--soft");
      pen.fillRect(x + wide * 0.1, y(c), wide * 0.8, base - y(c));
      pen.fillStyle = style("--ink");
      for (const mark of [low, high]) pen.fillRect(x, y(mark) - ratio / 2, wide, ratio);
      if (on) { pen.fillStyle = style("--blue"); pen.fillRect(x + wide * 0.1, base + ratio, wide * 0.8, 2 * ratio); }
      if (block === follow[0] && cell === follow[1]) { pen.strokeStyle = style("--red"); pen.lineWidth = 2 * ratio; pen.strokeRect(x, base - room, wide, room); }
      places.push([x / ratio, (base - room) / ratio, wide / ratio, tall / ratio, block, cell]);
    }
  });
}

function drawFollowed() {
  const [pen, width, height, ratio] = surface("followed");
  const [block, cell] = follow, low = (hello.beta1[block] || [0])[cell], high = (hello.beta2[block] || [0])[cell];
  const frames = Math.round(6 / hello.frame_s), band = 14 * ratio, room = height - band - 4 * ratio;
  const top = 1.2 * Math.max(high * 1.3, ...trace.map(([c]) => c), 1e-3);
  const x = (at) => ((frames - trace.length + at) / frames) * width, y = (value) => room - Math.max(0, value / top) * room;
  pen.fillStyle = style("--line"); pen.globalAlpha = 0.5; pen.fillRect(0, y(high), width, y(low) - y(high)); pen.globalAlpha = 1;
  pen.font = `${11 * ratio}px system-ui`;
  for (const [value, name] of [[low, "beta1"], [high, "beta2"]]) {
    pen.strokeStyle = style("--soft"); pen.setLineDash([4 * ratio, 4 * ratio]); pen.lineWidth = ratio;
    pen.beginPath(); pen.moveTo(0, y(value)); pen.lineTo(width, y(value)); pen.stroke();
    pen.fillStyle = style("--soft"); pen.fillText(name, 4 * ratio, y(value) - 3 * ratio);
  }
  pen.setLineDash([]); pen.strokeStyle = style("--amber"); pen.lineWidth = 1.5 * ratio; pen.beginPath();
  trace.forEach(([c], at) => (at ? pen.lineTo(x(at), y(c)) : pen.moveTo(x(at), y(c))));
  pen.stroke();
  trace.forEach(([, z], at) => {
    pen.fillStyle = style(z ? "--blue" : "--line");
    pen.fillRect(Math.floor(x(at)), height - band, Math.ceil(width / frames) + 1, band);
  });
}

function nano(value) { return value >= 1000 ? `${(value / 1000).toPrecision(3)} µW` : `${value.toPrecision(3)} nW`; }

function drawPower() {
  const rows = [["", "last second", "average"], ["core", "core", "core"], ["cells", "cells", "cells"],
    ["feedforward", "feedforward", "feedforward"], ["classifier, beside it", "classifier", "classifier"]];
  $("power").replaceChildren(...rows.map(([name, now, average], at) => {
    const row = document.createElement("tr");
    for (const text of at ? [name, nano(moment.now[now]), nano(moment.average[average])] : [name, now, average]) {
      const cell = document.createElement(at ? "td" : "th"); cell.textContent = text; row.append(cell);
    }
    return row;
  }));
}

function drawEvents() {
  const last = moment.events.at(-1);
  $("count").textContent = last ? last.index + 1 : 0;
  $("events").replaceChildren(...moment.events.toReversed().map((event) => {
    const item = document.createElement("li");
    item.textContent = `${event.time_s.toFixed(2)} s   ${event.keyword}   score ${event.score.toFixed(2)}`;
    return item;
  }));
}

function draw() {
  if (hello && moment) {
    for (const part of [drawLevel, drawHeat, drawScores, drawCells, drawFollowed, drawPower, drawEvents]) part();
    moment.drawn = true;
  }
  requestAnimationFrame(draw);
}

$("demo").onclick = () => { stop(); say("The recording that comes with kws-stream: synthetic voices in noise."); listen("demo"); };
$("server").onclick = () => { stop(); say("The server's microphone."); listen("server"); };
$("browser").onclick = () => { stop(); useBrowser(); };
$("stop").onclick = () => { stop(); say("Stopped."); };
$("threshold").oninput = (change) => {
  if (socket && socket.readyState === 1) socket.send(JSON.stringify({ threshold: Number(change.target.value) }));
};
$("cells").onclick = (click) => {
  const hit = places.find(([x, y, w, h]) => click.offsetX >= x && click.offsetX < x + w && click.offsetY >= y && click.offsetY < y + h);
  if (hit) choose(hit[4], hit[5]);
};
requestAnimationFrame(draw);
