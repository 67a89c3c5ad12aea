/* Any model at run time: see kws_engine.h. */
#include "kws_engine_model.h"

#include <string.h>

#define RECENT 128u

KWS_THREAD const struct kws_runtime *kws_now;

typedef struct {
    struct kws_runtime model;
    kws_front_end front_end;
    kws_detector detector;
    uint8_t *bits;
    int32_t *features, *last_features;
    int64_t *pre, *logits, *sums, *out;
    int32_t *wires, *low, *high, *values;
    uint32_t *active;
    int64_t *inputs, *candidates, *on, *above, *below;
    int32_t *recent_features;
    uint8_t *recent_bits;
    int64_t frames, power_frames;
    uint32_t recent_at, recent_frames;
} engine;

/* ---- laying things out ---- */

typedef struct {
    char *at;
} arena;

static void *take(arena *memory, size_t count, size_t size)
{
    void *taken = memory->at;
    memory->at += (count * size + 63) / 64 * 64;
    return taken;
}

typedef struct {
    const char *at;
} reader;

static const void *numbers(reader *blob, size_t count, size_t size)
{
    const void *found = blob->at;
    blob->at += (count * size + 63) / 64 * 64;
    return found;
}

/* A layer: eight 64-bit numbers, the weights, the biases. */
static void read_rows(reader *blob, kws_rows *rows)
{
    const int64_t *head = numbers(blob, 8, 8);
    rows->n_in = (uint32_t)head[0];
    rows->n_out = (uint32_t)head[1];
    rows->stride = (uint32_t)head[2];
    rows->shift = (uint32_t)head[3];
    rows->limbs = (uint32_t)head[4];
    const void *weights =
        numbers(blob, (size_t)rows->n_in * rows->stride, rows->limbs ? sizeof(int8_t) : 4);
    rows->narrow = rows->limbs ? weights : NULL;
    rows->wide = rows->limbs ? NULL : weights;
    rows->bias = numbers(blob, rows->n_out, 8);
}

enum {
    HEAD_MAGIC, HEAD_SIZE, HEAD_FEATURES, HEAD_WIDTH, HEAD_BLOCKS, HEAD_CELLS, HEAD_CLASSES,
    HEAD_CHANNELS, HEAD_SLOW_COPIES, HEAD_FRAME_SAMPLES, HEAD_WIDEST, HEAD_LOGIT_FRACTION,
    HEAD_HALF_WAVE, HEAD_LOWPASS_GAIN, HEAD_AGC_GAIN, HEAD_START_ROOT, HEAD_ROOT_OFFSET,
    HEAD_STEP_SHIFT, HEAD_FEATURE_MAX, HEAD_FLOOR, HEAD_OFFSET, HEAD_WINDOW, HEAD_WARMUP,
    HEAD_REFRACTORY, HEAD_FRAME_MS, HEAD_ONSET_MS, HEAD_BAND_BYTES, HEAD_COUNT = 32
};

