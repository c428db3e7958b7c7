// Tern's headers compile after the macros of system headers that collide with ordinary names: those of <windows.h>
// without NOMINMAX and of its <rpcndr.h>, and `check` of Apple's <AssertMacros.h>. Headers of other libraries are
// included before, because not all of them allow for these macros.
#include "foreign_headers.hpp"

#undef min
#undef max
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define small char
#define interface struct
#undef ERROR
#define ERROR 0
#define IN
#define OUT
#define check(assertion) static_cast<void>(assertion)

#include "every_header.hpp"
