/* The stages wired together: samples in, events out. */
#include "kws.h"

void kws_init(kws_spotter *spotter)
{
    kws_front_end_reset(&spotter->front_end);
    kws_network_reset(&spotter->network);
    kws_detector_reset(&spotter->detector);
}

size_t kws_process(kws_spotter *spotter, const int16_t *pcm, size_t n, kws_event *event)
{
    size_t used = 0;
    event->keyword = KWS_NONE;
    while (used < n) {
        int32_t features[KWS_FEATURES];
        kws_sum logits[KWS_CLASSES];
        int ready;
        used += kws_front_end_process(&spotter->front_end, pcm + used, n - used, features, &ready);
        if (!ready)
            continue;
        kws_network_step(&spotter->network, features, logits);
        if (kws_detector_step(&spotter->detector, logits, event))
            break;
    }
    return used;
}

int kws_finish(kws_spotter *spotter, size_t *left, kws_event *event)
{
    static const int16_t silence[32];
    while (*left > 0) {
        *left -= kws_process(spotter, silence, *left < 32 ? *left : 32, event);
        if (event->keyword != KWS_NONE)
            return 1;
    }
    return 0;
}

int16_t kws_sample(const unsigned char bytes[2])
{
    int32_t value = bytes[0] + 256 * bytes[1];
    return (int16_t)(value < 32768 ? value : value - 65536);
}
