/* The verifier's network and its queue of triggers: docs/cascade.md has the equations. */
#include "kws.h"
#ifdef KWS_RUNTIME
#include "kws_engine_model.h"
#endif

#include <string.h>

/* (a + half) >> shift of one frame of a layer, from its first input on. */
static void convolve(const kws_convolution *layer, const uint8_t *in, int32_t *sum)
{
    const int8_t *weight = layer->weight;
    const unsigned n_out = layer->n_out;
    for (unsigned j = 0; j < n_out; j++)
        sum[j] = layer->bias[j] + (((int32_t)1 << layer->shift[j]) >> 1);
    if (layer->depthwise) {
        for (unsigned u = 0; u < layer->taps; u++, in += n_out, weight += n_out)
            for (unsigned j = 0; j < n_out; j++)
                sum[j] += (int32_t)weight[j] * in[j];
    } else {
        for (unsigned i = 0; i < (unsigned)layer->taps * layer->n_in; i++, weight += n_out) {
            const int32_t value = in[i];
            if (value == 0)
                continue;
            for (unsigned j = 0; j < n_out; j++)
                sum[j] += weight[j] * value;
        }
    }
    for (unsigned j = 0; j < n_out; j++)
        sum[j] >>= layer->shift[j];
}

void kws_verifier_scores(uint8_t *codes, int32_t *scores)
{
    KWS_VERIFIER_SCRATCH(int32_t, sum, KWS_VERIFIER_WIDEST);
    KWS_VERIFIER_SCRATCH(uint8_t, room, KWS_VERIFIER_ROOM);
    uint8_t *in = codes, *out = room;
    unsigned frames = KWS_VERIFIER_FRAMES;

    for (unsigned l = 0; l + 1 < KWS_VERIFIER_LAYERS; l++) {
        const kws_convolution *layer = &kws_verifier_layers[l];
        uint8_t *to = out;
        frames = (frames - layer->taps) / layer->stride + 1;
        for (unsigned t = 0; t < frames; t++) {
            convolve(layer, in + (size_t)t * layer->stride * layer->n_in, sum);
            for (unsigned j = 0; j < layer->n_out; j++)
                *to++ = (uint8_t)(sum[j] < 0 ? 0 : sum[j] > 255 ? 255 : sum[j]);
        }
        to = in;
        in = out;
        out = to;
    }
    convolve(&kws_verifier_layers[KWS_VERIFIER_LAYERS - 1], in, sum);
    for (unsigned k = 0; k < KWS_VERIFIER_KEYWORDS; k++) {
        const int32_t limited = sum[k] < -32768 ? -32768 : sum[k] > 32768 ? 32768 : sum[k];
        scores[k] = limited + 32768;
    }
}

void kws_verifier_reset(kws_verifier *verifier)
{
    memset(verifier->codes, 0, KWS_VERIFIER_CODES);
    verifier->frames = 0;
    verifier->events = verifier->decisions = verifier->at = 0;
    verifier->waiting = 0;
}

/* The scores at the last frame: the ring in the order of time, with room for any layer. */
static void look(const kws_verifier *verifier, int32_t *scores)
{
    KWS_VERIFIER_SCRATCH(uint8_t, ordered, KWS_VERIFIER_ROOM);
    const size_t old = KWS_VERIFIER_CODES - verifier->at;
    memcpy(ordered, verifier->codes + verifier->at, old);
    memcpy(ordered + old, verifier->codes, verifier->at);
    kws_verifier_scores(ordered, scores);
}

void kws_verifier_step(kws_verifier *verifier, const int32_t *features, const kws_event *trigger)
{
    KWS_VERIFIER_SCRATCH(int32_t, scores, KWS_VERIFIER_KEYWORDS);
    int scored = 0;
    unsigned kept = 0;

    verifier->frames++;
    for (unsigned i = 0; i < KWS_CHANNELS; i++)
        verifier->codes[verifier->at + i] = (uint8_t)features[i];
    verifier->at = (uint32_t)((verifier->at + KWS_CHANNELS) % KWS_VERIFIER_CODES);
    if (trigger != NULL) {
        kws_trigger *added = &verifier->triggers[verifier->waiting++];
        memset(added, 0, sizeof *added);
        added->event = *trigger;
    }
    for (unsigned i = 0; i < verifier->waiting; i++) {
        kws_trigger one = verifier->triggers[i];
        if (one.age++ == kws_verifier_looks[one.look]) {
            const unsigned row = kws_verifier_rows[one.event.keyword];
            if (!scored)
                look(verifier, scores);
            scored = 1;
            one.confirmed = scores[row] >= KWS_VERIFIER_THRESHOLD;
            one.look++;
            verifier->decisions += one.confirmed || one.look == KWS_VERIFIER_LOOKS;
            if (one.confirmed) {
                one.event.verifier_score = (uint32_t)scores[row];
                one.event.confirmed_ms = verifier->frames * KWS_FRAME_MS;
                one.event.index = verifier->events++;
            } else if (one.look == KWS_VERIFIER_LOOKS) {
                continue;
            }
        }
        verifier->triggers[kept++] = one;
    }
    verifier->waiting = (uint16_t)kept;
}

int kws_verifier_take(kws_verifier *verifier, kws_event *event)
{
    for (unsigned i = 0; i < verifier->waiting; i++) {
        if (!verifier->triggers[i].confirmed)
            continue;
        *event = verifier->triggers[i].event;
        verifier->waiting--;
        memmove(&verifier->triggers[i], &verifier->triggers[i + 1],
                (verifier->waiting - i) * sizeof verifier->triggers[0]);
        return 1;
    }
    return 0;
}
