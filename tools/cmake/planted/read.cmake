# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# planted_read(FILE): reads a .plant file into PLANT_NAME, _ORIGIN, _TARGET, _INVARIANTS, _SCENARIOS, _BEFORE, _AFTER of the caller.
# The form is described in scenarios/planted/README.md. Anything that is missing or left over is an error.

function(planted_read file)
  cmake_path(GET file STEM name)
  file(READ "${file}" text)
  string(FIND "${text}" "\n--- before\n" at_before)
  string(FIND "${text}" "\n--- after\n" at_after)
  string(FIND "${text}" "\n--- end\n" at_end)
  if(at_before LESS 0 OR at_after LESS at_before OR at_end LESS at_after)
    message(FATAL_ERROR "${file}: no before/after pair. Write the lines '--- before', '--- after' and '--- end' around it, in this order.")
  endif()
  string(SUBSTRING "${text}" 0 ${at_before} head)
  math(EXPR begin "${at_before} + 12")  # past "\n--- before\n"
  math(EXPR length "${at_after} + 1 - ${begin}")
  string(SUBSTRING "${text}" ${begin} ${length} before)
  math(EXPR begin "${at_after} + 11")  # past "\n--- after\n"
  math(EXPR length "${at_end} + 1 - ${begin}")
  string(SUBSTRING "${text}" ${begin} ${length} after)
  foreach(field IN ITEMS origin target invariants scenarios)
    if(NOT "\n${head}\n" MATCHES "\n${field}: ([^\n]+)\n")
      message(FATAL_ERROR "${file}: no '${field}'. Write a line '${field}: ...' before the pair.")
    endif()
    string(TOUPPER "${field}" upper)
    set(PLANT_${upper} "${CMAKE_MATCH_1}" PARENT_SCOPE)
  endforeach()
  set(PLANT_NAME "${name}" PARENT_SCOPE)
  set(PLANT_BEFORE "${before}" PARENT_SCOPE)
  set(PLANT_AFTER "${after}" PARENT_SCOPE)
endfunction()
