"use strict";
// Listens with the engine in this browser; view.js draws.
const MOMENT_MS = 50, FLOOR_S = 5;
let spotter = null, files = null, audio = null;
let gathered = null; // since the last moment, and what is remembered from before
tell = (message) => {
  if (!spotter || message.threshold === undefined) return;
  const all = Object.fromEntries(Object.keys(spotter.thresholds).map((keyword) => [keyword, message.threshold]));
  spotter.setThresholds(all);
  if (audio) audio.node.port.postMessage({ thresholds: all });
};

function stop() {
  if (audio) {
    if (audio.stream) audio.stream.getTracks().forEach((track) => track.stop());
    audio.context.close();
    clearInterval(audio.timer);
    audio = null;
  }
  for (const name of ["demo", "browser"]) $(name).setAttribute("aria-pressed", "false");
}

async function show() {
  try {
    const { KeywordSpotter } = await import("../index.js");
    const bytes = async (url) => {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(`${url} is not there (HTTP status ${answer.status})`);
      return answer.arrayBuffer();
    };
    const [model, wasm] = await Promise.all([bytes("../model.kws"), bytes("../kws.wasm")]);
    spotter = new KeywordSpotter(model, wasm);
    files = { model, wasm };
    const facts = spotter.model;
    receive({ type: "hello", ...facts, model: facts.name, server_microphone: "this page has no server" });
    $("server").hidden = true;
  } catch (error) {
    say(`The model cannot be loaded: ${error.message}. A browser loads it from a web server, not from a folder.`, true);
  }
}

// A context of 16 kHz with the spotter in it; `connect` gives it something to hear.
async function listen(source, text, connect) {
  stop();
  if (!files) return;
  try {
    const context = new AudioContext({ sampleRate: 16_000 });
    audio = { context };
    await context.audioWorklet.addModule("../worklet.js");
    const options = { numberOfOutputs: 0, processorOptions: { ...files, observe: true } };
    const node = audio.node = new AudioWorkletNode(context, "kws-stream", options);
    node.onprocessorerror = () => { stop(); say("The spotter has stopped because of an error in it.", true); };
    node.port.postMessage({ thresholds: spotter.thresholds });
    gathered = { frames: [], events: [], recent: [], levels: [], peak: 0, energy: 0, samples: 0, clipped: 0, last: null, heard: 0, power: null, triggers: 0, told: "" };
    node.port.onmessage = ({ data }) => gather(data);
    await connect(context, node);
    clear();
    $(source).setAttribute("aria-pressed", "true");
    say(text);
    audio.timer = setInterval(() => moments(text), MOMENT_MS);
  } catch (error) {
    stop();
    say(`This cannot be listened to: ${error.message}`, true);
  }
}

async function playRecording(context, node) {
  const answer = await fetch("demo.flac");
  if (!answer.ok) throw new Error(`demo.flac is not there (HTTP status ${answer.status})`);
  const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(await answer.arrayBuffer()) });
  source.connect(node);
  source.connect(context.destination);
  source.onended = () => node.port.postMessage({ finish: true });
  source.start();
}

async function useMicrophone(context, node) {
  if (!navigator.mediaDevices) throw new Error("a browser gives its microphone to pages from localhost or over HTTPS only");
  const wish = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  audio.stream = await navigator.mediaDevices.getUserMedia({ audio: wish });
  context.createMediaStreamSource(audio.stream).connect(node);
}

function gather(data) {
  if (!data.frames) return;
  const g = gathered;
  g.frames.push(...data.frames);
  g.events.push(...data.events);
  g.peak = Math.max(g.peak, data.peak);
  g.energy += data.energy;
  g.samples += data.count;
  g.clipped += data.clipped;
  const second = Math.round(1 / spotter.model.frame_s);
  g.recent = [...g.recent, ...data.frames.map((frame) => frame.sums)].slice(-second - 1);
  g.heard += data.frames.length;
  g.triggers = data.triggers;
}

// As the server's messages (kws_stream/integrations/web/session.py).
function moments(text) {
  const g = gathered, model = spotter.model, frame = g.frames.at(-1);
  const told = `${text} The verifier has confirmed ${g.events.length} of ${g.triggers} triggers of the network.`;
  if (model.verifier && told !== g.told) say(g.told = told);
  if (!frame) return;
  const rms = Math.sqrt(g.energy / Math.max(1, g.samples));
  g.levels = [...g.levels, rms].slice(-(FLOOR_S * 1000) / MOMENT_MS);
  const ordered = g.levels.toSorted((a, b) => a - b);
  const blocks = (values) => {
    let at = 0;
    return model.cells.map((cells) => Array.from(values.slice(at, at += cells)));
  };
  const [block, cell] = follow, place = model.cells.slice(0, block).reduce((a, b) => a + b, 0) + cell;
  const power = (sums, from) => {
    const { core_nw, cells_nw, feedforward_nw, classifier_nw } = spotter.powerOf(sums, from);
    return { core: core_nw, cells: cells_nw, feedforward: feedforward_nw, classifier: classifier_nw };
  };
  receive({
    type: "moment", time_s: g.heard * model.frame_s, peak: g.peak, rms, floor: ordered[Math.floor(ordered.length / 10)],
    clipped: g.clipped, lost: 0, factor: 0, scores: Array.from(frame.scores),
    thresholds: hello.classes.map((name) => spotter.thresholds[name] ?? null),
    candidates: blocks(frame.candidates), bits: blocks(frame.bits).map((bits) => bits.join("")),
    heat: g.frames.map(({ features }) => Array.from(features.slice(0, model.channels), (x) => Math.round((255 * x) / model.high))),
    followed: g.frames.map(({ candidates, bits }) => [candidates[place], bits[place]]),
    now: power(frame.sums, g.recent[0]), average: power(frame.sums, null), events: g.events.slice(-50),
  });
  Object.assign(g, { frames: [], peak: 0, energy: 0, samples: 0 });
}

$("demo").onclick = () => listen("demo", "The recording that comes with kws-stream: synthetic voices in noise.", playRecording);
$("browser").onclick = () => listen("browser", "This browser's microphone. The sound stays on this device.", useMicrophone);
$("stop").onclick = () => { stop(); say("Stopped."); };
show();
