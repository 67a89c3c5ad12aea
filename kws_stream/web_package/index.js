/** A keyword spotter in WebAssembly: samples in, events out, without a server.
 *
 * The engine is the C of kws-stream, so features, scores and events are those of its Python and
 * firmware forms, to the last bit. A model is a file that `kws-stream export-web` writes.
 */

const MAGIC = "KWSWEB1\n";
const ALIGN = 64;
const EVENT_BYTES = 48;
const MOST_EVENTS = 16; // that one call gives; the next call goes on behind them
const PIECE_SAMPLES = 16_000; // samples that are worked through at once
const SCORE_UNIT = 2 ** -24;
const VERIFIER_UNIT = 2 ** -16; // of a verifier's score
const PAGE_BYTES = 65_536;
const ROUNDER = 1.5 * 2 ** 52; // adding this and taking it away rounds to a whole number, ties to even

const up = (bytes) => Math.ceil(bytes / ALIGN) * ALIGN;

// A worklet has no TextDecoder.
function ascii(bytes, at, count) {
  let text = "";
  for (const code of new Uint8Array(bytes, at, count)) text += String.fromCharCode(code);
  return text;
}

/** Bytes of a model file -> its facts, the blobs of engine and verifier, and the weights of the power formula. */
function unpack(bytes) {
  const view = new DataView(bytes);
  const wrong = (what) => new Error(`kws-stream: need a model file from "kws-stream export-web", ${what}; export it again`);
  if (bytes.byteLength < 16 || ascii(bytes, 0, 8) !== MAGIC) {
    throw wrong("got something else or another version");
  }
  const facts = view.getUint32(8, true), blob = view.getUint32(12, true), at = up(16 + facts);
  if (at + blob > bytes.byteLength) throw wrong(`got ${bytes.byteLength} bytes of ${at + blob} or more`);
  const model = JSON.parse(ascii(bytes, 16, facts));
  const weights = at + up(blob), end = weights + 8 * 3 * model.power_sums, second = model.verifier?.bytes ?? 0;
  const verifier = second ? up(end) : end;
  if (bytes.byteLength !== verifier + second) throw wrong(`got ${bytes.byteLength} bytes`);
  return {
    model, blob: new Uint8Array(bytes, at, blob), weights: new Float64Array(bytes.slice(weights, end)),
    verifier: new Uint8Array(bytes, verifier, second),
  };
}

/** Samples as 16-bit integers: nearest, ties to even, cut to the range. */
function toInt16(pcm) {
  if (pcm instanceof Int16Array) return pcm;
  if (!(pcm instanceof Float32Array)) {
    throw new TypeError("pcm: need an Int16Array, or a Float32Array with full scale 1.0; convert the samples");
  }
  const codes = new Int16Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) {
    const sample = pcm[i] * 32768;
    if (!Number.isFinite(sample)) throw new RangeError(`pcm: need finite samples, got ${pcm[i]} at index ${i}`);
    codes[i] = Math.min(32767, Math.max(-32768, sample)) + ROUNDER - ROUNDER;
  }
  return codes;
}

