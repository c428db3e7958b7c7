#include "tern/client/connect_attempt.hpp"
#include "tern/client/detail/delivery/inbox.hpp"
#include "tern/client/detail/operations/pending.hpp"
