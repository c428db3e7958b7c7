#include "tern/codec/detail/hidden.hpp"
