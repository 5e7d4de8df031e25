# SPDX-License-Identifier: Apache-2.0 OR MIT
#
# Installs the engine, and only the engine: the library, its public headers under include/pagedb/engine/, and a package for find_package(pagedb).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

target_include_directories(pagedb_engine INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/pagedb>)
target_compile_features(pagedb_engine PUBLIC cxx_std_20)
set_target_properties(pagedb_engine PROPERTIES EXPORT_NAME engine OUTPUT_NAME pagedb)

install(TARGETS pagedb_engine EXPORT pagedb ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY engine/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pagedb/engine FILES_MATCHING PATTERN "*.h" PATTERN "*_test*" EXCLUDE
  PATTERN examples EXCLUDE PATTERN internal EXCLUDE PATTERN pool EXCLUDE PATTERN alloc EXCLUDE PATTERN redo EXCLUDE)
install(FILES engine/pool/frame_table.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pagedb/engine/pool)  # a hit is inlined from it
set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/pagedb)
install(EXPORT pagedb NAMESPACE pagedb:: FILE pagedbTargets.cmake DESTINATION ${_package_dir})
configure_package_config_file(tools/cmake/pagedbConfig.cmake.in ${PROJECT_BINARY_DIR}/pagedbConfig.cmake INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/pagedbConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/pagedbConfig.cmake ${PROJECT_BINARY_DIR}/pagedbConfigVersion.cmake DESTINATION ${_package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# A user's project, built both ways: against an installed copy, and with page-db as a subdirectory.
if(PAGEDB_TESTS AND NOT PAGEDB_SANITIZE)
  add_test(NAME package.find_package COMMAND ${CMAKE_COMMAND} -DWAY=find_package -DSOURCE=${PROJECT_SOURCE_DIR} -DBUILD=${PROJECT_BINARY_DIR}
    -DCOMPILER=${CMAKE_CXX_COMPILER} -P ${PROJECT_SOURCE_DIR}/tools/cmake/package_test/run.cmake)
  add_test(NAME package.add_subdirectory COMMAND ${CMAKE_COMMAND} -DWAY=add_subdirectory -DSOURCE=${PROJECT_SOURCE_DIR}
    -DBUILD=${PROJECT_BINARY_DIR} -DCOMPILER=${CMAKE_CXX_COMPILER} -P ${PROJECT_SOURCE_DIR}/tools/cmake/package_test/run.cmake)
  set_tests_properties(package.find_package package.add_subdirectory PROPERTIES TIMEOUT 300)
endif()
