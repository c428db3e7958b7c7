// How a function is declared that the compiled form of Tern defines in `tern/src.hpp`: inline in the header-only form.
#pragma once

#if defined(TERN_SEPARATE_COMPILATION)
#define TERN_DECLARE
#else
#define TERN_DECLARE inline
#endif
