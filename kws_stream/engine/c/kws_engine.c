/* Any model at run time: see kws_engine.h. */
#include "kws_engine_model.h"

#include <string.h>

#define RECENT 128u

KWS_THREAD const struct kws_runtime *kws_now;

typedef struct {
    struct kws_runtime model;
    kws_front_end front_end;
    kws_network network;
    kws_detector detector;
    int32_t *features;
    int64_t *logits;
    int32_t *recent_features;
    uint8_t *recent_bits;
    int64_t frames, power_frames;
    uint32_t recent_at, recent_frames;
} engine;

/* ---- laying things out ---- */

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
static void read_layer(reader *blob, kws_layer *layer)
{
    const int64_t *head = numbers(blob, 8, 8);
    layer->n_in = (uint32_t)head[0];
    layer->n_out = (uint32_t)head[1];
    layer->stride = (uint32_t)head[2];
    layer->shift = (uint32_t)head[3];
    layer->limbs = (uint32_t)head[4];
    const void *weights =
        numbers(blob, (size_t)layer->n_in * layer->stride, layer->limbs ? sizeof(int8_t) : 4);
    layer->narrow = layer->limbs ? weights : NULL;
    layer->wide = layer->limbs ? NULL : weights;
    layer->bias = numbers(blob, layer->n_out, 8);
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
    char *room = memory;
    reader from = {blob};
    const int64_t *head = numbers(&from, HEAD_COUNT, 8);
    const size_t features = (size_t)head[HEAD_FEATURES], width = (size_t)head[HEAD_WIDTH];
    const size_t blocks = (size_t)head[HEAD_BLOCKS], cells = (size_t)head[HEAD_CELLS];
    const size_t classes = (size_t)head[HEAD_CLASSES], channels = (size_t)head[HEAD_CHANNELS];
    const size_t slow = (size_t)head[HEAD_SLOW_COPIES], window = (size_t)head[HEAD_WINDOW];
    const size_t widest = (size_t)head[HEAD_WIDEST];
    engine local, *self = kws_take(&room, 1, sizeof *self);
    kws_block *stages = kws_take(&room, blocks, sizeof *stages);
    uint32_t *thresholds = kws_take(&room, classes, 4), *rearms = kws_take(&room, classes, 4);
    if (made == NULL)
        self = &local;
    self->front_end.envelope = kws_take(&room, channels, 8);
    self->front_end.level = kws_take(&room, channels, 8);
    self->front_end.slow = kws_take(&room, channels * slow, 8);
    self->front_end.modes = kws_take(&room, channels, sizeof(kws_mode));
    self->detector.recent = kws_take(&room, window * classes, 8);
    self->detector.sums = kws_take(&room, classes, 8);
    self->detector.scores = kws_take(&room, classes, 4);
    self->detector.low = kws_take(&room, classes, 8);
    self->detector.fired = kws_take(&room, classes, 8);
    self->features = kws_take(&room, features, 4);
    self->logits = kws_take(&room, classes, 8);
    self->network.bits = kws_take(&room, cells, 1);
    self->network.more.features = kws_take(&room, features, 4);
    self->network.more.products = kws_take(&room, widest, 8);
    self->network.more.inputs = kws_take(&room, blocks * width, 8);
    self->network.more.candidates = kws_take(&room, cells, 8);
    self->network.more.on = kws_take(&room, cells, 8);
    self->network.more.above = kws_take(&room, width, 8);
    self->network.more.below = kws_take(&room, width, 8);
    self->network.more.x = kws_take(&room, widest, 4);
    self->network.more.in = kws_take(&room, widest, 4);
    self->network.more.out = kws_take(&room, widest, 8);
    self->model.places = kws_take(&room, widest, 4);
    self->model.values = kws_take(&room, widest, 4);
    self->model.low = kws_take(&room, widest, 4);
    self->model.high = kws_take(&room, widest, 4);
    self->model.sums = kws_take(&room, widest, 8);
    self->recent_features = kws_take(&room, RECENT * features, 4);
    self->recent_bits = kws_take(&room, RECENT * cells, 1);
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
        read_layer(&from, &m->pre);
        m->stages = stages;
        for (size_t b = 0; b < blocks; b++) {
            read_layer(&from, &stages[b].candidate);
            read_layer(&from, &stages[b].post);
            stages[b].cells = stages[b].candidate.n_out;
            stages[b].beta1 = numbers(&from, stages[b].cells, 8);
            stages[b].beta2 = numbers(&from, stages[b].cells, 8);
            stages[b].alpha = numbers(&from, stages[b].cells, 4);
            stages[b].initial = numbers(&from, stages[b].cells, 1);
        }
        read_layer(&from, &m->classifier);
        *made = self;
    }
    return (size_t)(room - memory);
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
    kws_network_more *more = &self->network.more;
    kws_network_reset(&self->network);
    memset(more->features, 0, m->features * sizeof *more->features);
    memset(more->products, 0, m->width * sizeof *more->products);
    memset(self->logits, 0, m->classes * sizeof *self->logits);
    self->frames = 0;
    if (keep_power)
        return;
    memset(more->inputs, 0, m->blocks * m->width * sizeof *more->inputs);
    memset(more->candidates, 0, m->cells * sizeof *more->candidates);
    memset(more->on, 0, m->cells * sizeof *more->on);
    memset(more->above, 0, m->width * sizeof *more->above);
    memset(more->below, 0, m->width * sizeof *more->below);
    self->power_frames = 0;
    self->recent_at = self->recent_frames = 0;
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
        kws_network_step(&self->network, self->features, self->logits);
        memcpy(self->recent_bits + (size_t)self->recent_at * m->cells, self->network.bits, m->cells);
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
            memcpy(rows->bits + row * m->cells, self->network.bits, m->cells);
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
        memcpy(bits, self->network.bits, m->cells);
}

int64_t kws_engine_power(const void *memory, int64_t *inputs, int64_t *candidates, int64_t *on,
                         int64_t *above, int64_t *below)
{
    const engine *self = memory;
    const struct kws_runtime *m = &self->model;
    const kws_network_more *more = &self->network.more;
    if (inputs == NULL)
        return self->power_frames;
    memcpy(inputs, more->inputs, m->blocks * m->width * sizeof *inputs);
    memcpy(candidates, more->candidates, m->cells * sizeof *candidates);
    memcpy(on, more->on, m->cells * sizeof *on);
    memcpy(above, more->above, m->width * sizeof *above);
    memcpy(below, more->below, m->width * sizeof *below);
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
