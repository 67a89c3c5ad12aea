/* Any model and its verifier at run time: 16-bit samples in; events out.
 *
 * An engine (kws_engine.h) triggers, and the verifier of the firmware, firmware_sim/c/kws_verifier.c,
 * compiled with KWS_RUNTIME and KWS_VERIFIER, confirms or rejects. Its numbers are a blob of their own
 * (kws_stream/engine/blob.py), and its state a piece of memory that the caller gives.
 */
#ifndef KWS_CASCADE_H
#define KWS_CASCADE_H

#include "kws_engine.h"

typedef struct {
    kws_engine_event trigger; /* its index counts events, confirmed ones where there is a verifier */
    uint32_t verifier_score;  /* units of 2^-16 */
    uint32_t filler;
    int64_t confirmed;        /* the frame at which it was; 0 without a verifier */
} kws_cascade_event;

/* Bytes that the second stage needs; 0 if the blob is none of this version. */
size_t kws_cascade_bytes(const void *blob, size_t size);

/* Makes a second stage in memory, aligned to 64 bytes as the blob, to which it keeps a pointer. */
void kws_cascade_init(void *memory, const void *blob);

/* Back to the start, together with kws_engine_reset. */
void kws_cascade_reset(void *memory);

/* Engine and second stage listen to n samples, or to fewer if the events are full; returns how many.
 * More events may wait where all n are taken and most_events came of them.
 *
 * memory: of the second stage, or NULL where every trigger is an event. rows: where each frame's
 * numbers go, over those of the frame before. deaf: if not 0, nothing new triggers, as at the end of
 * a stream. *frames and *triggers: how many there were. */
size_t kws_cascade_process(void *memory, void *engine, const int16_t *pcm, size_t n,
                           const kws_engine_rows *rows, int deaf, uint32_t *frames,
                           uint32_t *triggers, kws_cascade_event *events, size_t most_events,
                           size_t *n_events);

/* One score a keyword, units of 2^-16, of a window of 8-bit features (frames, channels). */
void kws_cascade_scores(void *memory, const uint8_t *window, int32_t *scores);

#endif
