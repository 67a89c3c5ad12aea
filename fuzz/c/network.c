/* Network, detector and verifier on features that no sound may ever make, all within their range:
 * the proofs of their sums hold for any. */
#include "fuzz.h"
#include "kws.h"

enum { MOST_FRAMES = 256 };

static void format(const kws_event *event, const uint8_t *numbers)
{
    char line[KWS_LINE];
    kws_event strange = *event;
    memcpy(&strange.time_ms, numbers, sizeof strange.time_ms);
    memcpy(&strange.start_ms, numbers + 1, sizeof strange.start_ms);
    const size_t length = kws_format(&strange, line);
    NEED(length < KWS_LINE && strlen(line) == length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kws_network network;
    static kws_detector detector;
    static kws_verifier verifier;
    kws_event event, confirmed;
    int32_t features[KWS_FEATURES];
    kws_sum logits[KWS_CLASSES];

    if (size < STEERING + KWS_FEATURES)
        return 0;
    const size_t frames = (size - STEERING) / KWS_FEATURES;
    kws_network_reset(&network);
    kws_detector_reset(&detector);
    kws_verifier_reset(&verifier);
    for (size_t t = 0; t < frames * (1 + data[0] % 64u) && t < MOST_FRAMES; t++) {
        const uint8_t *row = data + STEERING + t % frames * KWS_FEATURES;
        for (size_t i = 0; i < KWS_FEATURES; i++)
            features[i] = (int32_t)(row[i] * (uint32_t)KWS_FEATURE_MAX / 255);
        kws_network_step(&network, features, logits);
        for (size_t i = 0; i < KWS_CELLS; i++)
            NEED(network.bits[i] <= 1);
        const int fired = kws_detector_step(&detector, logits, &event);
        uint64_t total = 0;
        for (size_t k = 0; k < KWS_CLASSES; k++)
            total += detector.scores[k];
        NEED(total == 1u << 24);
        kws_verifier_step(&verifier, features, fired ? &event : NULL);
        while (kws_verifier_take(&verifier, &confirmed))
            format(&confirmed, data);
    }
    uint8_t codes[KWS_VERIFIER_ROOM] = {0};
    int32_t scores[KWS_VERIFIER_KEYWORDS];
    for (size_t i = 0; i < KWS_VERIFIER_FRAMES * KWS_CHANNELS; i++)
        codes[i] = (uint8_t)(data[STEERING + i % (size - STEERING)] * KWS_FEATURE_MAX / 255);
    kws_verifier_scores(codes, scores);
    for (size_t k = 0; k < KWS_VERIFIER_KEYWORDS; k++)
        NEED(scores[k] >= 0 && scores[k] <= 1 << 16);
    return 0;
}
