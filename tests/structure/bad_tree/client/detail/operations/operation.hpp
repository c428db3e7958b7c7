#include "tern/client/detail/delivery/inbox.hpp"
#include "tern/client/detail/operations/pools.hpp"
