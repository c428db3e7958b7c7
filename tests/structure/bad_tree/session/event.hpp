#include "tern/session/detail/memory/ring.hpp"
#include "tern/session/detail/state.hpp"