/* Fills the engine, if it is not NULL, from the blob; returns the bytes that it takes. */
static size_t lay_out(char *memory, const void *blob, engine **made)
{
    arena room = {memory};
    reader from = {blob};
    const int64_t *head = numbers(&from, HEAD_COUNT, 8);
    const size_t features = (size_t)head[HEAD_FEATURES], width = (size_t)head[HEAD_WIDTH];
    const size_t blocks = (size_t)head[HEAD_BLOCKS], cells = (size_t)head[HEAD_CELLS];
    const size_t classes = (size_t)head[HEAD_CLASSES], channels = (size_t)head[HEAD_CHANNELS];
    const size_t slow = (size_t)head[HEAD_SLOW_COPIES], window = (size_t)head[HEAD_WINDOW];
    const size_t widest = (size_t)head[HEAD_WIDEST];
    engine local, *self = take(&room, 1, sizeof *self);
    kws_stage *stages = take(&room, blocks, sizeof *stages);
    uint32_t *thresholds = take(&room, classes, 4), *rearms = take(&room, classes, 4);
    if (made == NULL)
        self = &local;
    self->front_end.envelope = take(&room, channels, 8);
    self->front_end.level = take(&room, channels, 8);
    self->front_end.slow = take(&room, channels * slow, 8);
    self->front_end.modes = take(&room, channels, sizeof(kws_mode));
    self->detector.recent = take(&room, window * classes, 8);
    self->detector.sums = take(&room, classes, 8);
    self->detector.scores = take(&room, classes, 4);
    self->detector.low = take(&room, classes, 8);
    self->detector.fired = take(&room, classes, 8);
    self->bits = take(&room, cells, 1);
    self->features = take(&room, features, 4);
    self->last_features = take(&room, features, 4);
    self->pre = take(&room, widest, 8);
    self->logits = take(&room, classes, 8);
    self->sums = take(&room, widest, 8);
    self->out = take(&room, widest, 8);
    self->wires = take(&room, widest, 4);
    self->low = take(&room, widest, 4);
    self->high = take(&room, widest, 4);
    self->values = take(&room, widest, 4);
    self->active = take(&room, widest, 4);
    self->inputs = take(&room, blocks * width, 8);
    self->candidates = take(&room, cells, 8);
    self->on = take(&room, cells, 8);
    self->above = take(&room, width, 8);
    self->below = take(&room, width, 8);
    self->recent_features = take(&room, RECENT * features, 4);
    self->recent_bits = take(&room, RECENT * cells, 1);
    if (made != NULL) {
        struct kws_runtime *m = &self->model;
        m->features = (uint32_t)features;
        m->width = (uint32_t)width;
        m->blocks = (uint32_t)blocks;
        m->cells = (uint32_t)cells;
        m->classes = (uint32_t)classes;
        m->channels = (uint32_t)channels;
        m->slow_copies = (uint32_t)slow;
        m->frame_samples = (uint32_t)head[HEAD_FRAME_SAMPLES];
        m->widest = (uint32_t)widest;
        m->logit_fraction = (int32_t)head[HEAD_LOGIT_FRACTION];
        m->half_wave = (int32_t)head[HEAD_HALF_WAVE];
        m->lowpass_gain = (int32_t)head[HEAD_LOWPASS_GAIN];
        m->agc_gain = (int32_t)head[HEAD_AGC_GAIN];
        m->start_root = (int32_t)head[HEAD_START_ROOT];
        m->root_offset = (int32_t)head[HEAD_ROOT_OFFSET];
        m->step_shift = (int32_t)head[HEAD_STEP_SHIFT];
        m->half_step = (int32_t)(((int64_t)1 << m->step_shift) / 2);
        m->feature_max = (int32_t)head[HEAD_FEATURE_MAX];
        m->floor = (uint32_t)head[HEAD_FLOOR];
        m->offset = (uint64_t)head[HEAD_OFFSET];
        m->window = (uint32_t)window;
        m->warmup = head[HEAD_WARMUP];
        m->refractory = head[HEAD_REFRACTORY];
        m->frame_ms = head[HEAD_FRAME_MS];
        m->onset_ms = head[HEAD_ONSET_MS];
        m->bands = numbers(&from, channels, sizeof(kws_band));
        m->weights = numbers(&from, m->frame_samples / 4, 4);
        m->slow_gains = numbers(&from, slow, 4);
        m->thresholds = thresholds;
        m->rearms = rearms;
        read_rows(&from, &m->pre);
        m->stages = stages;
        for (size_t b = 0; b < blocks; b++) {
            read_rows(&from, &stages[b].candidate);
            read_rows(&from, &stages[b].post);
            stages[b].cells = stages[b].candidate.n_out;
            stages[b].beta1 = numbers(&from, stages[b].cells, 8);
            stages[b].beta2 = numbers(&from, stages[b].cells, 8);
            stages[b].alpha = numbers(&from, stages[b].cells, 4);
            stages[b].initial = numbers(&from, stages[b].cells, 1);
        }
        read_rows(&from, &m->classifier);
        *made = self;
    }
    return (size_t)(room.at - memory);
}

