//! On macOS a library of Python is linked with names that the interpreter resolves.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
