// The interface of a library that uses Tern.
#pragma once

#include "tern/fwd.hpp"

bool is_at_home(const tern::client& client);
