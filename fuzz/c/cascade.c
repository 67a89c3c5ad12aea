/* An engine and a verifier, as Python and the browser load them: the scores of any window, and the
 * events of sound heard at once and in pieces, with few events a call. Verifiers come from Python,
 * or are made of the input: any that its checks let pass. What is wanted is computed here once more,
 * from the equations of docs/cascade.md.
 *
 * An input is DESIGN bytes that a verifier is made of, then numbers to steer with, then sound. */
#define MOST_SAMPLES 12288u
#include "fuzz.h"
#include "kws_cascade.h"
#include "kws_fuzz_cascade.h" /* kws_fuzz_blob, KWS_FUZZ_..., kws_fuzz_verifiers: blobs */

enum { DESIGN = 32, MOST_FRAMES = 512, MOST_EVENTS = 512, MOST_LAYERS = 5, MOST_WINDOW = 40 };
enum { MOST_WIDTH = 16, MOST_LOOKS = 4, MAGIC = 0x3156574b, UNIT = 64 };
enum { H_LAYERS = 2, H_FRAMES, H_CHANNELS, H_KEYWORDS, H_LOOKS, H_WAIT, H_WIDEST, H_ROOM };
enum { H_THRESHOLD = 10, H_FEATURES, H_CLASSES };

int fences = 1;

/* ---- blobs of exactly their size, so that a step beside them is seen ---- */

static void *room(size_t bytes)
{
    void *memory = NULL;
    NEED(posix_memalign(&memory, UNIT, bytes) == 0);
    memset(memory, 0xa5, bytes); /* whatever memory holds */
    return memory;
}

typedef struct {
    uint8_t *bytes;
    size_t size;
} blob;

static void *section(blob *to, size_t bytes)
{
    const size_t whole = (bytes + UNIT - 1) / UNIT * UNIT;
    uint8_t *longer = room(to->size + whole);
    memset(longer + to->size, 0, whole);
    if (to->bytes != NULL)
        memcpy(longer, to->bytes, to->size);
    free(to->bytes);
    to->bytes = longer;
    to->size += whole;
    return to->bytes + to->size - whole;
}

static uint32_t next(uint32_t *state) /* xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* A layer whose sums just fit, or almost, where `extreme`. */
static void make_layer(blob *to, const int64_t *sizes, unsigned shift, int extreme, uint32_t *state)
{
    const size_t n_out = (size_t)sizes[3];
    const size_t rows = (size_t)sizes[0] * (sizes[4] ? 1 : (size_t)sizes[2]);
    memcpy(section(to, 5 * 8), sizes, 5 * 8);
    int8_t *weight = section(to, rows * n_out);
    int64_t largest[MOST_WIDTH];
    for (size_t j = 0; j < n_out; j++)
        largest[j] = ((int64_t)1 << shift) >> 1;
    for (size_t i = 0; i < rows * n_out; i++) {
        const uint32_t drawn = next(state);
        weight[i] = extreme ? (drawn & 1 ? 127 : -128) : (int8_t)drawn;
        largest[i % n_out] += 255 * llabs(weight[i]);
    }
    int32_t *bias = section(to, n_out * 4);
    for (size_t j = 0; j < n_out; j++) {
        const int64_t left = INT32_MAX - largest[j];
        NEED(left >= 0);
        bias[j] = (int32_t)(extreme ? left : next(state) % (1u << 15));
        bias[j] = next(state) & 1 ? -bias[j] : bias[j];
    }
    memset(section(to, n_out), (int)shift, n_out);
}