async function bytesOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: need a file, got HTTP status ${answer.status}; check the address`);
  return answer.arrayBuffer();
}

export class KeywordSpotter {
  #exports; #engine; #cascade; #state; #pcm; #counts; #events; #rows; #noRows; #sums; #model; #weights; #thresholds; #filled; #at; #triggers;
  #columns; // where each kind of sum lies: inputs, candidates, on, above, below

  /** A model file and, beside this module, the engine. Both may come from other addresses. */
  static async load(url, { wasm = new URL("./kws.wasm", import.meta.url), verify } = {}) {
    const [model, engine] = await Promise.all([bytesOf(url), bytesOf(wasm)]);
    return new KeywordSpotter(model, engine, { verify });
  }

  /** From the bytes of a model file and of kws.wasm, where nothing can be fetched: in a worklet, say.
   *
   * verify: whether the model's verifier confirms or rejects what the network triggers on; it does where the model has one.
   */
  constructor(modelBytes, wasmBytes, { verify } = {}) {
    const { model, blob, weights, verifier } = unpack(modelBytes);
    if (verify && !model.verifier) throw new Error(`verify: need a model with a verifier, and ${model.name} has none; leave it out`);
    this.#model = model;
    this.#weights = weights;
    this.#exports = new WebAssembly.Instance(new WebAssembly.Module(wasmBytes)).exports;
    let end = up(this.#exports.__heap_base.value);
    const take = (bytes) => {
      const at = end;
      end = up(end + bytes);
      const memory = this.#exports.memory;
      const missing = end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      return at;
    };
    this.#state = [];
    const made = (stage, numbers) => { // a stage of these numbers, where it is
      const at = take(numbers.length);
      this.#view(Uint8Array, at, numbers.length).set(numbers);
      const size = this.#exports[`kws_${stage}_bytes`]?.(at, numbers.length);
      if (!size) throw new Error("kws-stream: need a model file and a kws.wasm of one version, got two; export both again");
      const place = take(size);
      this.#state.push([place, size]);
      this.#exports[`kws_${stage}_init`](place, at);
      return place;
    };
    this.#engine = made("engine", blob);
    this.#cascade = model.verifier && verify !== false ? made("cascade", verifier) : 0;
    this.#pcm = take(2 * PIECE_SAMPLES);
    this.#counts = take(12);
    this.#events = take(EVENT_BYTES * MOST_EVENTS);
    const { features, classes, cells } = this.#sizes;
    const [rows, featuresAt, scoresAt, bitsAt] = [16, 4 * features, 4 * classes, Math.max(1, cells)].map(take);
    this.#rows = rows;
    this.#noRows = take(16); // four NULLs: memory begins as zeros
    this.#view(Uint32Array, rows, 4).set([featuresAt, 0, scoresAt, bitsAt]);
    const columns = [model.inputs, cells, cells, model.width, model.width];
    this.#columns = columns.map((count) => [take(8 * Math.max(1, count)), count]);
    this.#thresholds = {};
    this.setThresholds(model.thresholds);
    this.reset();
  }

  get #sizes() {
    const { channels, slow_copies, classes, cells } = this.#model;
    return { features: channels * (1 + slow_copies), classes: classes.length, cells: cells.reduce((a, b) => a + b, 0) };
  }

  #view(Kind, at, count) { return new Kind(this.#exports.memory.buffer, at, count); }

  /** What the model file tells of the model. */
  get model() { return this.#model; }
  get classes() { return this.#model.classes; }
  /** The threshold of every keyword. */
  get thresholds() { return { ...this.#thresholds }; }
  /** Whole frames heard since the start. */
  get frames() { return this.#at; }
  /** What the network triggered on since the start; where no verifier rejects any of it, every trigger is an event. */
  get triggers() { return this.#triggers; }
  /** Whether a verifier confirms or rejects. */
  get verifies() { return this.#cascade !== 0; }
  get timeS() { return this.#seconds(this.#at * this.#model.frame_s); }

  #seconds(value) { return Number(value.toFixed(6)); }

  /** Back to the start. keepPower: but `power` goes on. */
  reset({ keepPower = false } = {}) {
    this.#exports.kws_engine_reset(this.#engine, Number(keepPower));
    if (this.verifies) this.#exports.kws_cascade_reset(this.#cascade);
    this.#filled = this.#at = this.#triggers = 0;
    this.#sums = this.#readSums();
  }

  /** Other thresholds, from the next frame on; keywords that are not named keep theirs. */
  setThresholds(thresholds) {
    const known = this.#model.thresholds, entries = Object.entries(thresholds);
    for (const [keyword, value] of entries) { // all before the first is set
      if (!Object.hasOwn(known, keyword)) {
        throw new RangeError(`threshold: need one of ${Object.keys(known).join(", ")}, got ${keyword}`);
      }
      if (typeof value !== "number" || !(value >= 0 && value <= 1)) {
        throw new RangeError(`threshold of ${keyword}: need 0 to 1, got ${value}`);
      }
    }
    const { rearm } = this.#model, code = (score) => Math.ceil(score / SCORE_UNIT);
    for (const [keyword, value] of entries) {
      const level = rearm === 1 ? 2 / SCORE_UNIT : code(Math.min(rearm, Math.max(value, 1 / this.classes.length)));
      this.#exports.kws_engine_threshold(this.#engine, this.classes.indexOf(keyword), code(value), level);
      this.#thresholds[keyword] = value;
    }
  }

  /** Events that these samples complete: Int16Array, or Float32Array with full scale 1.0; mono, at model.rate_hz.
   *
   * With a verifier an event comes up to 0.5 s after its `time_s`, at its `confirmed_s`.
   */
  process(pcm) { return this.#process(toInt16(pcm), false); }

  // deaf: nothing new triggers
  #process(codes, deaf) {
    const found = [];
    for (let at = 0; at < codes.length; at += PIECE_SAMPLES) {
      this.#hear(codes.subarray(at, at + PIECE_SAMPLES), this.#noRows, found, deaf);
    }
    return found;
  }

  /** Events of words that end with the sound, which some silence behind it completes, and what waits for the verifier;
   * nothing else changes but `triggers`. */
  finish() {
    if (!this.#at) return [];
    const before = [this.#filled, this.#at], images = this.#state.map(([at, size]) => this.#view(Uint8Array, at, size).slice());
    const events = this.process(new Int16Array(this.#model.finish_samples));
    if (this.verifies) events.push(...this.#process(new Int16Array(this.#model.verifier.wait_samples), true));
    this.#state.forEach(([at, size], i) => this.#view(Uint8Array, at, size).set(images[i]));
    [this.#filled, this.#at] = before;
    return events;
  }

  /** As `process`, but gives every frame that is complete, with what happened in it. */
  observe(pcm) {
    const codes = toInt16(pcm), frames = [], size = this.#model.frame_samples;
    for (let at = 0; at < codes.length;) {
      const taken = Math.min(size - this.#filled, codes.length - at), heard = this.#at, events = [];
      this.#hear(codes.subarray(at, at + taken), this.#rows, events);
      at += taken;
      if (this.#at > heard) frames.push(this.#frame(events));
    }
    return frames;
  }

  #hear(codes, rows, found, deaf = false) {
    const { memory, kws_cascade_process: run } = this.#exports, counts = this.#counts;
    let left = codes.length, at = this.#pcm, count = 0;
    this.#view(Int16Array, at, left).set(codes);
    this.#filled = (this.#filled + left) % this.#model.frame_samples;
    while (left || count === MOST_EVENTS) { // with all of the room taken there may be more
      const used = run(this.#cascade, this.#engine, at, left, rows, deaf, counts, counts + 4, this.#events, MOST_EVENTS, counts + 8);
      const view = new DataView(memory.buffer);
      this.#at += view.getUint32(counts, true);
      this.#triggers += view.getUint32(counts + 4, true);
      count = view.getUint32(counts + 8, true);
      for (let i = 0; i < count; i++) found.push(this.#event(view, this.#events + i * EVENT_BYTES));
      left -= used;
      at += 2 * used;
    }
  }

  #event(view, at) {
    const { frame_s, onset_s, classes } = this.#model, frames = (offset) => Number(view.getBigInt64(at + offset, true));
    const event = {
      keyword: classes[view.getInt32(at, true)],
      time_s: this.#seconds(frames(16) * frame_s),
      score: view.getUint32(at + 4, true) * SCORE_UNIT,
      start_s: this.#seconds(Math.max(0, frames(24) * frame_s - onset_s)),
      index: view.getUint32(at + 8, true),
    };
    if (!this.verifies) return event;
    return { ...event, verifier_score: view.getUint32(at + 32, true) * VERIFIER_UNIT, confirmed_s: this.#seconds(frames(40) * frame_s) };
  }

  #readSums() {
    const places = this.#columns.map(([at]) => at);
    const frames = Number(this.#exports.kws_engine_power(this.#engine, ...places));
    const sums = this.#columns.flatMap(([at, count]) => Array.from(this.#view(BigInt64Array, at, count), Number));
    return { frames, sums };
  }

  #frame(events) {
    const { features, classes, cells } = this.#sizes, units = this.#model.candidate_units;
    const [featuresAt, , scoresAt, bitsAt] = this.#view(Uint32Array, this.#rows, 4);
    const before = this.#sums.sums, from = this.#columns[0][1];
    this.#sums = this.#readSums(); // a candidate is by how much its sum has grown
    const after = this.#sums.sums;
    return {
      features: Float64Array.from(this.#view(Int32Array, featuresAt, features), (code) => code * this.#model.step),
      scores: Float64Array.from(this.#view(Uint32Array, scoresAt, classes), (code) => code * SCORE_UNIT),
      bits: this.#view(Uint8Array, bitsAt, cells).slice(),
      candidates: Float64Array.from({ length: cells }, (_, i) => (after[from + i] - before[from + i]) * units[i]),
      sums: this.#sums,
      events,
    };
  }

  /** Mean power of the chip since the start, or since `from`, the `sums` of an earlier frame: nW at 1 nA, simulated. */
  power(from = null) { return this.powerOf(this.#readSums(), from); }

  /** As `power`, up to a frame whose `sums` are given; also of another spotter of this model. */
  powerOf({ frames, sums }, from = null) {
    const heard = frames - (from ? from.frames : 0), total = [...this.#model.power_at_rest];
    if (heard > 0) {
      sums.forEach((sum, i) => {
        const mean = (sum - (from ? from.sums[i] : 0)) / heard;
        for (let part = 0; part < 3; part++) total[part] += mean * this.#weights[3 * i + part];
      });
    }
    const [cells_nw, feedforward_nw, classifier_nw] = total;
    return { core_nw: cells_nw + feedforward_nw, cells_nw, feedforward_nw, classifier_nw };
  }
}
