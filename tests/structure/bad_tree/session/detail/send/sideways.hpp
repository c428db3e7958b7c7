#include "tern/session/detail/memory/ring.hpp"
#include "tern/session/detail/receive/receiver.hpp"
#include "tern/session/options.hpp"
