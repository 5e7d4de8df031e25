// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The symbol by which objects compiled against the production sync.h find each other.
#include "engine/sync.h"

const char pagedb_sync_is_production = 1;
