/* Any model at run time: 16-bit samples in; events, and what led to them, out.
 *
 * A model is a blob of numbers (kws_stream/engine/blob.py writes it, in the byte order of the
 * machine). An engine is a piece of memory that the caller gives; nothing is allocated here. Front
 * end, network and detector are the sources of the exported firmware, in firmware_sim/c, compiled
 * with KWS_RUNTIME; build them together, in firmware_sim/c:
 *
 *     e=../../kws_stream/engine/c
 *     cc -O3 -DKWS_RUNTIME -I. -I$e kws_front_end.c kws_network.c kws_detector.c
 *        $e/kws_engine.c $e/kws_simd.c
 */
#ifndef KWS_ENGINE_H
#define KWS_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Counts up with every change of what is declared here or in kws_chip.h, or of the blob:
 * kws_stream/engine/__init__.py asks for it, so that it takes no extension of another version. */
enum { KWS_ENGINE_VERSION = 6 };

typedef struct {
    int32_t keyword;   /* index of the class */
    uint32_t score;    /* units of 2^-24 */
    uint32_t index;    /* count of events since the reset */
    uint32_t filler;
    int64_t frame;     /* frames since the reset, this one included */
    int64_t low;       /* last frame before it with a score below the re-arming level */
} kws_engine_event;

/* Where each frame's numbers go, one row a frame; any may be NULL. */
typedef struct {
    int32_t *features; /* steps of the grid */
    int64_t *logits;   /* units of 2^-logit_fraction */
    uint32_t *scores;  /* smoothed, 2^-24 */
    uint8_t *bits;     /* a byte a cell */
} kws_engine_rows;

/* Bytes that an engine of this model needs; 0 if the blob is none of this version. */
size_t kws_engine_bytes(const void *blob, size_t size);

/* Makes an engine in memory, aligned to 64 bytes; it keeps a pointer to the blob, aligned too. */
void kws_engine_init(void *memory, const void *blob);

/* For memory that holds the copy of an engine of this blob: makes the copy one that runs. */
void kws_engine_adopt(void *memory, const void *blob);

/* Back to the start; the sums for power go on if keep_power is not 0. */
void kws_engine_reset(void *memory, int keep_power);

/* Listens to n samples, or to fewer if the rows or events are full; returns how many. */
size_t kws_engine_process(void *memory, const int16_t *pcm, size_t n,
                          const kws_engine_rows *rows, size_t most_frames, size_t *frames,
                          kws_engine_event *events, size_t most_events, size_t *n_events);

/* As kws_engine_process, for events alone. Returns how many there are; *used: samples listened to,
 * all n where fewer than most_events came of them. */
size_t kws_engine_hear(void *memory, const int16_t *pcm, size_t n, kws_engine_event *events,
                       size_t most_events, size_t *used);

/* Frames since the reset. */
int64_t kws_engine_frames(const void *memory);

/* A keyword's least score that fires, and the least that does not re-arm it: 2^-24. */
void kws_engine_threshold(void *memory, unsigned keyword, uint32_t threshold, uint32_t rearm);

/* What the last frame left: logits, smoothed scores, bits; each may be NULL. */
void kws_engine_last(const void *memory, int64_t *logits, uint32_t *scores, uint8_t *bits);

/* Sums over all frames, and their number: the rectified inputs and the candidates of every block,
 * the frames in which a cell was on, and the classifier's inputs above and below 0. With NULL only the number. */
int64_t kws_engine_power(const void *memory, int64_t *inputs, int64_t *candidates, int64_t *on,
                         int64_t *above, int64_t *below);

/* Features and bits of the last frames (128 at most), the oldest first; returns how many. */
int kws_engine_recent(const void *memory, int32_t *features, uint8_t *bits);

#endif
