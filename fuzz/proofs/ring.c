/* The ring, from every state that it can be in: counters that wrap included. */
#include "kws_ring.h"

#include <stdlib.h>

uint32_t nondet_uint32(void);
size_t nondet_size(void);

void proof(void)
{
    kws_ring ring;
    ring.written = nondet_uint32();
    ring.read = nondet_uint32();
    ring.lost = nondet_uint32();
    const uint32_t before = ring.written - ring.read, lost = ring.lost;
    __CPROVER_assume(before <= KWS_RING_SAMPLES);

    /* what is pushed, at most two samples too many for an empty ring */
    const size_t n = nondet_size();
    __CPROVER_assume(n <= KWS_RING_SAMPLES + 2);
    int16_t *pcm = malloc(n * sizeof *pcm);
    __CPROVER_assume(pcm != NULL);
    kws_ring_push(&ring, pcm, n);
    const size_t held = kws_ring_available(&ring);
    __CPROVER_assert(held <= KWS_RING_SAMPLES, "a ring holds no more than its room");
    __CPROVER_assert(held + (uint32_t)(ring.lost - lost) == before + n, "each sample is held or counted");

    /* one of the samples that were taken, and its place among what comes out */
    const size_t which = nondet_size(), wanted = nondet_size();
    __CPROVER_assume(which < held - before && wanted <= KWS_RING_SAMPLES + 2);
    int16_t *out = malloc(wanted * sizeof *out);
    __CPROVER_assume(out != NULL);
    const size_t got = kws_ring_pop(&ring, out, wanted);
    __CPROVER_assert(got == (wanted < held ? wanted : held), "as many as are wanted and there");
    __CPROVER_assert(kws_ring_available(&ring) == held - got, "what came out is gone");
    if (before + which < got)
        __CPROVER_assert(out[before + which] == pcm[which], "samples keep their order");
}
