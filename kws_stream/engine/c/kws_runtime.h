/* What a model's header is to the firmware, for any model: names of numbers that are read at run
 * time from the model that the thread works on. */
#ifndef KWS_RUNTIME_H
#define KWS_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef int32_t kws_weight;
typedef int32_t kws_wire;
typedef int64_t kws_sum;

#if defined(_MSC_VER)
#define KWS_THREAD __declspec(thread)
#elif defined(__wasm__)
#define KWS_THREAD
#else
#define KWS_THREAD __thread
#endif

/* out = (in . weight) 2^shift + bias. Rows of weights are n_out wide and `stride` apart. */
typedef struct {
    const int8_t *narrow;  /* or NULL */
    const kws_weight *wide; /* or NULL */
    const kws_sum *bias;
    uint32_t n_in, n_out, stride, shift;
    uint32_t limbs;        /* 15-bit parts of an input whose sums fit 32 bits; 0: none do */
} kws_layer;

/* What a network has beside its bits. */
typedef struct {
    int32_t *features; /* of the last frame */
    int64_t *products; /* theirs in the first layer */
    /* sums over frames, for power: of the rectified inputs and of the candidates of every block, of
     * the frames in which a cell was on, and of the classifier's inputs above and below 0 */
    int64_t *inputs, *candidates, *on, *above, *below;
    kws_wire *x, *in;  /* room to work in */
    kws_sum *out;
} kws_network_more;

struct kws_runtime;
extern KWS_THREAD const struct kws_runtime *kws_now;

/* A function that is also compiled for wider vectors, which the loader chooses where they are. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__)
#define KWS_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define KWS_CLONES
#endif

#define KWS_FILTER kws_filter_best
#define KWS_CHUNK 320u

#define KWS_ARRAY(type, name, size) type *name
#define KWS_SCRATCH(net, type, name, size) type *const name = (net)->more.name

#define KWS_BLOCK 8
#define KWS_FEATURES (kws_now->features)
#define KWS_WIDTH (kws_now->width)
#define KWS_BLOCKS (kws_now->blocks)
#define KWS_CELLS (kws_now->cells)
#define KWS_CLASSES (kws_now->classes)
#define KWS_LOGIT_FRACTION (kws_now->logit_fraction)
#define KWS_CHANNELS (kws_now->channels)
#define KWS_SLOW_COPIES (kws_now->slow_copies)
#define KWS_FRAME_SAMPLES (kws_now->frame_samples)
#define KWS_FRAME_MS (kws_now->frame_ms)
#define KWS_HALF_WAVE (kws_now->half_wave)
#define KWS_LOWPASS_GAIN (kws_now->lowpass_gain)
#define KWS_AGC_GAIN (kws_now->agc_gain)
#define KWS_START_ROOT (kws_now->start_root)
#define KWS_FLOOR (kws_now->floor)
#define KWS_OFFSET (kws_now->offset)
#define KWS_ROOT_OFFSET (kws_now->root_offset)
#define KWS_STEP_SHIFT (kws_now->step_shift)
#define KWS_HALF_STEP (kws_now->half_step)
#define KWS_FEATURE_MAX (kws_now->feature_max)
#define KWS_WINDOW (kws_now->window)
#define KWS_WARMUP (kws_now->warmup)
#define KWS_REFRACTORY (kws_now->refractory)
#define KWS_ONSET_MS (kws_now->onset_ms)
#define KWS_LINE 256

#define kws_pre (kws_now->pre)
#define kws_blocks (kws_now->stages)
#define kws_classifier (kws_now->classifier)
#define kws_bands (kws_now->bands)
#define kws_weights (kws_now->weights)
#define kws_slow_gains (kws_now->slow_gains)
#define kws_thresholds (kws_now->thresholds)
#define kws_rearms (kws_now->rearms)

#endif
