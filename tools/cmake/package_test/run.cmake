# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Builds and runs the user's project of this folder. In: WAY, SOURCE and BUILD (page-db's own trees), COMPILER.
set(work ${BUILD}/package_test/${WAY})

function(step what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${what} failed (${code}):\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${work})
if(WAY STREQUAL "find_package")
  step("installing page-db" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
endif()
step("configuring the user's project" ${CMAKE_COMMAND} -G Ninja -S ${CMAKE_CURRENT_LIST_DIR} -B ${work}/build -DWAY=${WAY}
  -DPAGEDB_SOURCE=${SOURCE} -DCMAKE_PREFIX_PATH=${work}/prefix -DCMAKE_CXX_COMPILER=${COMPILER})
step("building the user's project" ${CMAKE_COMMAND} --build ${work}/build --target user)
step("running the user's program" ${work}/build/user)
