// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Compiled against the model checker's sync.h, linked with the production engine: must not link (a ctest builds it).
#include "engine/sync.h"

int main() {
  pagedb::sync::Atomic<int>* const none = nullptr;
  return none == nullptr ? 0 : 1;
}
