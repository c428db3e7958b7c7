// The compiled form of Tern: tern::compiled is made of this file.
#include "tern/src.hpp"
