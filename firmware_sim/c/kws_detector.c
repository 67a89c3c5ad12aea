/* From logits to events: smoothed = softmax(mean of the last KWS_WINDOW logits).
 *
 * A keyword fires when it is armed, leads all classes and its smoothed score reaches its
 * threshold. Sums of logits are exact; a score is within 2^-20 of softmax in real numbers.
 */
#include "kws.h"

#include <string.h>

#define LOG2_E 1549082005 /* log2(e), units of 2^-30 */
#define NEVER (-((int64_t)1 << 62))

/* 2^-(1/2), 2^-(1/4), ... 2^-(2^-24), units of 2^-30 */
static const uint32_t decay[24] = {
    759250125u, 902905651u, 984625594u, 1028218693u, 1050733751u, 1062175491u,
    1067942999u, 1070838486u, 1072289173u, 1073015252u, 1073378477u, 1073560135u,
    1073650976u, 1073696399u, 1073719111u, 1073730468u, 1073736146u, 1073738985u,
    1073740404u, 1073741114u, 1073741469u, 1073741647u, 1073741735u, 1073741780u,
};

/* e^-(difference / (count 2^KWS_LOGIT_FRACTION)), units of 2^-30; difference >= 0 */
static uint32_t power(int64_t difference, uint32_t count)
{
    uint64_t exponent, result = (uint64_t)1 << 30;
    if (difference >= ((int64_t)count << (KWS_LOGIT_FRACTION + 5))) /* e^-32 < 2^-46 */
        return 0;
#if KWS_LOGIT_FRACTION > 26
    exponent = (uint64_t)difference >> (KWS_LOGIT_FRACTION - 26);
#else
    exponent = (uint64_t)difference << (26 - KWS_LOGIT_FRACTION);
#endif
    exponent = exponent / count * LOG2_E >> 32; /* of two, units of 2^-24 */
    for (unsigned i = 0; i < 24; i++)
        if (exponent & ((uint64_t)1 << (23 - i)))
            result = (result * decay[i] + ((uint64_t)1 << 29)) >> 30;
    return (uint32_t)(result >> (exponent >> 24));
}

void kws_detector_reset(kws_detector *detector)
{
    memset(detector, 0, sizeof *detector);
    for (unsigned k = 0; k < KWS_CLASSES; k++)
        detector->fired[k] = NEVER;
}

/* Scores from the sums of logits; returns the leading class, of equal ones the first. */
static unsigned score(kws_detector *detector, uint32_t count)
{
    unsigned best = 0;
    uint64_t total = 0;
    for (unsigned k = 1; k < KWS_CLASSES; k++)
        if (detector->sums[k] > detector->sums[best])
            best = k;
    for (unsigned k = 0; k < KWS_CLASSES; k++) {
        detector->scores[k] = power(detector->sums[best] - detector->sums[k], count);
        total += detector->scores[k];
    }
    for (unsigned k = 0; k < KWS_CLASSES; k++)
        detector->scores[k] =
            (uint32_t)((((uint64_t)detector->scores[k] << 24) + total / 2) / total);
    return best;
}

int kws_detector_step(kws_detector *detector, const kws_sum logits[KWS_CLASSES],
                      kws_event *event)
{
    kws_sum *slot = detector->recent[detector->at];
    int64_t frame = ++detector->frames;
    uint32_t count = frame < KWS_WINDOW ? (uint32_t)frame : KWS_WINDOW;

    for (unsigned k = 0; k < KWS_CLASSES; k++) {
        detector->sums[k] += (int64_t)logits[k] - slot[k];
        slot[k] = logits[k];
    }
    detector->at = (uint16_t)((detector->at + 1) % KWS_WINDOW);

    unsigned best = score(detector, count);
    for (unsigned k = 0; k < KWS_CLASSES; k++)
        if (detector->scores[k] < kws_rearms[k])
            detector->low[k] = frame;

    event->keyword = KWS_NONE;
    if (detector->scores[best] < kws_thresholds[best] ||
        detector->low[best] <= detector->fired[best] || frame <= KWS_WARMUP ||
        frame < detector->fired[best] + KWS_REFRACTORY)
        return 0;
    int64_t start = detector->low[best] * KWS_FRAME_MS - KWS_ONSET_MS;
    event->keyword = (int)best;
    event->score = detector->scores[best];
    event->time_ms = (uint64_t)frame * KWS_FRAME_MS;
    event->start_ms = start > 0 ? (uint64_t)start : 0;
    event->index = detector->events++;
    detector->fired[best] = frame;
    return 1;
}
