// SPDX-License-Identifier: Apache-2.0 OR MIT
//
// The line on a terminal that says how far a campaign is. Nothing when standard error is no terminal.
#pragma once

#include <functional>

#include "scenarios/campaign.h"

namespace pagedb::pagesim {

/// What CampaignOptions::progress is set to.
[[nodiscard]] std::function<void(const scenarios::Progress&)> progress_line();

/// Removes the line, so that what follows starts on a clean one.
void clear_progress_line();

}  // namespace pagedb::pagesim
