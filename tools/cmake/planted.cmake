# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# planted_bug(FILE.plant): builds pagesim over a copy of the engine that has the planted bug, and adds the test that the harness catches it.
#
# The program is linked from pagesim's own objects, every unmodified engine object, and the one object compiled from the changed copy. A plant in a
# header recompiles the whole engine against the changed header. The build fails when the pair does not match or the object code did not change.
include(${CMAKE_CURRENT_LIST_DIR}/planted/read.cmake)
set(PAGEDB_PLANTED_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/planted)

function(planted_bug file)
  planted_read(${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  set(name ${PLANT_NAME})
  set(scripts ${PAGEDB_PLANTED_SCRIPTS})
  set(tree ${PROJECT_BINARY_DIR}/planted/${name})
  set(copy ${tree}/${PLANT_TARGET})

  add_custom_command(OUTPUT ${copy}
    COMMAND ${CMAKE_COMMAND} -DPLANT=${file} -DSOURCE=${PROJECT_SOURCE_DIR} -DOUT=${copy} -P ${scripts}/apply.cmake
    DEPENDS ${file} ${PROJECT_SOURCE_DIR}/${PLANT_TARGET} ${scripts}/apply.cmake ${scripts}/read.cmake VERBATIM)

  get_target_property(engine_sources pagedb_engine SOURCES)
  if(PLANT_TARGET MATCHES "\\.cc$")
    set(sources ${copy})
    string(REGEX REPLACE "^engine/" "" object ${PLANT_TARGET})
    string(REPLACE "." "[.]" object "/pagedb_engine.dir/(./)?${object}.o$")  # sources are paths: no backslashes
    set(replaced $<FILTER:$<TARGET_OBJECTS:pagedb_engine>,INCLUDE,${object}>)
    set(kept $<FILTER:$<TARGET_OBJECTS:pagedb_engine>,EXCLUDE,${object}>)
  else()
    set(sources ${engine_sources})
    list(FILTER sources INCLUDE REGEX "\\.cc$")
    list(APPEND sources ${copy})
    set(replaced $<TARGET_OBJECTS:pagedb_engine>)
    set(kept "")
  endif()
  add_library(planted_${name} OBJECT ${sources})
  target_include_directories(planted_${name} BEFORE PRIVATE ${tree})
  target_link_libraries(planted_${name} PRIVATE pagedb_engine)
  target_compile_options(planted_${name} PRIVATE -w)  # a bug may well leave a parameter unused

  set(stamp ${tree}/object_code_changed)
  add_custom_command(OUTPUT ${stamp}
    COMMAND ${CMAKE_COMMAND} -DNAME=${name} "-DORIGINAL=$<JOIN:${replaced},|>" "-DPLANTED=$<JOIN:$<TARGET_OBJECTS:planted_${name}>,|>"
      -DOBJCOPY=${CMAKE_OBJCOPY} -DOBJDUMP=${CMAKE_OBJDUMP} -DWORK=${tree} -DSTAMP=${stamp} -P ${scripts}/compare.cmake
    DEPENDS pagedb_engine $<TARGET_OBJECTS:planted_${name}> ${scripts}/compare.cmake VERBATIM)
  add_custom_target(planted_${name}_changed DEPENDS ${stamp})

  set(program pagesim_planted_${name})
  get_target_property(libraries pagesim LINK_LIBRARIES)
  add_executable(${program} $<TARGET_OBJECTS:pagesim> $<TARGET_OBJECTS:planted_${name}> ${kept})
  target_link_libraries(${program} PRIVATE ${libraries})
  add_dependencies(${program} pagedb_engine pagesim planted_${name}_changed)

  add_test(NAME planted.${name}
    COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:${program}> -DUNBROKEN=$<TARGET_FILE:pagesim> -DPLANT=${file} -DSEEDS=200 -P ${scripts}/run.cmake)
  set_tests_properties(planted.${name} PROPERTIES TIMEOUT 600 LABELS planted)
endfunction()
