/* What the targets share: an input is numbers to steer with, then sound. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NEED(promise)  \
    do {               \
        if (!(promise)) \
            abort();   \
    } while (0)

enum { STEERING = 16 };

#ifndef MOST_SAMPLES
#define MOST_SAMPLES 4096u
#endif

typedef struct {
    const uint8_t *steering; /* STEERING numbers */
    int16_t *pcm;
    size_t samples;
} fuzz_sound;

/* The sound of an input, over and over where it is short: a detector hears a second before it
 * fires. pcm is of exactly that size on the heap, so that a step beside it is seen. 0: too short. */
static inline int fuzz_read(const uint8_t *data, size_t size, fuzz_sound *sound)
{
    if (size < STEERING + 2)
        return 0;
    const size_t given = (size - STEERING) / 2, times = 1 + data[0];
    sound->steering = data;
    sound->samples = given * times < MOST_SAMPLES ? given * times : MOST_SAMPLES;
    sound->pcm = malloc(sound->samples * sizeof *sound->pcm);
    NEED(sound->pcm != NULL);
    for (size_t i = 0; i < sound->samples; i++)
        memcpy(&sound->pcm[i], data + STEERING + i % given * 2, 2);
    return 1;
}

/* The size of a piece: one of the numbers, now and then many times as large. */
static inline size_t fuzz_piece(const fuzz_sound *sound, size_t number, size_t left)
{
    const uint8_t wanted = sound->steering[1 + number % (STEERING - 1)];
    const size_t size = wanted >= 128 ? (size_t)(wanted - 127) * 61 : wanted;
    return size < left ? size : left;
}

#endif
