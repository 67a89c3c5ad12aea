"use strict";
// Listens by a WebSocket of the server; view.js draws.
let socket = null, audio = null;
tell = (message) => { if (socket && socket.readyState === 1) socket.send(JSON.stringify(message)); };

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
  clear();
  $(source).setAttribute("aria-pressed", "true");
}

async function show() {
  try {
    begin(await (await fetch("model.json")).json());
    if (hello.server_microphone) say("Nothing is heard yet: choose what to listen to. The server has no microphone to use.");
  } catch (error) {
    say(`The server does not answer: ${error.message}`, true);
  }
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

$("demo").onclick = () => { stop(); say("The recording that comes with kws-stream: synthetic voices in noise."); listen("demo"); };
$("server").onclick = () => { stop(); say("The server's microphone."); listen("server"); };
$("browser").onclick = () => { stop(); useBrowser(); };
$("stop").onclick = () => { stop(); say("Stopped."); };
show();
