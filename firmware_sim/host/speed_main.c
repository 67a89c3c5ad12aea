/* Least time-stamp cycles of a frame on an x86 host, by stage; noise in, numbers out. */
#include <stdio.h>

#include "kws.h"

static uint64_t now(void)
{
    return __builtin_ia32_rdtsc();
}

int main(void)
{
    static kws_spotter spotter;
    static int16_t pcm[KWS_FRAME_SAMPLES];
    int32_t features[KWS_FEATURES];
    kws_sum logits[KWS_CLASSES];
    kws_event event;
    uint64_t least[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    uint32_t random = 1;
    int ready;

    kws_init(&spotter);
    for (int f = 0; f < 5000; f++) {
        for (unsigned i = 0; i < KWS_FRAME_SAMPLES; i++) {
            random = random * 1664525u + 1013904223u;
            pcm[i] = (int16_t)((int32_t)(random >> 20) - 2048);
        }
        uint64_t times[4];
        times[0] = now();
        kws_front_end_process(&spotter.front_end, pcm, KWS_FRAME_SAMPLES, features, &ready);
        times[1] = now();
        kws_network_step(&spotter.network, features, logits);
        times[2] = now();
        kws_detector_step(&spotter.detector, logits, &event);
        times[3] = now();
        for (int i = 0; i < 3; i++)
            if (times[i + 1] - times[i] < least[i])
                least[i] = times[i + 1] - times[i];
    }
    printf("%lu %lu %lu\n", (unsigned long)least[0], (unsigned long)least[1],
           (unsigned long)least[2]);
    return 0;
}
