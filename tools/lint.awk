# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# The rules of tools/lint, over all sources in one pass. POSIX awk (Debian's mawk). Each rule has a name, by which tools/lint_allow excepts files:
# `RULE PATH reason`; an exception that excepts nothing is itself a finding. tools/lint_selftest proves that every rule fires.

function report(rule, number, what) {
  if ((rule, path) in allowed) { used[rule, path] = 1; return }
  print path ":" number ": [" rule "] " what
  found = 1
}

# Whether `text` has `word` with no identifier character on either side.
function has_word(text, word,    at, before, after, rest) {
  rest = " " text " "
  while ((at = index(rest, word)) > 0) {
    before = substr(rest, at - 1, 1)
    after = substr(rest, at + length(word), 1)
    if (before !~ /[A-Za-z0-9_]/ && after !~ /[A-Za-z0-9_]/) return 1
    rest = substr(rest, at + 1)
  }
  return 0
}

# The line without comments, and with string contents blanked. Keeps whether a block comment is open.
function code_of(line,    out, i, two, c) {
  out = ""
  for (i = 1; i <= length(line); ++i) {
    two = substr(line, i, 2)
    c = substr(line, i, 1)
    if (in_comment) {
      if (two == "*/") { in_comment = 0; ++i }
    } else if (two == "/*") {
      in_comment = 1
      ++i
    } else if (two == "//") {
      break
    } else if (c == "\"") {
      out = out "\""
      for (++i; i <= length(line) && substr(line, i, 1) != "\""; ++i) if (substr(line, i, 1) == "\\") ++i
      out = out "\""
    } else if (c == "'" && substr(line, i) ~ /^'(\\.[^']*|[^'\\])'/) {
      match(substr(line, i), /^'(\\.[^']*|[^'\\])'/)
      out = out "' '"
      i += RLENGTH - 1
    } else {
      out = out c
    }
  }
  return out
}

function starts(text, prefix) { return substr(text, 1, length(prefix)) == prefix }

# Whether a file of `folder` may include `header`.
function may_include(header) {
  if (starts(header, "tools/")) return folder == "tools"
  if (is_test) return 1
  if (path ~ /^scenarios\/oracle/ && starts(header, "engine/")) return header ~ /^engine\/(types|error|page_file)\.h$/
  if (folder == "engine") return starts(header, "engine/")
  if (folder == "faults") return header ~ /^(faults\/|engine\/io\/|engine\/(types|error|scheduler|check|function_ref)\.h$)/
  if (folder == "sim") return header ~ /^(sim|faults|engine)\//
  if (folder == "scenarios") return header ~ /^(scenarios|sim|faults|engine)\//
  if (folder == "reports") return header ~ /^(reports|faults)\// || header ~ /^scenarios\/(campaign_)?result\.h$/ || header == "sim/trace.h"
  return header !~ /^tools\//
}

