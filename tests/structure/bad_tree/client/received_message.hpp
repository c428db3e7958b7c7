#include "tern/client/detail/delivery/message_pool.hpp"
#include "tern/session/event.hpp"
