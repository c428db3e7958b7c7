#include "tern/core.hpp"
#include "tern/format.hpp"
