#include "kws_loop.h"

#include <string.h>

#define CHUNK 32

void kws_loop_init(kws_loop *loop, const kws_board *board)
{
    memset(loop, 0, sizeof *loop);
    kws_init(&loop->spotter);
    kws_ring_reset(&loop->ring);
    loop->board = board;
}

void kws_loop_samples(kws_loop *loop, const int16_t *pcm, size_t n)
{
    kws_ring_push(&loop->ring, pcm, n);
    if (kws_ring_available(&loop->ring) >= KWS_FRAME_SAMPLES)
        loop->wake = 1;
}

static void send(const kws_board *board, const char *line)
{
    while (*line != '\0')
        board->put(board->context, *line++);
}

static void send_number(const kws_board *board, uint32_t value)
{
    char digits[11];
    unsigned at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    send(board, digits + at);
}

void kws_loop_once(kws_loop *loop)
{
    int16_t pcm[CHUNK];
    size_t n;
    uint32_t lost;

    loop->board->sleep(loop->board->context, &loop->wake);
    loop->wake = 0; /* before the ring is emptied: what comes from here on wakes again */
    loop->wakes++;
    while ((n = kws_ring_pop(&loop->ring, pcm, CHUNK)) > 0) {
        size_t used = 0;
        while (used < n) {
            kws_event event;
            used += kws_process(&loop->spotter, pcm + used, n - used, &event);
            if (event.keyword != KWS_NONE) {
                char line[KWS_LINE];
                kws_format(&event, line);
                send(loop->board, line);
            }
        }
    }
    lost = loop->ring.lost;
    if (lost != loop->reported_lost) {
        send(loop->board, "lost ");
        send_number(loop->board, lost - loop->reported_lost);
        send(loop->board, " samples\n");
        loop->reported_lost = lost;
    }
}