size_t kws_engine_bytes(const void *blob, size_t size)
{
    const int64_t *head = blob;
    if (size < HEAD_COUNT * 8 || head[HEAD_MAGIC] != KWS_BLOB_MAGIC ||
        (size_t)head[HEAD_SIZE] != size || head[HEAD_BAND_BYTES] != (int64_t)sizeof(kws_band))
        return 0;
    static char nowhere[1];
    return lay_out(nowhere, blob, NULL);
}

void kws_engine_init(void *memory, const void *blob)
{
    engine *self;
    lay_out(memory, blob, &self);
    for (unsigned k = 0; k < self->model.classes; k++)
        kws_engine_threshold(memory, k, UINT32_MAX, 0);
    kws_engine_reset(memory, 0);
}

void kws_engine_adopt(void *memory, const void *blob)
{
    engine *self;
    lay_out(memory, blob, &self);
}

void kws_engine_reset(void *memory, int keep_power)
{
    engine *self = memory;
    const struct kws_runtime *m = kws_now = &self->model;
    kws_front_end_reset(&self->front_end);
    kws_detector_reset(&self->detector);
    uint8_t *bits = self->bits;
    for (unsigned b = 0; b < m->blocks; b++) {
        memcpy(bits, m->stages[b].initial, m->stages[b].cells);
        bits += m->stages[b].cells;
    }
    memset(self->last_features, 0, m->features * sizeof *self->last_features);
    for (unsigned j = 0; j < m->width; j++)
        self->pre[j] = 0;
    memset(self->logits, 0, m->classes * sizeof *self->logits);
    self->frames = 0;
    if (keep_power)
        return;
    memset(self->inputs, 0, m->blocks * m->width * sizeof *self->inputs);
    memset(self->candidates, 0, m->cells * sizeof *self->candidates);
    memset(self->on, 0, m->cells * sizeof *self->on);
    memset(self->above, 0, m->width * sizeof *self->above);
    memset(self->below, 0, m->width * sizeof *self->below);
    self->power_frames = 0;
    self->recent_at = self->recent_frames = 0;
}

/* ---- the network, by what is active ---- */

/* low[j] += (value & 2^15 - 1) weight[j], high[j] += (value >> 15) weight[j] */
KWS_CLONES static void add_two(const int8_t *weight, int32_t value, int32_t *low, int32_t *high,
                               unsigned n)
{
    const int32_t a = value & 0x7fff, b = value >> 15;
    for (unsigned j = 0; j < n; j++) {
        low[j] += a * weight[j];
        high[j] += b * weight[j];
    }
}

KWS_CLONES static void add_one(const int8_t *weight, int32_t value, int32_t *low, unsigned n)
{
    for (unsigned j = 0; j < n; j++)
        low[j] += value * weight[j];
}

static void add_wide(const int32_t *weight, int64_t value, int64_t *sums, unsigned n)
{
    for (unsigned j = 0; j < n; j++)
        sums[j] += value * weight[j];
}

/* sums = the layer's products with `count` inputs, whose places are in active */
static void gather(engine *self, const kws_rows *rows, unsigned count, int64_t *sums)
{
    const uint32_t *active = self->active;
    const int32_t *values = self->values;
    const unsigned n = rows->stride;
    if (rows->limbs == 0) {
        memset(sums, 0, n * sizeof *sums);
        for (unsigned i = 0; i < count; i++)
            add_wide(rows->wide + (size_t)active[i] * n, values[i], sums, n);
        return;
    }
    memset(self->low, 0, n * sizeof *self->low);
    if (rows->limbs == 1) {
        for (unsigned i = 0; i < count; i++)
            add_one(rows->narrow + (size_t)active[i] * n, values[i], self->low, n);
        for (unsigned j = 0; j < n; j++)
            sums[j] = self->low[j];
        return;
    }
    memset(self->high, 0, n * sizeof *self->high);
    for (unsigned i = 0; i < count; i++)
        add_two(rows->narrow + (size_t)active[i] * n, values[i], self->low, self->high, n);
    for (unsigned j = 0; j < n; j++)
        sums[j] = (int64_t)self->high[j] * 32768 + self->low[j];
}

