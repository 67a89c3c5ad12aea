// Gathers the microphone's samples, 20 ms and more at a time, as 16-bit PCM at the browser's rate.
class Sender extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(Math.round(sampleRate / 50));
    this.filled = 0;
  }
  process(inputs) {
    const channel = inputs[0][0];
    if (!channel) return true;
    for (const x of channel) {
      this.samples[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(x * 32768)));
      if (this.filled === this.samples.length) {
        this.port.postMessage(this.samples.slice().buffer);
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("sender", Sender);
