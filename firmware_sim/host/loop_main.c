/* A device on the host: sleeping runs the "interrupt", which takes 5 ms of little-endian 16-bit
 * PCM from stdin at a time; the UART is stdout. At the end of the sound the wakes go to stderr.
 *
 * Argument: samples that an interrupt brings, default 80; more than the ring holds get lost.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kws_loop.h"

static kws_loop loop;
static size_t at_once = 80;

static void finish(void)
{
    fprintf(stderr, "wakes %lu\n", (unsigned long)loop.wakes);
    exit(fflush(stdout) != 0);
}

static void sleep_until(void *context, const volatile int *wake)
{
    (void)context;
    while (!*wake) {
        static int16_t pcm[4096];
        unsigned char bytes[2];
        size_t n = 0;
        while (n < at_once && fread(bytes, 1, 2, stdin) == 2)
            pcm[n++] = kws_sample(bytes);
        if (n == 0)
            finish();
        kws_loop_samples(&loop, pcm, n);
    }
}

static void put(void *context, char character)
{
    (void)context;
    putchar(character);
}

int main(int argc, char **argv)
{
    static const kws_board board = {NULL, sleep_until, put};
    if (argc > 1)
        at_once = (size_t)strtoul(argv[1], NULL, 10);
    if (at_once < 1 || at_once > 4096)
        return 2;
    kws_loop_init(&loop, &board);
    for (;;)
        kws_loop_once(&loop);
}
