/* Both stages, on the host: int16 samples in; out, an event: int32 keyword, uint32 score, index and
 * verifier_score, uint64 time_ms, start_ms and confirmed_ms. Argument: samples a call. Native byte
 * order. */
#include <stdio.h>
#include <stdlib.h>

#include "kws.h"

static int tell(const kws_event *event)
{
    const uint32_t numbers[4] = {(uint32_t)event->keyword, event->score, event->index,
                                 event->verifier_score};
    const uint64_t times[3] = {event->time_ms, event->start_ms, event->confirmed_ms};
    return fwrite(numbers, sizeof numbers, 1, stdout) == 1 &&
           fwrite(times, sizeof times, 1, stdout) == 1;
}

int main(int argc, char **argv)
{
    static kws_spotter spotter;
    static int16_t pcm[4096];
    const size_t most = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 4096;
    size_t left = KWS_FINISH, n;
    kws_event event;

    kws_init(&spotter);
    while ((n = fread(pcm, sizeof *pcm, most, stdin)) > 0) {
        for (size_t used = 0; used < n;) {
            used += kws_process(&spotter, pcm + used, n - used, &event);
            if (event.keyword != KWS_NONE && !tell(&event))
                return 1;
        }
    }
    while (kws_finish(&spotter, &left, &event))
        if (!tell(&event))
            return 1;
    return fflush(stdout) != 0;
}
