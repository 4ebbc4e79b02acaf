# encoderfile::encoderfile is the shared library, encoderfile::static the other. Where they are, is
# seen from where this file is.
get_filename_component(_encoderfile_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET encoderfile::encoderfile)
  add_library(encoderfile::encoderfile SHARED IMPORTED)
  set_target_properties(encoderfile::encoderfile PROPERTIES
    IMPORTED_LOCATION "${_encoderfile_prefix}/@SHARED@"
    @KNOWN_BY@
    INTERFACE_INCLUDE_DIRECTORIES "${_encoderfile_prefix}/include")

  add_library(encoderfile::static STATIC IMPORTED)
  set_target_properties(encoderfile::static PROPERTIES
    IMPORTED_LOCATION "${_encoderfile_prefix}/lib/libencoderfile.a"
    INTERFACE_LINK_LIBRARIES "@SYSTEM@"
    INTERFACE_INCLUDE_DIRECTORIES "${_encoderfile_prefix}/include")
endif()

unset(_encoderfile_prefix)
