#include <tern/types.hpp>
