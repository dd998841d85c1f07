//! Puts the browser package and its demo into the binary, where `web/build` has made the package, and
//! the shaders, for a page without their comments, which are a quarter of them: it fetches the binary.
//!
//! Nothing is built here: without `web/pkg` the list is empty, and `serve --web` says what to do.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What a page asks for, beside the demo: files, and folders with all that is in them.
const PARTS: [&str; 5] = ["index.js", "worker.js", "src", "pkg", "demo"];
/// What is no page's business.
const KINDS: [&str; 6] = ["js", "wasm", "html", "css", "svg", "json"];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo:rerun-if-changed=shaders");
    let for_page = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32");
    let mut shaders = Vec::new();
    copy_shaders(&package.join("shaders"), &folder.join("shaders"), for_page, "", &mut shaders)?;
    shaders.sort();
    let rows: Vec<_> =
        shaders.iter().map(|(name, path)| format!("({name:?}, include_str!({path:?}))")).collect();
    fs::write(folder.join("shaders.rs"), format!("&[{}]", rows.join(", ")))?;
    let (root, out) = (package.join("web"), folder.join("web_files.rs"));
    let mut files = Vec::new();
    // The engine itself, compiled for a page, does not hold its own package.
    let served = env::var_os("CARGO_FEATURE_SERVER").is_some();
    if served && root.is_dir() {
        println!("cargo:rerun-if-changed=web");
        if root.join("pkg/everylayer_bg.wasm").is_file() {
            PARTS.iter().try_for_each(|part| gather(&root, &root.join(part), &mut files))?;
        }
    }
    files.sort();
    let mut list = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in files {
        let _ = writeln!(list, "    ({name:?}, include_bytes!({path:?})),");
    }
    list.push_str("];\n");
    fs::write(out, list)
}

/// The files at or below `path`: names from `root` with slashes, and where they are.
fn gather(root: &Path, path: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            gather(root, &entry?.path(), files)?;
        }
        return Ok(());
    }
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    if let (true, Ok(name)) = (path.is_file() && KINDS.contains(&kind), path.strip_prefix(root)) {
        let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        files.push((parts.join("/"), path.display().to_string()));
    }
    Ok(())
}

/// Copies the shaders at or below `from`, called by their path in `within` without the ending, and
/// lists them with where they are; `bare` leaves out lines that are only a comment, but keeps those of
/// loops (`//:`, src/kernels/template.rs).
fn copy_shaders(
    from: &Path,
    to: &Path,
    bare: bool,
    within: &str,
    list: &mut Vec<(String, String)>,
) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        if path.is_dir() {
            copy_shaders(&path, &to.join(name), bare, &format!("{within}{name}/"), list)?;
        } else if path.extension().is_some_and(|kind| kind == "wgsl") {
            let text = fs::read_to_string(&path)?;
            let is_comment = |line: &str| line.starts_with("//") && !line.starts_with("//:");
            let kept = text.lines().filter(|line| !bare || !is_comment(line.trim_start()));
            let copy = to.join(format!("{name}.wgsl"));
            fs::write(&copy, kept.flat_map(|line| [line, "\n"]).collect::<String>())?;
            list.push((format!("{within}{name}"), copy.display().to_string()));
        }
    }
    Ok(())
}
