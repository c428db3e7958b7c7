#include "tern/detail/owned.hpp"
#include "tern/session/options.hpp"