/* out = sums 2^shift + bias */
KWS_CLONES static void finish(const kws_rows *rows, const int64_t *restrict sums,
                              int64_t *restrict out)
{
    const unsigned shift = rows->shift, n = rows->n_out;
    const int64_t *bias = rows->bias;
    for (unsigned j = 0; j < n; j++)
        out[j] = (int64_t)((uint64_t)sums[j] << shift) + bias[j];
}

/* The cells of a stage, from candidates that are not rectified yet; adds to the sums for power. */
KWS_CLONES static void decide(const kws_stage *stage, int64_t *restrict candidates,
                              uint8_t *restrict bits, int64_t *restrict total,
                              int64_t *restrict on)
{
    for (unsigned i = 0; i < stage->cells; i++) {
        const int64_t candidate = candidates[i] > 0 ? candidates[i] : 0;
        const int64_t threshold = bits[i] ? stage->beta1[i] : stage->beta2[i];
        const uint8_t bit = candidate >= threshold;
        total[i] += candidate;
        on[i] += bit;
        bits[i] = bit;
    }
}

KWS_CLONES static void add_rectified(const int64_t *restrict post, int32_t *restrict wires,
                                     unsigned n)
{
    for (unsigned j = 0; j < n; j++)
        wires[j] += (int32_t)(post[j] > 0 ? post[j] : 0);
}

static void think(engine *self, const int32_t *features)
{
    const struct kws_runtime *m = &self->model;
    const unsigned width = m->width;
    int32_t *wires = self->wires;
    int64_t *sums = self->sums, *out = self->out;
    uint8_t *bits = self->bits;
    int64_t *inputs = self->inputs, *candidates = self->candidates, *on = self->on;
    unsigned count = 0;

    /* the products with the features, by what has changed since the frame before */
    for (unsigned i = 0; i < m->features; i++) {
        const int32_t change = features[i] - self->last_features[i];
        if (change != 0) {
            self->active[count] = i;
            self->values[count++] = change;
        }
    }
    memcpy(self->last_features, features, m->features * sizeof *features);
    gather(self, &m->pre, count, sums);
    for (unsigned j = 0; j < width; j++)
        self->pre[j] += sums[j];
    finish(&m->pre, self->pre, out);
    for (unsigned j = 0; j < width; j++)
        wires[j] = (int32_t)out[j];
    for (unsigned b = 0; b < m->blocks; b++) {
        const kws_stage *stage = &m->stages[b];
        count = 0;
        for (unsigned j = 0; j < width; j++)
            if (wires[j] > 0) {
                self->active[count] = j;
                self->values[count++] = wires[j];
                inputs[j] += wires[j];
            }
        gather(self, &stage->candidate, count, sums);
        finish(&stage->candidate, sums, out);
        decide(stage, out, bits, candidates, on);
        count = 0;
        for (unsigned i = 0; i < stage->cells; i++)
            if (bits[i]) {
                self->active[count] = i;
                self->values[count++] = stage->alpha[i];
            }
        gather(self, &stage->post, count, sums);
        finish(&stage->post, sums, out);
        add_rectified(out, wires, width);
        bits += stage->cells;
        candidates += stage->cells;
        on += stage->cells;
        inputs += width;
    }
    count = 0;
    for (unsigned j = 0; j < width; j++)
        if (wires[j] != 0) {
            if (wires[j] > 0)
                self->above[j] += wires[j];
            else
                self->below[j] -= wires[j];
            self->active[count] = j;
            self->values[count++] = wires[j];
        }
    gather(self, &m->classifier, count, sums);
    finish(&m->classifier, sums, self->logits);
}

