/** The spotter in the audio thread: listens to its input, and posts what it hears.
 *
 * processorOptions: {model, wasm}, the bytes of a model file and of kws.wasm; {verify: false} leaves the
 * model's verifier out; {observe: true} posts every frame, the level and the count of triggers beside the events.
 * Its context has to run at the model's rate. Messages to it: {thresholds}, {finish: true}.
 */
import { KeywordSpotter } from "./index.js";

const SAMPLES = 320; // that are heard at once

class Listener extends AudioWorkletProcessor {
  constructor({ processorOptions: { model, wasm, verify, observe = false } }) {
    super();
    this.spotter = new KeywordSpotter(model, wasm, { verify });
    const rate = this.spotter.model.rate_hz;
    if (sampleRate !== rate) throw new Error(`need an AudioContext of ${rate} Hz, got one of ${sampleRate} Hz`);
    this.observe = observe;
    this.samples = new Float32Array(SAMPLES);
    this.filled = 0;
    this.port.onmessage = ({ data }) => {
      if (data.thresholds) this.spotter.setThresholds(data.thresholds);
      if (data.finish) {
        this.hear();
        const events = this.spotter.finish(), { triggers } = this.spotter;
        this.port.postMessage({ frames: [], events, triggers, peak: 0, energy: 0, clipped: 0, count: 0, finished: true });
      }
    };
  }

  process([input]) {
    for (let i = 0; i < (input[0]?.length ?? 0); i++) {
      let sum = 0;
      for (const channel of input) sum += channel[i];
      this.samples[this.filled++] = sum / input.length;
      if (this.filled === SAMPLES) this.hear();
    }
    return true;
  }

  hear() {
    const samples = this.samples.subarray(0, this.filled);
    this.filled = 0;
    if (!this.observe) {
      const events = this.spotter.process(samples);
      if (events.length) this.port.postMessage({ events });
      return;
    }
    const frames = this.spotter.observe(samples);
    let peak = 0, energy = 0, clipped = 0;
    for (const sample of samples) {
      const size = Math.abs(sample);
      peak = Math.max(peak, size);
      energy += sample * sample;
      clipped += size >= 0.999;
    }
    const events = frames.flatMap((frame) => frame.events), { triggers } = this.spotter;
    this.port.postMessage({ frames, events, triggers, peak, energy, clipped, count: samples.length });
  }
}

registerProcessor("kws-stream", Listener);
