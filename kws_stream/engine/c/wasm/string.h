/* The functions of <string.h> that the engine calls, as instructions of WebAssembly. */
#ifndef KWS_STRING_H
#define KWS_STRING_H
#include <stddef.h>
#define memcpy __builtin_memcpy
#define memmove __builtin_memmove
#define memset __builtin_memset
#endif
