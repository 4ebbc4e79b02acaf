//! Symbols of the interpreter are found when it loads the module, which linkers of macOS have to
//! be told.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
