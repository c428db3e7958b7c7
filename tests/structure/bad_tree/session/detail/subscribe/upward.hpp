#include "tern/session/detail/dispatch.hpp"
#include "tern/session/detail/memory/ring.hpp"
