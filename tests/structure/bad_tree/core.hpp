#include "tern/client/client.hpp"
