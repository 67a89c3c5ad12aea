/* Any model and its verifier at run time: see kws_cascade.h. */
#include "kws_cascade.h"
#include "kws_engine_model.h"

#include <string.h>

#define MAGIC 0x3156574b /* KWV1, little-endian */

KWS_THREAD const kws_verifier_model *kws_verifier_now;

enum {
    HEAD_MAGIC, HEAD_SIZE, HEAD_LAYERS, HEAD_FRAMES, HEAD_CHANNELS, HEAD_KEYWORDS, HEAD_LOOKS,
    HEAD_WAIT, HEAD_WIDEST, HEAD_ROOM, HEAD_THRESHOLD, HEAD_FEATURES, HEAD_CLASSES, HEAD_COUNT = 16
};

typedef struct {
    kws_verifier_model model;
    kws_verifier verifier;
    kws_convolution *layers;
    int32_t *features; /* of the last frame */
} cascade;

/* The next part of the blob; each is filled up to 64 bytes. */
static const void *numbers(const char **at, size_t count, size_t size)
{
    const void *found = *at;
    *at += (count * size + 63) / 64 * 64;
    return found;
}

/* The arrays of a second stage; returns the bytes that it takes. */
static size_t lay_out(cascade *self, char *memory, const int64_t *head)
{
    char *at = memory;
    kws_take(&at, 1, sizeof *self);
    self->layers = kws_take(&at, (size_t)head[HEAD_LAYERS], sizeof *self->layers);
    self->model.sum = kws_take(&at, (size_t)head[HEAD_WIDEST], 4);
    self->model.scores = kws_take(&at, (size_t)head[HEAD_KEYWORDS], 4);
    self->model.room = kws_take(&at, (size_t)head[HEAD_ROOM], 1);
    self->model.ordered = kws_take(&at, (size_t)head[HEAD_ROOM], 1);
    self->verifier.codes = kws_take(&at, (size_t)(head[HEAD_FRAMES] * head[HEAD_CHANNELS]), 1);
    self->verifier.triggers =
        kws_take(&at, (size_t)head[HEAD_WAIT] + 1, sizeof *self->verifier.triggers);
    self->features = kws_take(&at, (size_t)head[HEAD_FEATURES], 4);
    return (size_t)(at - memory);
}

size_t kws_cascade_bytes(const void *blob, size_t size)
{
    const int64_t *head = blob;
    if (size < HEAD_COUNT * 8 || head[HEAD_MAGIC] != MAGIC || (size_t)head[HEAD_SIZE] != size)
        return 0;
    static char nowhere[1];
    cascade unused;
    return lay_out(&unused, nowhere, head);
}

void kws_cascade_init(void *memory, const void *blob)
{
    cascade *self = memory;
    kws_verifier_model *model = &self->model;
    const char *from = blob;
    const int64_t *head = numbers(&from, HEAD_COUNT, 8);

    lay_out(self, memory, head);
    model->count = (uint32_t)head[HEAD_LAYERS];
    model->frames = (uint32_t)head[HEAD_FRAMES];
    model->codes = (uint32_t)(head[HEAD_FRAMES] * head[HEAD_CHANNELS]);
    model->keywords = (uint32_t)head[HEAD_KEYWORDS];
    model->n_looks = (uint32_t)head[HEAD_LOOKS];
    model->threshold = (int32_t)head[HEAD_THRESHOLD];
    model->looks = numbers(&from, model->n_looks, 2);
    model->rows = numbers(&from, (size_t)head[HEAD_CLASSES], 1);
    model->layers = self->layers;
    for (uint32_t l = 0; l < model->count; l++) {
        const int64_t *sizes = numbers(&from, 5, 8);
        kws_convolution *layer = &self->layers[l];
        layer->taps = (uint16_t)sizes[0];
        layer->stride = (uint16_t)sizes[1];
        layer->n_in = (uint16_t)sizes[2];
        layer->n_out = (uint16_t)sizes[3];
        layer->depthwise = (uint8_t)sizes[4];
        const size_t inputs = layer->depthwise ? 1 : layer->n_in;
        layer->weight = numbers(&from, layer->taps * inputs * layer->n_out, 1);
        layer->bias = numbers(&from, layer->n_out, 4);
        layer->shift = numbers(&from, layer->n_out, 1);
    }
    kws_cascade_reset(memory);
}

void kws_cascade_reset(void *memory)
{
    cascade *self = memory;
    kws_verifier_now = &self->model;
    kws_verifier_reset(&self->verifier);
}

void kws_cascade_scores(void *memory, const uint8_t *window, int32_t *scores)
{
    cascade *self = memory;
    kws_verifier_now = &self->model;
    memcpy(self->model.ordered, window, self->model.codes);
    kws_verifier_scores(self->model.ordered, scores);
}

/* One more event if there is room and one that was confirmed. */
static int confirm(cascade *self, kws_cascade_event *found)
{
    kws_event event;
    if (!kws_verifier_take(&self->verifier, &event))
        return 0;
    found->trigger.keyword = event.keyword;
    found->trigger.score = event.score;
    found->trigger.index = event.index;
    found->trigger.filler = found->filler = 0;
    found->trigger.frame = (int64_t)event.time_ms;
    found->trigger.low = (int64_t)event.start_ms;
    found->verifier_score = event.verifier_score;
    found->confirmed = (int64_t)self->verifier.frames;
    return 1;
}

/* A frame and what the engine triggered on in it, or NULL. The verifier passes times through: here
 * they are frames. */
static void judge(cascade *self, const kws_engine_event *trigger)
{
    kws_event event;
    if (trigger == NULL) {
        kws_verifier_step(&self->verifier, self->features, NULL);
        return;
    }
    event.keyword = trigger->keyword;
    event.score = trigger->score;
    event.index = trigger->index;
    event.time_ms = (uint64_t)trigger->frame;
    event.start_ms = (uint64_t)trigger->low;
    event.verifier_score = 0;
    event.confirmed_ms = 0;
    kws_verifier_step(&self->verifier, self->features, &event);
}

size_t kws_cascade_process(void *memory, void *engine, const int16_t *pcm, size_t n,
                           const kws_engine_rows *rows, int deaf, uint32_t *frames,
                           uint32_t *triggers, kws_cascade_event *events, size_t most_events,
                           size_t *n_events)
{
    cascade *self = memory;
    size_t used = 0;
    *frames = *triggers = 0;
    *n_events = 0;
    if (self != NULL)
        kws_verifier_now = &self->model;
    for (;;) {
        kws_engine_rows row = *rows;
        kws_engine_event trigger;
        size_t ready, fired;
        /* those of the last frame first, if there was no room for them */
        while (self != NULL && *n_events < most_events && confirm(self, &events[*n_events]))
            ++*n_events;
        if (used == n || *n_events == most_events)
            return used;
        if (self != NULL)
            row.features = self->features;
        used += kws_engine_process(engine, pcm + used, n - used, &row, 1, &ready, &trigger, 1,
                                   &fired);
        if (!ready)
            continue;
        ++*frames;
        fired = fired && !deaf;
        *triggers += (uint32_t)fired;
        if (self != NULL) {
            judge(self, fired ? &trigger : NULL);
            if (rows->features != NULL)
                memcpy(rows->features, self->features, KWS_FEATURES * sizeof *self->features);
        } else if (fired) {
            kws_cascade_event *found = &events[(*n_events)++];
            memset(found, 0, sizeof *found);
            found->trigger = trigger;
        }
    }
}