# One `draw` or `chance` a full expression. A statement ends at ; { } and at what orders evaluation: the condition of if/while/switch, && || ?:
function count_draws(text,    i, c, two, rest) {
  for (i = 1; i <= length(text); ++i) {
    c = substr(text, i, 1)
    two = substr(text, i, 2)
    if (c == ";" || c == "{" || c == "}" || c == "?") { draws = 0; condition = -1; if (c != "?") depth = 0; continue }
    if (two == "&&" || two == "||") { draws = 0; ++i; continue }
    if (two == "::") { ++i; continue }
    if (c == ":") { draws = 0; continue }
    if (c == "(") {
      if (substr(text, 1, i - 1) ~ /(^|[^A-Za-z0-9_])(if|while|switch)( constexpr)? *$/) condition = depth
      ++depth
    }
    if (c == ")") { --depth; if (depth == condition) { draws = 0; condition = -1 } }
    rest = substr(text, i)
    if (rest ~ /^(draw|chance)\(/ && (i == 1 || substr(text, i - 1, 1) !~ /[A-Za-z0-9_]/)) {
      if (++draws == 2) report("one-draw", FNR, "two draws in one full expression - give each a statement of its own; evaluation order differs between compilers")
    }
  }
}

function end_of_file() {
  if (path != "" && lines > 500 && is_source) report("long-file", lines, lines " lines - a file past 500 has two jobs; split it")
}

BEGIN {
  while ((getline entry < allow_file) > 0) {
    ++allow_line
    if (entry ~ /^#/ || entry ~ /^[ \t]*$/) continue
    fields = split(entry, part, /[ \t]+/)
    if (fields < 3) { print allow_file ":" allow_line ": an exception without a reason - write: RULE PATH reason"; found = 1; continue }
    allowed[part[1], part[2]] = allow_line
  }
  quote = "\""
}

FNR == 1 {
  end_of_file()
  path = FILENAME
  folder = path
  if (!sub(/\/.*/, "", folder)) folder = ""
  is_code = path ~ /\.(h|cc)$/
  is_header = path ~ /\.h$/
  is_test = path ~ /_test\.(cc|h)$/
  is_lint = path ~ /^tools\/lint/
  is_script = 0
  is_source = 1
  in_engine = folder == "engine" && is_code && !is_test
  shipped = in_engine && path !~ /\/examples\//
  deterministic = is_code && (folder == "sim" || folder == "scenarios" || folder == "faults")
  in_comment = draws = depth = 0
  condition = -1
  statement = ""
  spdx = (path ~ /\.(h|cc)(\.in)?$/ ? "// " : "# ") "SPDX-License-Identifier: Apache-2.0 OR MIT"
  if (starts($0, "#!")) is_script = 1
  else if ($0 != spdx) report("spdx", 1, "no SPDX line first - begin the file with: " spdx)
}
FNR == 2 && is_script && $0 != spdx { report("spdx", 2, "no SPDX line after #! - put there: " spdx) }

{
  lines = FNR
  if (!is_lint) {
    if (has_word($0, "TODO") || has_word($0, "FIXME") || has_word($0, "XXX") || has_word($0, "HACK"))
      report("left-over", FNR, "a note to come back - do it now, or open an issue")
    if ($0 ~ /DISABLED_|GTEST_SKIP|^[ \t]*#[ \t]*if[ \t]+0/)
      report("disabled-test", FNR, "a disabled test or code - make it pass, or delete it")
  }
  if (!is_code) next
  code = code_of($0)

  if (!in_comment && $0 ~ /^[ \t]*#[ \t]*include[ \t]*"/) {
    header = $0
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    if (header !~ /^(engine|faults|sim|scenarios|reports|fuzz|tools)\//)
      report("include-path", FNR, "include \"" header "\" is not root-relative - write the path from the root, or <...> for a library")
    else if (!may_include(header))
      report("include", FNR, (path ~ /^scenarios\/oracle/ && starts(header, "engine/") ? "the oracle" : folder) " must not include " header " - see the module table in DESIGN section 3 (tools/README.md)")
  }

  if (has_word(code, "random_device")) report("banned", FNR, "std::random_device - draw from Choices, or take the value from the caller")
  if (has_word(code, "system_clock")) report("banned", FNR, "system_clock - use the Scheduler's now(), or steady_clock in tools")
  if (code ~ /std::shuffle/) report("banned", FNR, "std::shuffle differs between libraries - draw each swap")
  if (code ~ /std::[a-z_]*_distribution/) report("banned", FNR, "std distributions differ between libraries - draw a small integer")
  if (code ~ /(^|[^A-Za-z0-9_.>])(s?rand\(|random\(\))/) report("banned", FNR, "rand() - draw from Choices")
  if (deterministic && !is_test && code ~ /unordered_(multi)?(map|set)/)
    report("unordered", FNR, "unordered container where a trace or decision can see its order - use a vector, std::map or std::set")
  if (shipped) {
    if (has_word(code, "thread_local")) report("engine-state", FNR, "thread_local in the engine - keep state in objects the caller owns")
    if (code ~ /std::(cout|cerr|clog)/ || code ~ /(^|[^A-Za-z0-9_])(f|v|vf)?(printf|puts)\(/ || code ~ /std::(f|v|vf)?(printf|puts)\(/)
      report("engine-log", FNR, "output in the engine - return a typed error; the caller decides what to print")
    if (code ~ /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)([ \t(]|$)/)
      report("engine-ifdef", FNR, "conditional compilation in the engine - one behaviour for all; platform detection is excepted in tools/lint_allow")
  }
  if (deterministic) count_draws(code " ")

  if (in_engine && is_header && code !~ /^[ \t]*#/) {
    n = split(code, piece, /[;{}]/)
    for (p = 1; p <= n; ++p) {
      statement = statement " " piece[p]
      if (p < n) {
        if (statement ~ /(^|[^A-Za-z0-9_])(Result|IoResult)<[^();]*>[ &*]+[a-z_]+\(/ && statement !~ /\[\[nodiscard\]\]/)
          report("nodiscard", FNR, "a function returns a Result without [[nodiscard]] - add it")
        statement = ""
      }
    }
  }
}

END {
  end_of_file()
  for (key in allowed) if (!(key in used)) {
    split(key, part, SUBSEP)
    print allow_file ":" allowed[key] ": exception " part[1] " " part[2] " excepts nothing - delete the line"
    found = 1
  }
  exit found
}
