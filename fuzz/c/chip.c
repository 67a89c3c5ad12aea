/* The driver of the chip's register, against a chip whose wires turn bits where the input says so.
 *
 * An input is a fault (two bytes: at which clock, 0 for none), and a bitstream; its header and its
 * CRC are mended, so that the driver sends it. What the driver calls good is what the chip holds. */
#include "fuzz.h"
#include "kws_chip.h"
#include "kws_registers.h"

typedef struct {
    uint8_t *held, *latched; /* a bit a byte: the register, the first to leave at `at`, and latches */
    size_t bits, at;
    uint32_t clocks, fault;
} chip;

static int clock(void *context, int bit)
{
    chip *self = context;
    const int out = self->held[self->at];
    NEED(bit == 0 || bit == 1);
    if (++self->clocks == self->fault)
        bit ^= 1;
    self->held[self->at] = (uint8_t)bit;
    self->at = (self->at + 1) % self->bits;
    return out;
}

static int latch(void *context)
{
    chip *self = context;
    memcpy(self->latched, self->held, self->bits);
    return self->fault % 3 != 1; /* some chips refuse */
}

static void capture(void *context)
{
    chip *self = context;
    memcpy(self->held, self->latched, self->bits);
}

static void put(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t crc(const uint8_t *bytes, size_t n)
{
    uint32_t state = ~0u;
    for (size_t i = 0; i < n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            const uint32_t out = (state ^ bytes[i] >> bit) & 1;
            state = state >> 1 ^ (out ? 0xedb88320u : 0);
        }
    return ~state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const size_t bytes = size - 2;
    uint8_t *stream = malloc(bytes + !bytes);
    NEED(stream != NULL);
    memcpy(stream, data + 2, bytes);
    (void)kws_chip_check(stream, bytes);
    if (bytes > KWS_REG_LENGTH_OFFSET / 8 + 8 && bytes < 4096) {
        chip self = {malloc(bytes * 8), malloc(bytes * 8), bytes * 8, 0, 0,
                     (uint32_t)(data[0] << 8 | data[1])};
        const kws_chip_pins pins = {&self, clock, latch, capture};
        NEED(self.held != NULL && self.latched != NULL);
        memset(self.held, 1, self.bits);
        put(stream, KWS_REG_MAGIC);
        stream[KWS_REG_VERSION_OFFSET / 8] = KWS_REG_VERSION;
        put(stream + KWS_REG_LENGTH_OFFSET / 8, (uint32_t)(bytes * 8));
        put(stream + bytes - 4, crc(stream, bytes - 4));
        NEED(kws_chip_check(stream, bytes));
        const kws_chip_result result = kws_chip_program(&pins, stream, bytes);
        int same = 1;
        for (size_t i = 0; i < self.bits; i++)
            same &= self.latched[i] == (stream[i / 8] >> (7 - i % 8) & 1);
        if (result == KWS_CHIP_OK)
            NEED(same);
        if (self.fault == 0)
            NEED(result == KWS_CHIP_OK);
        stream[bytes / 2] ^= 1;
        NEED(kws_chip_program(&pins, stream, bytes) == KWS_CHIP_BAD_STREAM);
        free(self.held);
        free(self.latched);
    }
    free(stream);
    return 0;
}
