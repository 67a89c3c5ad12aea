/* The exported library: a spotter that hears the sound at once, one that hears it in pieces, and
 * the loop of a device whose interrupts bring other pieces. The first two have to agree. */
#include "fuzz.h"
#include "kws.h"
#include "kws_loop.h"

static kws_loop loop;
static fuzz_sound sound;
static size_t interrupts, brought;

static void sleep_until(void *context, const volatile int *wake)
{
    (void)context;
    while (!*wake) {
        const size_t left = sound.samples - brought;
        const size_t n = left ? fuzz_piece(&sound, interrupts++, left) : KWS_FRAME_SAMPLES;
        static const int16_t silence[KWS_FRAME_SAMPLES];
        kws_loop_samples(&loop, left ? sound.pcm + brought : silence, n);
        brought += left ? n : 0;
        if (left && n == 0 && interrupts % STEERING == 0)
            brought = sound.samples; /* steering that brings nothing */
        NEED(kws_ring_available(&loop.ring) <= KWS_RING_SAMPLES);
    }
}

static size_t characters;

static void put(void *context, char character)
{
    (void)context;
    NEED(character != '\0');
    characters++;
}

static void same(const kws_event *one, const kws_event *other)
{
    NEED(one->keyword == other->keyword);
    if (one->keyword == KWS_NONE)
        return;
    char line[KWS_LINE];
    NEED(one->keyword >= 0 && one->keyword < KWS_CLASSES);
    NEED(one->score == other->score && one->index == other->index);
    NEED(one->time_ms == other->time_ms && one->start_ms == other->start_ms);
    const size_t length = kws_format(one, line);
    NEED(length < KWS_LINE && line[length] == '\0' && strlen(line) == length);
}

/* The next event of a spotter that is given its sound in pieces, or in one. */
static void next(kws_spotter *spotter, size_t *heard, size_t *pieces, int at_once, kws_event *event)
{
    event->keyword = KWS_NONE;
    while (*heard < sound.samples && event->keyword == KWS_NONE) {
        size_t n = sound.samples - *heard;
        if (!at_once && *pieces < 4096) /* steering of nothing but zeros comes to an end */
            n = fuzz_piece(&sound, (*pieces)++, n);
        const size_t used = kws_process(spotter, sound.pcm + *heard, n, event);
        NEED(used <= n);
        *heard += used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const kws_board board = {NULL, sleep_until, put};
    static kws_spotter whole, cut;
    size_t heard[2] = {0, 0}, pieces = 0, left[2] = {KWS_FINISH, KWS_FINISH};
    kws_event events[2];

    if (!fuzz_read(data, size, &sound))
        return 0;
    kws_init(&whole);
    kws_init(&cut);
    do {
        next(&whole, &heard[0], &pieces, 1, &events[0]);
        next(&cut, &heard[1], &pieces, 0, &events[1]);
        same(&events[0], &events[1]);
    } while (events[0].keyword != KWS_NONE);
    for (;;) {
        const int one = kws_finish(&whole, &left[0], &events[0]);
        NEED(one == kws_finish(&cut, &left[1], &events[1]));
        if (!one)
            break;
        same(&events[0], &events[1]);
    }
    brought = interrupts = 0;
    kws_loop_init(&loop, &board);
    while (brought < sound.samples)
        kws_loop_once(&loop);
    free(sound.pcm);
    return 0;
}
