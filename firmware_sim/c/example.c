/* Keywords in 16 kHz mono 16-bit little-endian PCM on standard input. */
#include <stdio.h>
#include "kws.h"

static kws_spotter spotter;

int main(void)
{
    unsigned char bytes[2];
    char line[KWS_LINE];
    kws_event event;
    size_t left = KWS_FINISH;

    kws_init(&spotter);
    while (fread(bytes, 1, 2, stdin) == 2) {
        int16_t sample = kws_sample(bytes);
        kws_process(&spotter, &sample, 1, &event);
        if (event.keyword != KWS_NONE && kws_format(&event, line) > 0)
            fputs(line, stdout);
    }
    while (kws_finish(&spotter, &left, &event))
        if (kws_format(&event, line) > 0)
            fputs(line, stdout);
    return 0;
}
