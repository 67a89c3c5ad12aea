/* The stages wired together: samples in, events out. */
#include "kws.h"

void kws_init(kws_spotter *spotter)
{
    kws_front_end_reset(&spotter->front_end);
    kws_network_reset(&spotter->network);
    kws_detector_reset(&spotter->detector);
#ifdef KWS_VERIFIER
    kws_verifier_reset(&spotter->verifier);
#endif
}

/* A frame of features; returns 1 for an event. With `deaf` nothing new triggers. */
static int judge(kws_spotter *spotter, const int32_t *features, int deaf, kws_event *event)
{
    kws_sum logits[KWS_CLASSES];
    kws_network_step(&spotter->network, features, logits);
    const int fired = kws_detector_step(&spotter->detector, logits, event) && !deaf;
#ifdef KWS_VERIFIER
    kws_verifier_step(&spotter->verifier, features, fired ? event : NULL);
    event->keyword = KWS_NONE;
    return kws_verifier_take(&spotter->verifier, event);
#else
    return fired;
#endif
}

static size_t listen(kws_spotter *spotter, const int16_t *pcm, size_t n, int deaf, kws_event *event)
{
    size_t used = 0;
    event->keyword = KWS_NONE;
    while (used < n) {
        int32_t features[KWS_FEATURES];
        int ready;
#ifdef KWS_VERIFIER
        /* another event of the last frame, with the next sample: fewer than a frame has */
        if (kws_verifier_take(&spotter->verifier, event)) {
            used += kws_front_end_process(&spotter->front_end, pcm + used, 1, features, &ready);
            break;
        }
#endif
        used += kws_front_end_process(&spotter->front_end, pcm + used, n - used, features, &ready);
        if (ready && judge(spotter, features, deaf, event))
            break;
    }
    return used;
}

size_t kws_process(kws_spotter *spotter, const int16_t *pcm, size_t n, kws_event *event)
{
    return listen(spotter, pcm, n, 0, event);
}

#ifdef KWS_VERIFIER
#define DEAF (KWS_VERIFIER_WAIT * KWS_FRAME_SAMPLES) /* the last samples are for the verifier */
#else
#define DEAF 0
#endif

int kws_finish(kws_spotter *spotter, size_t *left, kws_event *event)
{
    static const int16_t silence[32];
    while (*left > 0) {
        const int deaf = *left <= DEAF;
        const size_t most = deaf ? *left : *left - DEAF;
        *left -= listen(spotter, silence, most < 32 ? most : 32, deaf, event);
        if (event->keyword != KWS_NONE)
            return 1;
    }
#ifdef KWS_VERIFIER
    return kws_verifier_take(&spotter->verifier, event);
#else
    return 0;
#endif
}

int16_t kws_sample(const unsigned char bytes[2])
{
    int32_t value = bytes[0] + 256 * bytes[1];
    return (int16_t)(value < 32768 ? value : value - 65536);
}
