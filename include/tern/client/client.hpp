// The client, and what is behind it: for whoever makes one.
#pragma once

#include "tern/client/basic_client.hpp"
#include "tern/client/detail/engine.hpp"