static blob made(const uint8_t *design)
{
    blob to = {NULL, 0};
    uint32_t state = 1;
    int64_t sizes[MOST_LAYERS][5], head[16] = {MAGIC, 0};
    int64_t frames = 1 + design[1] % MOST_WINDOW, width = KWS_FUZZ_CHANNELS;
    memcpy(&state, design + 2, sizeof state);
    state |= 1;
    head[H_LAYERS] = 1 + design[6] % MOST_LAYERS;
    head[H_FRAMES] = frames;
    head[H_CHANNELS] = width;
    head[H_KEYWORDS] = 1 + design[7] % 3;
    head[H_LOOKS] = 1 + design[8] % MOST_LOOKS;
    head[H_THRESHOLD] = design[9] == 255 ? 1 << 16 : design[9] << 8;
    head[H_FEATURES] = KWS_FUZZ_FEATURES;
    head[H_CLASSES] = KWS_FUZZ_CLASSES;
    head[H_ROOM] = frames * width;
    for (int64_t l = 0; l < head[H_LAYERS]; l++) {
        const uint8_t *bytes = design + 10 + 3 * l;
        const int last = l + 1 == head[H_LAYERS];
        int64_t *layer = sizes[l];
        layer[0] = last ? frames : 1 + bytes[0] % frames;
        layer[1] = 1 + bytes[1] % 4;
        layer[2] = width;
        layer[4] = !last && bytes[2] & 1;
        width = last ? head[H_KEYWORDS] : layer[4] ? width : 1 + bytes[2] / 2 % MOST_WIDTH;
        layer[3] = width;
        frames = (frames - layer[0]) / layer[1] + 1;
        head[H_WIDEST] = width > head[H_WIDEST] ? width : head[H_WIDEST];
        if (!last && frames * width > head[H_ROOM])
            head[H_ROOM] = frames * width;
    }
    uint16_t looks[MOST_LOOKS];
    for (int64_t i = 0; i < head[H_LOOKS]; i++)
        looks[i] = (uint16_t)((i ? looks[i - 1] + 1 : 0) + design[25 + i] % 8);
    head[H_WAIT] = looks[head[H_LOOKS] - 1];
    section(&to, sizeof head);
    memcpy(section(&to, (size_t)head[H_LOOKS] * 2), looks, (size_t)head[H_LOOKS] * 2);
    uint8_t *rows = section(&to, KWS_FUZZ_CLASSES);
    for (unsigned k = 0; k < KWS_FUZZ_CLASSES; k++)
        rows[k] = (uint8_t)(next(&state) % (uint32_t)head[H_KEYWORDS]);
    for (int64_t l = 0; l < head[H_LAYERS]; l++)
        make_layer(&to, sizes[l], design[29] % 31, design[30] & 1, &state);
    head[1] = (int64_t)to.size;
    memcpy(to.bytes, head, sizeof head);
    return to;
}

/* One of Python's, or one that is made. */
static blob chosen(const uint8_t *design)
{
    const size_t count = sizeof kws_fuzz_verifiers / sizeof *kws_fuzz_verifiers;
    const size_t which = design[0] % (2 * count);
    if (which >= count)
        return made(design);
    blob copy = {NULL, 0};
    memcpy(section(&copy, kws_fuzz_verifiers[which].size), kws_fuzz_verifiers[which].bytes,
           kws_fuzz_verifiers[which].size);
    return copy;
}

/* ---- what is wanted ---- */

static const void *read(const uint8_t **at, int64_t bytes)
{
    const void *found = *at;
    *at += (bytes + UNIT - 1) / UNIT * UNIT;
    return found;
}

