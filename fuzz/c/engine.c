/* The engine that Python loads, with a model in a blob: one that hears the sound at once and one in
 * pieces, with few events and rows a call, and copies of its memory that go on. */
#define MOST_SAMPLES 32768u /* more frames than an engine keeps */
#include "fuzz.h"
#include "kws_engine.h"
#include "kws_fuzz_blob.h" /* kws_fuzz_blob, KWS_FUZZ_CLASSES, KWS_FUZZ_FEATURES, KWS_FUZZ_CELLS */

enum { MOST_EVENTS = 1 << 12 };

static size_t bytes;
int fences;

static void *room(void)
{
    void *memory = NULL;
    NEED(posix_memalign(&memory, 64, bytes) == 0);
    memset(memory, 0, bytes);
    return memory;
}

static void *made(const fuzz_sound *sound)
{
    void *memory = room();
    kws_engine_init(memory, kws_fuzz_blob);
    for (unsigned k = 0; k < KWS_FUZZ_CLASSES; k++) {
        const uint32_t threshold = (uint32_t)sound->steering[1 + k % (STEERING - 1)] << 15;
        kws_engine_threshold(memory, k, threshold, threshold / 2 + 1);
    }
    return memory;
}

/* All events of the sound; returns how many. Every piece of several goes on in a copy. */
static size_t heard(const fuzz_sound *sound, int at_once, kws_engine_event *events,
                    uint32_t *scores)
{
    void *memory = made(sound);
    size_t done = 0, count = 0, number = 0;
    while (done < sound->samples && count < MOST_EVENTS) {
        size_t n = sound->samples - done, frames, found;
        size_t most_frames = SIZE_MAX, most_events = MOST_EVENTS - count;
        kws_engine_rows rows = {NULL, NULL, NULL, NULL};
        int32_t features[4 * KWS_FUZZ_FEATURES];
        int64_t logits[4 * KWS_FUZZ_CLASSES];
        uint32_t row_scores[4 * KWS_FUZZ_CLASSES];
        uint8_t bits[4 * KWS_FUZZ_CELLS];
        if (!at_once && number < 4096) {
            n = fuzz_piece(sound, number++, n);
            most_frames = 1 + number % 4;
            most_events = 1;
            rows = (kws_engine_rows){features, logits, row_scores, bits};
        }
        const size_t used = kws_engine_process(memory, sound->pcm + done, n, &rows, most_frames,
                                               &frames, events + count, most_events, &found);
        NEED(used <= n && frames <= most_frames && found <= most_events);
        NEED(n == 0 || used > 0);
        done += used;
        count += found;
        if (!at_once && number % 7 == 0) {
            void *copy = room();
            ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
            memcpy(copy, memory, bytes);
            free(memory);
            kws_engine_adopt(copy, kws_fuzz_blob);
            memory = copy;
        }
    }
    int32_t *recent = malloc(128 * sizeof *recent * KWS_FUZZ_FEATURES);
    uint8_t *recent_bits = malloc(128 * KWS_FUZZ_CELLS);
    NEED(recent != NULL && recent_bits != NULL);
    NEED(kws_engine_recent(memory, recent, recent_bits) <= 128);
    kws_engine_last(memory, NULL, scores, NULL);
    kws_engine_reset(memory, sound->steering[1] & 1);
    free(recent);
    free(recent_bits);
    free(memory);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static kws_engine_event whole[MOST_EVENTS], cut[MOST_EVENTS];
    static uint32_t scores[2][KWS_FUZZ_CLASSES];
    fuzz_sound sound;
    if (bytes == 0)
        bytes = kws_engine_bytes(kws_fuzz_blob, sizeof kws_fuzz_blob);
    NEED(bytes != 0);
    NEED(kws_engine_bytes(kws_fuzz_blob, sizeof kws_fuzz_blob - 64) == 0);
    fences = 1;
    if (!fuzz_read(data, size, &sound))
        return 0;
    const size_t count = heard(&sound, 1, whole, scores[0]);
    NEED(count == heard(&sound, 0, cut, scores[1]));
    NEED(memcmp(whole, cut, count * sizeof *whole) == 0);
    NEED(memcmp(scores[0], scores[1], sizeof scores[0]) == 0);
    free(sound.pcm);
    return 0;
}
