#include "tern/client/detail/engine_base.hpp"
#include "tern/client/detail/operations/pending.hpp"
#include "tern/client/received_message.hpp"