size_t kws_engine_process(void *memory, const int16_t *pcm, size_t n,
                          const kws_engine_rows *rows, size_t most_frames, size_t *frames,
                          kws_engine_event *events, size_t most_events, size_t *n_events)
{
    engine *self = memory;
    const struct kws_runtime *m = kws_now = &self->model;
    size_t used = 0;
    *frames = *n_events = 0;
    while (used < n && *frames < most_frames && *n_events < most_events) {
        kws_event event;
        int ready;
        used += kws_front_end_process(&self->front_end, pcm + used, n - used, self->features,
                                      &ready);
        if (!ready)
            continue;
        memcpy(self->recent_features + (size_t)self->recent_at * m->features, self->features,
               m->features * sizeof *self->features);
        think(self, self->features);
        memcpy(self->recent_bits + (size_t)self->recent_at * m->cells, self->bits, m->cells);
        self->recent_at = (self->recent_at + 1) % RECENT;
        if (self->recent_frames < RECENT)
            self->recent_frames++;
        self->frames++;
        self->power_frames++;
        const int fired = kws_detector_step(&self->detector, self->logits, &event);
        const size_t row = (*frames)++;
        if (rows->features != NULL)
            memcpy(rows->features + row * m->features, self->features, m->features * 4);
        if (rows->logits != NULL)
            memcpy(rows->logits + row * m->classes, self->logits, m->classes * 8);
        if (rows->scores != NULL)
            memcpy(rows->scores + row * m->classes, self->detector.scores, m->classes * 4);
        if (rows->bits != NULL)
            memcpy(rows->bits + row * m->cells, self->bits, m->cells);
        if (fired) {
            kws_engine_event *found = &events[(*n_events)++];
            found->keyword = event.keyword;
            found->score = event.score;
            found->index = event.index;
            found->filler = 0;
            found->frame = self->detector.frames;
            found->low = self->detector.low[event.keyword];
        }
    }
    return used;
}

size_t kws_engine_hear(void *memory, const int16_t *pcm, size_t n, kws_engine_event *events,
                       size_t most_events, size_t *used)
{
    static const kws_engine_rows none;
    size_t frames, found;
    *used = kws_engine_process(memory, pcm, n, &none, SIZE_MAX, &frames, events, most_events, &found);
    return found;
}

int64_t kws_engine_frames(const void *memory)
{
    return ((const engine *)memory)->frames;
}

void kws_engine_threshold(void *memory, unsigned keyword, uint32_t threshold, uint32_t rearm)
{
    engine *self = memory;
    self->model.thresholds[keyword] = threshold;
    self->model.rearms[keyword] = rearm;
}

void kws_engine_last(const void *memory, int64_t *logits, uint32_t *scores, uint8_t *bits)
{
    const engine *self = memory;
    const struct kws_runtime *m = &self->model;
    if (logits != NULL)
        memcpy(logits, self->logits, m->classes * sizeof *logits);
    if (scores != NULL)
        memcpy(scores, self->detector.scores, m->classes * sizeof *scores);
    if (bits != NULL)
        memcpy(bits, self->bits, m->cells);
}

int64_t kws_engine_power(const void *memory, int64_t *inputs, int64_t *candidates, int64_t *on,
                         int64_t *above, int64_t *below)
{
    const engine *self = memory;
    const struct kws_runtime *m = &self->model;
    if (inputs == NULL)
        return self->power_frames;
    memcpy(inputs, self->inputs, m->blocks * m->width * sizeof *inputs);
    memcpy(candidates, self->candidates, m->cells * sizeof *candidates);
    memcpy(on, self->on, m->cells * sizeof *on);
    memcpy(above, self->above, m->width * sizeof *above);
    memcpy(below, self->below, m->width * sizeof *below);
    return self->power_frames;
}

int kws_engine_recent(const void *memory, int32_t *features, uint8_t *bits)
{
    const engine *self = memory;
    const struct kws_runtime *m = &self->model;
    const unsigned n = self->recent_frames;
    const unsigned first = (self->recent_at + RECENT - n) % RECENT;
    for (unsigned i = 0; i < n; i++) {
        const size_t row = (first + i) % RECENT;
        memcpy(features + (size_t)i * m->features, self->recent_features + row * m->features,
               m->features * sizeof *features);
        memcpy(bits + (size_t)i * m->cells, self->recent_bits + row * m->cells, m->cells);
    }
    return (int)n;
}
