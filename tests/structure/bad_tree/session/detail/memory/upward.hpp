#include "tern/message.hpp"
#include "tern/session/options.hpp"
