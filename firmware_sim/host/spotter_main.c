/* All stages, on the host: samples in; what the detector made of every frame out.
 *
 * stdin: int16 samples; stdout, a frame: uint32 smoothed scores, then int32 keyword (or -1), uint32
 * score, index, 0 and uint64 time_ms, start_ms. Argument: samples of a stream, after which all
 * starts anew. Native byte order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kws.h"

int main(int argc, char **argv)
{
    static kws_spotter spotter;
    static int16_t pcm[4096];
    const size_t length = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 4096;
    size_t left = 0, n;

    while ((n = fread(pcm, sizeof *pcm, left == 0 || left > 4096 ? 4096 : left, stdin)) > 0) {
        size_t used = 0;
        while (used < n) {
            int32_t features[KWS_FEATURES];
            kws_sum logits[KWS_CLASSES];
            kws_event event;
            int ready;
            size_t part;
            if (left == 0) {
                kws_init(&spotter);
                left = length;
            }
            part = n - used < left ? n - used : left;
            part = kws_front_end_process(&spotter.front_end, pcm + used, part, features, &ready);
            used += part;
            left -= part;
            if (!ready)
                continue;
            kws_network_step(&spotter.network, features, logits);
            uint32_t numbers[4] = {0, 0, 0, 0};
            uint64_t times[2] = {0, 0};
            numbers[0] = (uint32_t)KWS_NONE;
            if (kws_detector_step(&spotter.detector, logits, &event)) {
                numbers[0] = (uint32_t)event.keyword;
                numbers[1] = event.score;
                numbers[2] = event.index;
                times[0] = event.time_ms;
                times[1] = event.start_ms;
            }
            if (fwrite(spotter.detector.scores, sizeof(uint32_t), KWS_CLASSES, stdout) !=
                    KWS_CLASSES ||
                fwrite(numbers, sizeof numbers, 1, stdout) != 1 ||
                fwrite(times, sizeof times, 1, stdout) != 1)
                return 1;
        }
    }
    return fflush(stdout) != 0;
}
