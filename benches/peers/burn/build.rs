//! The version of burn that was locked, for the report.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.lock");
    let lock = std::fs::read_to_string("Cargo.lock").expect("cargo has just read it");
    let version = lock.split("[[package]]").find_map(|one| {
        one.trim_start()
            .strip_prefix("name = \"burn\"\nversion = \"")?
            .split('"')
            .next()
            .map(str::to_owned)
    });
    println!("cargo::rustc-env=BURN_VERSION={}", version.expect("burn is a dependency"));
}
