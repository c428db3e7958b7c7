#include "tern/session/detail/send/sideways.hpp"
#include "tern/session/detail/subscribe/upward.hpp"
#include "tern/session/options.hpp"
#include "tern/session/session.hpp"
