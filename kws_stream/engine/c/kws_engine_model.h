/* The model that the macros of kws_runtime.h read, and the network's part of it. */
#ifndef KWS_ENGINE_MODEL_H
#define KWS_ENGINE_MODEL_H

#include "kws.h"
#include "kws_engine.h"

#include <math.h>

#define KWS_BLOB_MAGIC 0x3353574b /* KWS3, little-endian */

/* floor(2^24 n / d) */
static inline uint64_t kws_quotient(uint32_t n, uint32_t d)
{
    return ((uint64_t)n << 24) / d;
}

/* floor(sqrt(value)) for value < 2^52: exact in double precision, since the root of k^2 - 1 is
 * further below k <= 2^26 than it is rounded by */
static inline uint32_t kws_root(uint64_t value)
{
    return (uint32_t)sqrt((double)value);
}

#define KWS_QUOTIENT kws_quotient
#define KWS_ROOT kws_root

void kws_filter_best(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                     const uint32_t *weights);

/* What the fuzzing targets define, so that a step beside a piece of memory is seen: it closes the
 * bytes from `at` on, and pieces are that far apart. */
#ifndef KWS_FENCE
#define KWS_FENCE(at, bytes) ((void)0)
#define KWS_FENCE_BYTES 0
#endif

/* The next piece of the memory at *at; each is filled up to 64 bytes. */
static inline void *kws_take(char **at, size_t count, size_t size)
{
    char *const taken = *at;
    const size_t whole = (count * size + 63) / 64 * 64 + KWS_FENCE_BYTES;
    KWS_FENCE(taken + count * size, whole - count * size);
    *at += whole;
    return taken;
}

struct kws_runtime {
    uint32_t features, width, blocks, cells, classes, channels, slow_copies, frame_samples;
    uint32_t widest;
    int32_t logit_fraction, half_wave, lowpass_gain, agc_gain, start_root, root_offset;
    int32_t step_shift, half_step, feature_max;
    uint32_t floor;
    uint64_t offset;
    uint32_t window;
    int64_t warmup, refractory, frame_ms, onset_ms;
    const kws_band *bands;
    const uint32_t *weights;
    const int32_t *slow_gains;
    uint32_t *thresholds, *rearms;
    kws_layer pre, classifier;
    kws_block *stages;
    uint32_t *places; /* room to work in, for kws_layers.h */
    int32_t *values, *low, *high;
    int64_t *sums;
};

#endif
