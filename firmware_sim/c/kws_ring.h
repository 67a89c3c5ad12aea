/* A ring of samples between an interrupt, which pushes, and the main loop, which pops.
 *
 * One writer and one reader on one core: each index is written by one side alone, so nothing has
 * to be locked. KWS_RING_SAMPLES is a power of two that holds three frames. A full ring drops the newest samples and counts them.
 */
#ifndef KWS_RING_H
#define KWS_RING_H

#include <stddef.h>
#include <stdint.h>

#include "kws_model.h"

typedef struct {
    int16_t samples[KWS_RING_SAMPLES];
    volatile uint32_t written, read; /* counts; they wrap, their difference does not mind */
    volatile uint32_t lost;
} kws_ring;

void kws_ring_reset(kws_ring *ring);
void kws_ring_push(kws_ring *ring, const int16_t *pcm, size_t n);
size_t kws_ring_available(const kws_ring *ring);

/* Copies up to n samples out; returns how many. */
size_t kws_ring_pop(kws_ring *ring, int16_t *pcm, size_t n);

#endif
