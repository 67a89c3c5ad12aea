/* The function of <math.h> that the engine calls, as an instruction of WebAssembly. */
#ifndef KWS_MATH_H
#define KWS_MATH_H
#define sqrt __builtin_sqrt
#endif