static int64_t within(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Equations 1 to 3, one output after another. */
static void wanted_scores(const blob *of, const uint8_t *window, int64_t *scores)
{
    static uint8_t x[MOST_WINDOW * MOST_WIDTH], y[MOST_WINDOW * MOST_WIDTH];
    const uint8_t *at = of->bytes;
    const int64_t *head = read(&at, 16 * 8);
    int64_t frames = head[H_FRAMES];
    read(&at, head[H_LOOKS] * 2);
    read(&at, head[H_CLASSES]);
    memcpy(x, window, (size_t)(frames * head[H_CHANNELS]));
    for (int64_t l = 0; l < head[H_LAYERS]; l++) {
        const int64_t *size = read(&at, 5 * 8);
        const int64_t taps = size[0], stride = size[1], n_in = size[2], n_out = size[3];
        const int8_t *weight = read(&at, taps * (size[4] ? 1 : n_in) * n_out);
        const int32_t *bias = read(&at, n_out * 4);
        const uint8_t *shift = read(&at, n_out);
        frames = (frames - taps) / stride + 1;
        NEED(frames > 0 && frames * n_out <= (int64_t)sizeof y && (!size[4] || n_in == n_out));
        for (int64_t t = 0; t < frames; t++)
            for (int64_t j = 0; j < n_out; j++) {
                int64_t a = bias[j] + (((int64_t)1 << shift[j]) >> 1);
                for (int64_t u = 0; u < taps; u++)
                    for (int64_t i = 0; i < n_in; i++)
                        if (!size[4])
                            a += weight[(u * n_in + i) * n_out + j] * x[(stride * t + u) * n_in + i];
                        else if (i == j)
                            a += weight[u * n_out + j] * x[(stride * t + u) * n_in + j];
                NEED(a >= INT32_MIN && a <= INT32_MAX);
                a >>= shift[j];
                y[t * n_out + j] = (uint8_t)within(a, 0, 255);
                if (l + 1 == head[H_LAYERS])
                    scores[j] = within((1 << 15) + a, 0, 1 << 16);
            }
        memcpy(x, y, sizeof x);
    }
    NEED(at == of->bytes + of->size && head[1] == (int64_t)of->size);
}

static struct {
    uint8_t codes[(MOST_WINDOW + MOST_FRAMES) * KWS_FUZZ_CHANNELS]; /* a window of zeros first */
    kws_engine_event triggers[MOST_EVENTS];
    kws_cascade_event events[MOST_EVENTS];
    size_t frames, n_triggers, n_events;
    int32_t features[KWS_FUZZ_FEATURES];
} want;

static void *engine(const fuzz_sound *sound)
{
    fences = 0;
    void *memory = room(kws_engine_bytes(kws_fuzz_blob, sizeof kws_fuzz_blob));
    fences = 1;
    kws_engine_init(memory, kws_fuzz_blob);
    for (unsigned k = 0; k < KWS_FUZZ_CLASSES; k++) {
        const uint32_t threshold = (uint32_t)sound->steering[1 + k % (STEERING - 1)] << 14;
        kws_engine_threshold(memory, k, threshold, sound->steering[15] & 1 ? UINT32_MAX : threshold);
    }
    return memory;
}

/* Features and triggers of the engine alone; after `heard` samples nothing triggers. */
static void hear_engine(const fuzz_sound *sound, size_t heard)
{
    void *memory = engine(sound);
    const kws_engine_rows rows = {want.features, NULL, NULL, NULL};
    want.frames = want.n_triggers = 0;
    for (size_t done = 0; done < sound->samples;) {
        const size_t n = (done < heard ? heard : sound->samples) - done;
        kws_engine_event event;
        size_t frames, fired;
        const int deaf = done >= heard;
        done += kws_engine_process(memory, sound->pcm + done, n, &rows, 1, &frames, &event, 1, &fired);
        if (!frames)
            continue;
        uint8_t *codes = want.codes + (MOST_WINDOW + want.frames++) * KWS_FUZZ_CHANNELS;
        for (unsigned i = 0; i < KWS_FUZZ_CHANNELS; i++)
            codes[i] = (uint8_t)want.features[i];
        if (fired && !deaf)
            want.triggers[want.n_triggers++] = event;
        NEED(want.frames < MOST_FRAMES && want.n_triggers < MOST_EVENTS);
    }
    free(memory);
}

/* The look that confirms a trigger, the first of enough score, or -1. */
static int64_t confirmed(const blob *of, const kws_engine_event *trigger, int64_t *score)
{
    const uint8_t *at = of->bytes;
    const int64_t *head = read(&at, 16 * 8);
    const uint16_t *looks = read(&at, head[H_LOOKS] * 2);
    const uint8_t *rows = read(&at, head[H_CLASSES]);
    for (int64_t k = 0; k < head[H_LOOKS]; k++) {
        const int64_t frame = trigger->frame + looks[k];
        const int64_t first = MOST_WINDOW + frame - head[H_FRAMES];
        int64_t scores[MOST_WIDTH];
        if (frame > (int64_t)want.frames)
            break;
        wanted_scores(of, want.codes + first * KWS_FUZZ_CHANNELS, scores);
        *score = scores[rows[trigger->keyword]];
        if (*score >= head[H_THRESHOLD])
            return looks[k];
    }
    return -1;
}

/* Every trigger judged by itself; events in the order in which they are known, then of triggers. */
static void judge(const blob *of)
{
    static int64_t known[MOST_EVENTS], score[MOST_EVENTS];
    for (size_t i = 0; i < want.n_triggers; i++) {
        const int64_t look = confirmed(of, &want.triggers[i], &score[i]);
        known[i] = look < 0 ? -1 : want.triggers[i].frame + look;
    }
    want.n_events = 0;
    for (int64_t frame = 1; frame <= (int64_t)want.frames; frame++)
        for (size_t i = 0; i < want.n_triggers; i++) {
            if (known[i] != frame)
                continue;
            kws_cascade_event *event = &want.events[want.n_events];
            event->trigger = want.triggers[i];
            event->trigger.index = (uint32_t)want.n_events++;
            event->verifier_score = (uint32_t)score[i];
            event->filler = 0;
            event->confirmed = frame;
        }
}

/* ---- what there is ---- */

static void check_scores(void *memory, const blob *of, const uint8_t *from, size_t size)
{
    const int64_t *head = (const int64_t *)of->bytes;
    const size_t codes = (size_t)(head[H_FRAMES] * head[H_CHANNELS]);
    uint8_t *window = malloc(codes);
    int32_t *scores = malloc((size_t)head[H_KEYWORDS] * sizeof *scores);
    int64_t wanted[MOST_WIDTH];
    NEED(window != NULL && scores != NULL);
    for (size_t i = 0; i < codes; i++)
        window[i] = from[i % size];
    kws_cascade_scores(memory, window, scores);
    wanted_scores(of, window, wanted);
    for (int64_t k = 0; k < head[H_KEYWORDS]; k++)
        NEED(scores[k] == wanted[k]);
    free(window);
    free(scores);
}

typedef struct {
    void *memory;
    const blob *of;
} stage;

/* The sound through a cascade, or with NULL an engine alone: the wanted events. `other` works on the
 * same thread in between. */
static void hear(const fuzz_sound *sound, size_t heard, void *memory, void *running, int at_once,
                 const stage *other)
{
    int32_t *features = malloc(KWS_FUZZ_FEATURES * sizeof *features);
    int64_t *logits = malloc(KWS_FUZZ_CLASSES * sizeof *logits);
    uint32_t *scores = malloc(KWS_FUZZ_CLASSES * sizeof *scores);
    uint8_t *bits = malloc(KWS_FUZZ_CELLS);
    NEED(features != NULL && logits != NULL && scores != NULL && bits != NULL);
    const kws_engine_rows rows = {features, at_once ? NULL : logits, at_once ? NULL : scores, bits};
    const size_t wanted = memory == NULL ? want.n_triggers : want.n_events;
    size_t done = 0, count = 0, number = 0, all_frames = 0, all_triggers = 0, n, used, found, most;
    do {
        kws_cascade_event *events;
        uint32_t frames, triggers;
        n = (done < heard ? heard : sound->samples) - done;
        most = MOST_EVENTS;
        if (!at_once && number < 4096) {
            n = fuzz_piece(sound, number, n);
            most = number++ % 3; /* none, too */
        }
        events = malloc((most ? most : 1) * sizeof *events);
        NEED(events != NULL);
        used = kws_cascade_process(memory, running, sound->pcm + done, n, &rows, done >= heard,
                                   &frames, &triggers, events, most, &found);
        NEED(used <= n && found <= most && (used == n || found == most));
        NEED(count + found <= wanted);
        for (size_t i = 0; i < found; i++) {
            if (memory != NULL)
                NEED(memcmp(&events[i], &want.events[count + i], sizeof *events) == 0);
            else
                NEED(memcmp(&events[i].trigger, &want.triggers[count + i], sizeof *want.triggers) == 0);
        }
        free(events);
        done += used;
        count += found;
        all_frames += frames;
        all_triggers += triggers;
        if (other != NULL)
            check_scores(other->memory, other->of, sound->steering, STEERING);
    } while (done < sound->samples || found == most);
    NEED(count == wanted && all_frames == want.frames && all_triggers == want.n_triggers);
    if (want.frames)
        NEED(memcmp(features, want.features, sizeof want.features) == 0);
    free(features);
    free(logits);
    free(scores);
    free(bits);
}

static stage second_stage(const blob *of)
{
    fences = 0;
    const size_t bytes = kws_cascade_bytes(of->bytes, of->size);
    NEED(bytes != 0 && bytes % UNIT == 0);
    NEED(kws_cascade_bytes(of->bytes, of->size - UNIT) == 0);
    NEED(kws_cascade_bytes(of->bytes, 8) == 0);
    of->bytes[0] ^= 1;
    NEED(kws_cascade_bytes(of->bytes, of->size) == 0);
    of->bytes[0] ^= 1;
    fences = 1;
    stage made = {room(bytes), of};
    kws_cascade_init(made.memory, of->bytes);
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t backwards[DESIGN];
    fuzz_sound sound;
    if (size < DESIGN || !fuzz_read(data + DESIGN, size - DESIGN, &sound))
        return 0;
    for (size_t i = 0; i < DESIGN; i++)
        backwards[i] = data[DESIGN - 1 - i];
    const blob one = chosen(data), two = chosen(backwards);
    const stage first = second_stage(&one), other = second_stage(&two);
    check_scores(first.memory, &one, data, size);
    check_scores(other.memory, &two, data, size);

    const size_t heard = sound.samples * sound.steering[14] / 255;
    void *running = engine(&sound);
    hear_engine(&sound, heard);
    judge(&one);
    hear(&sound, heard, first.memory, running, 1, NULL);
    kws_engine_reset(running, 0);
    kws_cascade_reset(first.memory);
    hear(&sound, heard, first.memory, running, 0, &other);
    kws_engine_reset(running, 1);
    hear(&sound, heard, NULL, running, sound.steering[2] & 1, &other);
    free(running);
    free(first.memory);
    free(other.memory);
    free(one.bytes);
    free(two.bytes);
    free(sound.pcm);
    return 0;
}
