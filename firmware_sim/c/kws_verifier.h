/* The second stage: a small convolutional network that hears each trigger again, in integers.
 *
 * It keeps the features of the last KWS_VERIFIER_FRAMES frames, 8 bits a channel, and runs only where
 * the first stage has triggered. Included by kws.h where the model has a verifier.
 */
#ifndef KWS_VERIFIER_H
#define KWS_VERIFIER_H

/* A convolution over time: weight is (taps, n_in, n_out), or (taps, n_out) of a depthwise one. No sum
 * exceeds 32 bits: that was proved when the model was exported. */
typedef struct {
    const int8_t *weight;
    const int32_t *bias;
    const uint8_t *shift;
    uint16_t taps, stride, n_in, n_out;
    uint8_t depthwise;
} kws_convolution;

#ifdef KWS_RUNTIME
#include "kws_verifier_runtime.h" /* any verifier, read at run time: kws_cascade.h */
#else
#define KWS_VERIFIER_SCRATCH(type, name, size) type name[size]
#define KWS_VERIFIER_CODES (KWS_VERIFIER_FRAMES * KWS_CHANNELS)
extern const kws_convolution kws_verifier_layers[KWS_VERIFIER_LAYERS];
extern const uint16_t kws_verifier_looks[KWS_VERIFIER_LOOKS]; /* frames after a trigger */
extern const uint8_t kws_verifier_rows[KWS_CLASSES]; /* which score is a class's */
#endif

typedef struct {
    kws_event event;
    uint16_t age, look; /* frames since the trigger; looks it has had */
    uint8_t confirmed;
} kws_trigger;

typedef struct {
    KWS_ARRAY(uint8_t, codes, KWS_VERIFIER_CODES); /* a row a frame; a ring */
    KWS_ARRAY(kws_trigger, triggers, KWS_VERIFIER_WAIT + 1); /* one a frame; the oldest first */
    uint64_t frames;
    uint32_t events;    /* confirmed */
    uint32_t decisions; /* triggers that were judged */
    uint32_t at; /* where the next row goes */
    uint16_t waiting;
} kws_verifier;

void kws_verifier_reset(kws_verifier *verifier);

/* One score a keyword, units of 2^-16, of features (KWS_VERIFIER_FRAMES, KWS_CHANNELS), which are
 * overwritten: KWS_VERIFIER_ROOM codes and KWS_VERIFIER_KEYWORDS scores. */
void kws_verifier_scores(uint8_t *codes, int32_t *scores);

/* One frame, and what the first stage triggered on in it, or NULL. */
void kws_verifier_step(kws_verifier *verifier, const int32_t *features, const kws_event *trigger);

/* The next event that was confirmed; returns 0 where there is none. */
int kws_verifier_take(kws_verifier *verifier, kws_event *event);

#endif
