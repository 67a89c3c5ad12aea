/* The main loop of a device: asleep until an interrupt has brought enough samples.
 *
 *     interrupt:  kws_loop_samples(&loop, pcm, n);        a DMA half-buffer, say
 *     main:       kws_loop_init(&loop, &board);
 *                 for (;;) kws_loop_once(&loop);
 */
#ifndef KWS_LOOP_H
#define KWS_LOOP_H

#include "kws.h"
#include "kws_ring.h"

/* What the loop needs of a board. */
typedef struct {
    void *context;
    /* Returns when *wake is not 0. It checks with interrupts masked and sleeps then (on Cortex-M:
     * cpsid i; if (!*wake) wfi; cpsie i), so that no interrupt slips in between. */
    void (*sleep)(void *context, const volatile int *wake);
    /* Sends one character, as of a UART. */
    void (*put)(void *context, char character);
} kws_board;

typedef struct {
    kws_spotter spotter;
    kws_ring ring;
    const kws_board *board;
    volatile int wake;     /* set by the interrupt: a frame's worth of samples is there */
    uint32_t wakes;        /* how often the loop was woken */
    uint32_t reported_lost;
} kws_loop;

void kws_loop_init(kws_loop *loop, const kws_board *board);

/* For the interrupt: queues samples, and wakes the loop once a frame's worth is queued. */
void kws_loop_samples(kws_loop *loop, const int16_t *pcm, size_t n);

/* One turn: sleep until woken, listen to all that is queued, send a line for each event and one
 * for samples that were lost. */
void kws_loop_once(kws_loop *loop);

#endif
