/* Included before everything by the targets of the engine: what lies between the pieces of memory that
 * it lays out is closed to AddressSanitizer. Open while sizes are asked for, of memory that is not
 * there, and before memory is copied whole. */
#ifndef FENCES_H
#define FENCES_H

#include <sanitizer/asan_interface.h>

extern int fences;

#define KWS_FENCE_BYTES 64
#define KWS_FENCE(at, bytes)                        \
    do {                                            \
        if (fences)                                 \
            ASAN_POISON_MEMORY_REGION((at), (bytes)); \
    } while (0)

#endif
