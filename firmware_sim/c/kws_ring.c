#include "kws_ring.h"

#include <string.h>

void kws_ring_reset(kws_ring *ring)
{
    memset(ring, 0, sizeof *ring);
}

size_t kws_ring_available(const kws_ring *ring)
{
    return ring->written - ring->read;
}

void kws_ring_push(kws_ring *ring, const int16_t *pcm, size_t n)
{
    size_t room = KWS_RING_SAMPLES - kws_ring_available(ring);
    uint32_t at = ring->written;
    if (n > room) {
        ring->lost += (uint32_t)(n - room);
        n = room;
    }
    for (size_t i = 0; i < n; i++)
        ring->samples[at++ % KWS_RING_SAMPLES] = pcm[i];
    ring->written = at; /* last: the reader sees whole samples */
}

size_t kws_ring_pop(kws_ring *ring, int16_t *pcm, size_t n)
{
    size_t available = kws_ring_available(ring);
    uint32_t at = ring->read;
    if (n > available)
        n = available;
    for (size_t i = 0; i < n; i++)
        pcm[i] = ring->samples[at++ % KWS_RING_SAMPLES];
    ring->read = at;
    return n;
}
