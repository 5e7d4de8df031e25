# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Fails when a planted bug did not change the object code: then it plants nothing. In: NAME, ORIGINAL and PLANTED (object files, lists separated by |),
# OBJCOPY, OBJDUMP, WORK (a folder), STAMP. Compared is everything but debug information and notes.
cmake_minimum_required(VERSION 3.25)
string(REPLACE "|" ";" originals "${ORIGINAL}")
string(REPLACE "|" ";" planted "${PLANTED}")

function(contents objects result)
  set(all "")
  foreach(object IN LISTS objects)
    execute_process(COMMAND ${OBJCOPY} --strip-debug --remove-section=.comment --remove-section=.note* ${object} ${WORK}/stripped.o
      COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${OBJDUMP} --full-contents --reloc --disassemble stripped.o WORKING_DIRECTORY ${WORK}
      OUTPUT_VARIABLE dump COMMAND_ERROR_IS_FATAL ANY)
    string(SHA256 hash "${dump}")
    list(APPEND all ${hash})
  endforeach()
  list(SORT all)
  set(${result} "${all}" PARENT_SCOPE)
endfunction()

file(MAKE_DIRECTORY ${WORK})
list(LENGTH originals count_original)
list(LENGTH planted count_planted)
if(count_original EQUAL 0 OR NOT count_original EQUAL count_planted)
  message(FATAL_ERROR "planted ${NAME}: ${count_planted} objects stand in for ${count_original} of the engine. The target is not part of it.")
endif()
contents("${originals}" before)
contents("${planted}" after)
if("${before}" STREQUAL "${after}")
  message(FATAL_ERROR "planted ${NAME}: the object code did not change, so nothing is planted. Change what the code does.")
endif()
file(TOUCH ${STAMP})
