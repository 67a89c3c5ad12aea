/* Driver of the chip's configuration shift register. */
#ifndef KWS_CHIP_H
#define KWS_CHIP_H

#include <stddef.h>
#include <stdint.h>

/* The pins, bit by bit. clock: sets data in, pulses the clock, returns data out as it was before
 * the pulse. latch: pulses latch, returns 1 if the chip took the bits. capture: copies what is
 * latched into the register, for readback. */
typedef struct {
    void *context;
    int (*clock)(void *context, int bit);
    int (*latch)(void *context);
    void (*capture)(void *context);
} kws_chip_pins;

typedef enum {
    KWS_CHIP_OK = 0,
    KWS_CHIP_BAD_STREAM,  /* magic, version, length or CRC is wrong: nothing was sent */
    KWS_CHIP_REFUSED,     /* the chip did not take it: no supply, wrong length, bits lost */
    KWS_CHIP_BAD_READBACK /* what came back is not what was sent */
} kws_chip_result;

/* Whether these bytes (as of kws-stream program) are a whole, intact bitstream. */
int kws_chip_check(const uint8_t *stream, size_t bytes);

/* Check, send, latch, read back. */
kws_chip_result kws_chip_program(const kws_chip_pins *pins, const uint8_t *stream, size_t bytes);

/* 1 if readback equals these bytes; for a look at the chip after a brown-out, say. */
int kws_chip_holds(const kws_chip_pins *pins, const uint8_t *stream, size_t bytes);

#endif
