/** A keyword that was heard. The fields are those of an event line of `kws-stream detect --json`. */
export interface WakeEvent {
  keyword: string;
  /** End of the frame that fired, in seconds since the start. */
  time_s: number;
  /** The smoothed score that was compared with the threshold, 0 to 1. */
  score: number;
  /** Estimated start of the word, in seconds since the start. */
  start_s: number;
  /** Count of events since the start, from 0. */
  index: number;
  /** Of the verifier, 0 to 1; where the spotter has one. */
  verifier_score?: number;
  /** When the verifier confirmed it, up to 0.5 s after `time_s`; where the spotter has one. */
  confirmed_s?: number;
}

/** Sums over frames from which `power` is computed; compare two to get the power between them. */
export interface Sums {
  frames: number;
  sums: number[];
}

/** All that happened in one frame. */
export interface Frame {
  /** Of the filterbank and its slow copies, in unit currents. */
  features: Float64Array;
  /** Smoothed scores, one a class. */
  scores: Float64Array;
  /** The bit of every cell, block after block. */
  bits: Uint8Array;
  /** The candidate current of every cell, block after block. */
  candidates: Float64Array;
  sums: Sums;
  events: WakeEvent[];
}

/** Mean power in nW at a unit current of 1 nA: simulated, no silicon. */
export interface Power {
  /** Cells and feedforward. */
  core_nw: number;
  cells_nw: number;
  feedforward_nw: number;
  /** Beside the core: estimated. */
  classifier_nw: number;
}

export interface Model {
  name: string;
  version: string;
  description: string;
  licence: string;
  classes: string[];
  thresholds: Record<string, number>;
  frame_s: number;
  frame_samples: number;
  channels: number;
  centres_hz: number[];
  /** Lower and upper thresholds of the cells, one list a block. */
  beta1: number[][];
  beta2: number[][];
  cells: number[];
  /** The second stage, or null; `looks_s`: how long after a trigger it is judged. */
  verifier: { threshold: number; looks_s: number[]; [more: string]: unknown } | null;
  [more: string]: unknown;
}

export interface Options {
  /** Whether the model's verifier confirms or rejects what the network triggers on; by default where the model has one. */
  verify?: boolean;
}

export class KeywordSpotter {
  /** Loads a model file of `kws-stream export-web`, and the engine: kws.wasm beside this module, or at `wasm`. */
  static load(url: string | URL, options?: Options & { wasm?: string | URL }): Promise<KeywordSpotter>;
  /** From the bytes of a model file and of kws.wasm. */
  constructor(modelBytes: ArrayBuffer, wasmBytes: ArrayBuffer, options?: Options);
  readonly model: Model;
  readonly classes: string[];
  readonly thresholds: Record<string, number>;
  /** Whole frames heard since the start. */
  readonly frames: number;
  /** What the network triggered on since the start, confirmed or not. */
  readonly triggers: number;
  /** Whether a verifier confirms or rejects. */
  readonly verifies: boolean;
  readonly timeS: number;
  /** Events that these samples complete: mono, at model.rate_hz; any length and any split give the same events.
   * With a verifier an event comes at its `confirmed_s`. */
  process(pcm: Int16Array | Float32Array): WakeEvent[];
  /** Events of words that end with the sound: some silence is heard behind it, and nothing but `triggers` changes. */
  finish(): WakeEvent[];
  /** As `process`, but every complete frame with all that happened in it. */
  observe(pcm: Int16Array | Float32Array): Frame[];
  /** Back to the start. */
  reset(options?: { keepPower?: boolean }): void;
  setThresholds(thresholds: Record<string, number>): void;
  /** Mean power since the start, or since the sums of an earlier frame. */
  power(from?: Sums | null): Power;
  /** As `power`, up to a frame whose sums are given. */
  powerOf(sums: Sums, from?: Sums | null): Power;
}
