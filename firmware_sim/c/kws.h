/* A streaming keyword spotter: front end, network and detector in integers.
 *
 * C99; no heap, no floating point, and of the library <string.h> alone. All state is in the
 * structures below, so several spotters can run side by side. kws_model.h and kws_model.c hold
 * the numbers of one model; everything else is the same for every model.
 */
#ifndef KWS_H
#define KWS_H

#include <stddef.h>
#include <stdint.h>

#ifdef KWS_RUNTIME
#include "kws_runtime.h" /* any model, read at run time: how to build it is in kws_engine.h */
#else
#include "kws_model.h"
#define KWS_ARRAY(type, name, size) type name[size]
#endif

/* ---- the model's constants, in kws_model.c ---- */

#ifndef KWS_RUNTIME
/* out = (in . weight) * gain + bias; weight is (n_in, n_out), gain a power of two. */
typedef struct {
    const kws_weight *weight;
    const kws_sum *bias;
    kws_sum gain;
    uint16_t n_in, n_out;
} kws_layer;
#endif

/* Cells compare with beta1 while on, with beta2 while off; alpha is their state current. */
typedef struct {
    kws_layer candidate, post;
    const kws_sum *beta1, *beta2;
    const kws_wire *alpha;
    const uint8_t *initial;
    uint32_t cells;
} kws_block;

#ifndef KWS_RUNTIME
extern const kws_layer kws_pre, kws_classifier;
extern const kws_block kws_blocks[];
#endif

/* A band-pass over a block of samples x_0 ... x_7, behind x_-1; `re` and `im` are its mode, doubled.
 *
 * y_n = sum of taps[n - k] x_k / 2^tap_shift + re turn / 2^16 + im turn / 2^16, with the pair of
 * turn for n, and the first output has first[0] x_-1 in its sum; each quotient is rounded down.
 * taps are for processors without those instructions. The next mode is
 * 2 ((pole mode) / 2^32, rounded to nearest, + sum of into[.][k] x_k / 2^into_shift, rounded
 * down). */
typedef struct {
    int16_t taps[KWS_BLOCK];
    int16_t odd[KWS_BLOCK]; /* pairs for Arm's DSP instructions: taps 1 0, 3 2, 5 4, 7 6 */
    int16_t even[KWS_BLOCK]; /* 0 -, 2 1, 4 3, 6 5 */
    int16_t turn[2 * KWS_BLOCK]; /* of the outputs 0 2 4 6, then of 1 3 5 7 */
    int16_t into[2][KWS_BLOCK];
    int32_t pole[2];
    int16_t first[2]; /* of x_-1 and x_0 in the first output */
    uint8_t tap_shift, into_shift;
} kws_band;

#ifndef KWS_RUNTIME
extern const kws_band kws_bands[KWS_CHANNELS];
extern const uint32_t kws_weights[]; /* of the half blocks of a frame; their sum is 2^32 */
extern const int32_t kws_slow_gains[KWS_SLOW_COPIES + 1];
extern const char *const kws_class_names[KWS_CLASSES];
extern const uint32_t kws_thresholds[KWS_CLASSES]; /* score that fires, units of 2^-24 */
extern const uint32_t kws_rearms[KWS_CLASSES];     /* score below which a class arms again */
#endif

/* ---- network ---- */

typedef struct {
    KWS_ARRAY(uint8_t, bits, KWS_CELLS + 1); /* the state: one bit a cell, block after block */
#ifdef KWS_RUNTIME
    kws_network_more more;
#endif
} kws_network;

void kws_network_reset(kws_network *net);

/* One frame: KWS_FEATURES features in steps of the input grid -> KWS_CLASSES logits in units of
 * 2^-KWS_LOGIT_FRACTION. */
void kws_network_step(kws_network *net, const int32_t *features,
                      kws_sum *logits);

/* ---- front end ---- */

typedef struct {
    int32_t re, im; /* the mode at the start of the block, doubled */
    uint32_t mean;  /* of the frame so far, weighted */
} kws_mode;

