//! Standard error holds our sentences alone, also on a machine without a desktop.

use std::process::Command;

#[test]
fn nothing_but_our_own_lines_on_standard_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_everylayer"))
        .args(["embed", "Hi", "--layers", "99", "--device", "auto"])
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("everylayer: error: layer 99"), "{said}");
}
