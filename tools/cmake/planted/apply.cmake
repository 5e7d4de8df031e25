# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Writes OUT, a copy of the file that PLANT targets under SOURCE, with the pair applied. Fails unless `before` stands there exactly once.
#
# #line directives keep file names and line numbers as in the original, so that the object code differs by the planted bug and by nothing else
# (line numbers reach it through PAGEDB_CHECK).
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/read.cmake)
planted_read("${PLANT}")

set(target "${SOURCE}/${PLANT_TARGET}")
if(NOT EXISTS "${target}")
  message(FATAL_ERROR "${PLANT}: its target ${PLANT_TARGET} is gone. Point the plant at where that code went, or retire it.")
endif()
file(READ "${target}" text)
string(FIND "\n${text}" "\n${PLANT_BEFORE}" at)
if(at LESS 0)
  message(FATAL_ERROR "${PLANT}: 'before' no longer stands in ${PLANT_TARGET}. Bring the pair up to date with the code.")
endif()
string(SUBSTRING "${text}" 0 ${at} head)
string(LENGTH "${PLANT_BEFORE}" length)
math(EXPR past "${at} + ${length}")
string(SUBSTRING "${text}" ${past} -1 tail)
string(FIND "\n${tail}" "\n${PLANT_BEFORE}" again)
if(NOT again LESS 0)
  message(FATAL_ERROR "${PLANT}: 'before' stands more than once in ${PLANT_TARGET}. Take in more lines around it.")
endif()

string(REGEX MATCHALL "\n" newlines "${head}${PLANT_BEFORE}")
list(LENGTH newlines line)
math(EXPR line "${line} + 1")
file(WRITE "${OUT}" "#line 1 \"${target}\"\n${head}${PLANT_AFTER}#line ${line} \"${target}\"\n${tail}")