typedef struct {
    KWS_ARRAY(int64_t, envelope, KWS_CHANNELS); /* 2^31 finer than its unit */
    KWS_ARRAY(int64_t, level, KWS_CHANNELS);    /* of the gain control, as envelope */
    KWS_ARRAY(int64_t, slow, KWS_CHANNELS * KWS_SLOW_COPIES + 1); /* 2^-51 */
    KWS_ARRAY(kws_mode, modes, KWS_CHANNELS);
    int16_t last;               /* sample before the block */
    int16_t block[KWS_BLOCK];   /* as much of it as is there */
    uint16_t filled;            /* samples of the frame so far */
} kws_front_end;

void kws_front_end_reset(kws_front_end *front_end);

/* The filterbank over whole blocks from x[0] on; x[-1] is the sample before them, weights those of
 * their halves. A step of kws_front_end_process. */
void kws_filter(kws_front_end *front_end, const int16_t *x, unsigned blocks,
                const uint32_t *weights);

/* Takes samples up to the end of a frame; returns how many. *ready: a frame of features is out. */
size_t kws_front_end_process(kws_front_end *front_end, const int16_t *pcm, size_t n,
                             int32_t *features, int *ready);

/* ---- detector ---- */

typedef struct {
    int keyword;       /* index of the class; KWS_NONE: nothing fired */
    uint32_t score;    /* units of 2^-24 */
    uint64_t time_ms;  /* end of the frame that fired, since the reset */
    uint64_t start_ms; /* estimated start of the word */
    uint32_t index;    /* 0-based count of events since the reset */
#ifdef KWS_VERIFIER
    uint32_t verifier_score; /* that confirmed it, units of 2^-16 */
    uint64_t confirmed_ms;   /* end of the frame at which it did */
#endif
} kws_event;

#define KWS_NONE (-1)

typedef struct {
    KWS_ARRAY(kws_sum, recent, KWS_WINDOW * KWS_CLASSES); /* a row a frame */
    KWS_ARRAY(int64_t, sums, KWS_CLASSES);    /* of the logits in the window */
    KWS_ARRAY(uint32_t, scores, KWS_CLASSES); /* smoothed, units of 2^-24 */
    KWS_ARRAY(int64_t, low, KWS_CLASSES);     /* last frame below the re-arming level */
    KWS_ARRAY(int64_t, fired, KWS_CLASSES);   /* last frame at which the class fired */
    int64_t frames;
    uint32_t events;
    uint16_t at;
} kws_detector;

void kws_detector_reset(kws_detector *detector);

/* One frame; returns 1 if a keyword fired, which *event then describes. */
int kws_detector_step(kws_detector *detector, const kws_sum *logits,
                      kws_event *event);

#ifdef KWS_VERIFIER
#include "kws_verifier.h"
#endif

/* ---- all together ---- */

typedef struct {
    kws_front_end front_end;
    kws_network network;
    kws_detector detector;
#ifdef KWS_VERIFIER
    kws_verifier verifier; /* only what it confirms is an event */
#endif
} kws_spotter;

void kws_init(kws_spotter *spotter);

/* Listens to samples (16 kHz, mono); returns how many were taken: all n, or those up to an event,
 * which *event then describes. event->keyword is KWS_NONE if nothing fired. */
size_t kws_process(kws_spotter *spotter, const int16_t *pcm, size_t n, kws_event *event);

/* The end of a recording, which a live stream never has: silence for a word that ends with it.
 * *left: samples of it that are to come, KWS_FINISH at first. Returns 1 for an event, which *event
 * then describes, and wants to be called again; 0 when all is heard. Then kws_init, to go on. */
int kws_finish(kws_spotter *spotter, size_t *left, kws_event *event);

/* A sample from two bytes of little-endian 16-bit PCM. */
int16_t kws_sample(const unsigned char bytes[2]);

/* ---- event output ---- */

/* Writes "  4.66 s  yes  score 0.77  (from 4.32 s)\n" and a zero; returns the length. A line that
 * does not fit is cut. */
size_t kws_format(const kws_event *event, char line[KWS_LINE]);

#endif
