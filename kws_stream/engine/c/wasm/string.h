/* The two functions of <string.h> that the engine calls, as instructions of WebAssembly. */
#ifndef KWS_STRING_H
#define KWS_STRING_H
#include <stddef.h>
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#endif
