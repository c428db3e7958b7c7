#include "tern/detail/utf8.hpp"
#include "tern/session/options.hpp"
