/* The analog-style filterbank and its gain control, in fixed point.
 *
 * A product keeps 64 bits, and what a shift drops is kept for the next sample, so that slow
 * filters neither stick nor drift. Ranges were proved when the model was exported.
 */
#include "kws.h"

#include <string.h>

#define CHUNK 32u /* samples worked through at once: bounds the stack */

/* floor(value / 2^bits): a right shift of negative numbers that every compiler agrees on */
static int64_t floor_shift(int64_t value, unsigned bits)
{
    return value >= 0 ? value >> bits : ~(~value >> bits);
}

/* One step of a one-pole low-pass: the state is 2^31 finer than its input. */
static int64_t follow(int64_t state, int32_t input, int32_t gain)
{
    return state + (input - floor_shift(state, 31)) * gain;
}

/* floor(sqrt(value)), a bit at a time */
static uint32_t root(uint64_t value)
{
    uint64_t result = 0, bit = (uint64_t)1 << 62;
    while (bit > value)
        bit >>= 2;
    for (; bit != 0; bit >>= 2) {
        if (value >= result + bit) {
            value -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return (uint32_t)result;
}

void kws_front_end_reset(kws_front_end *front_end)
{
    memset(front_end, 0, sizeof *front_end);
    for (unsigned c = 0; c < KWS_CHANNELS; c++)
        front_end->channels[c].level = (int64_t)KWS_START_LEVEL << 31;
}

static void filter(kws_channel *channel, const kws_band *band, const int32_t *difference,
                   unsigned n)
{
    int32_t y1 = channel->y1, y2 = channel->y2;
    uint32_t residue = channel->residue;
    int64_t envelope = channel->envelope;

    for (unsigned i = 0; i < n; i++) {
        int64_t sum = (int64_t)band->b0 * difference[i] + (int64_t)band->c1 * y1 +
                      (int64_t)band->c2 * y2 + residue;
        int32_t y = (int32_t)floor_shift(sum, 30);
        residue = (uint32_t)sum & 0x3fffffffu;
        y2 = y1;
        y1 = y;
        if (y < 0)
            y = KWS_HALF_WAVE ? 0 : -y;
        envelope = follow(envelope, y, KWS_LOWPASS_GAIN);
    }
    channel->y1 = y1;
    channel->y2 = y2;
    channel->residue = residue;
    channel->envelope = envelope;
}

static int32_t on_grid(int64_t value)
{
    int64_t code = (value + KWS_HALF_STEP) >> KWS_STEP_SHIFT;
    return code < KWS_FEATURE_MAX ? (int32_t)code : KWS_FEATURE_MAX;
}

/* Gain control, compression and slow copies of one channel, once a frame. */
static void condition(kws_channel *channel, int32_t *feature)
{
    int32_t envelope = (int32_t)floor_shift(channel->envelope, 31);
    channel->level = follow(channel->level, envelope, KWS_AGC_GAIN);
    uint64_t under = (uint64_t)floor_shift(channel->level, 31) + KWS_FLOOR;
    uint64_t ratio = ((uint64_t)envelope << 32) / under;
    int32_t value = (int32_t)(root((ratio + KWS_OFFSET) << 16) - KWS_ROOT_OFFSET);
    feature[0] = on_grid(value);
    for (int s = 0; s < KWS_SLOW_COPIES; s++) {
        channel->slow[s] = follow(channel->slow[s], value, kws_slow_gains[s]);
        feature[(s + 1) * KWS_CHANNELS] = on_grid(floor_shift(channel->slow[s], 31));
    }
}

size_t kws_front_end_process(kws_front_end *front_end, const int16_t *pcm, size_t n,
                             int32_t features[KWS_FEATURES], int *ready)
{
    size_t used = 0;
    *ready = 0;
    if (n > (size_t)(KWS_FRAME_SAMPLES - front_end->filled))
        n = (size_t)(KWS_FRAME_SAMPLES - front_end->filled);
    while (used < n) {
        int32_t difference[CHUNK];
        unsigned length = 0;
        for (; length < CHUNK && used < n; length++, used++) {
            int64_t emphasis = (int64_t)front_end->last * KWS_PREEMPHASIS;
            int32_t u = pcm[used] * (1 << KWS_SAMPLE_FRACTION) -
                        (int32_t)floor_shift(emphasis + (1 << (29 - KWS_SAMPLE_FRACTION)),
                                             30 - KWS_SAMPLE_FRACTION);
            difference[length] = u - front_end->u2;
            front_end->u2 = front_end->u1;
            front_end->u1 = u;
            front_end->last = pcm[used];
        }
        for (unsigned c = 0; c < KWS_CHANNELS; c++)
            filter(&front_end->channels[c], &kws_bands[c], difference, length);
    }
    front_end->filled = (uint16_t)(front_end->filled + n);
    if (front_end->filled == KWS_FRAME_SAMPLES) {
        front_end->filled = 0;
        *ready = 1;
        for (unsigned c = 0; c < KWS_CHANNELS; c++)
            condition(&front_end->channels[c], &features[c]);
    }
    return n;
}
