// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// Compiled against one version of engine/sync.h, linked with the library of the other one: must not link. A ctest
// builds it, once a direction.
#include "engine/sync.h"

int main() {
  pagedb::sync::Atomic<int> word{0};
  return word.load();
}
