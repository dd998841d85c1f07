//! The environment that makes Vulkan a GPU that is not there. It has to be there before the Vulkan
//! loader is, so the tool starts itself once more with it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::ValueEnum;

use crate::failure::Failure;
use crate::family::{Family, Vendor};

/// Set in the child, to its task.
const INSIDE: &str = "SHADER_STATS_INSIDE";

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Open the driver and end: a driver ends the process itself over a family it does not know.
    Open,
    /// What the arguments say.
    Work,
}

/// Set in the child, to its family.
const FAMILY: &str = "SHADER_STATS_FAMILY";

/// Set in the child where its answer is JSON for the parent.
const PIPED: &str = "SHADER_STATS_PIPED";

/// Where distributions put descriptions of drivers.
const ICDS: &str = "/usr/share/vulkan/icd.d";

/// The library that answers for i915, beside this program.
const I915_STUB: &str = "libi915_stub.so";

/// The task of this process; none without the environment.
pub fn inside() -> Option<Task> {
    let task = std::env::var_os(INSIDE)?;
    Some(if task == "open" { Task::Open } else { Task::Work })
}

/// The family of a child.
pub fn family() -> Option<Family> {
    Family::from_str(&std::env::var(FAMILY).ok()?, true).ok()
}

/// Whether this child answers its parent.
pub fn piped() -> bool {
    std::env::var_os(PIPED).is_some()
}

/// What a child runs with.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// The GPU it is told of.
    pub family: Family,
    /// Description of its driver; the system's otherwise.
    pub icd: Option<&'a Path>,
    /// Library that answers for the kernel's driver; ours for i915 otherwise.
    pub preload: Option<&'a Path>,
}

/// Runs this program again with the same arguments on `device`. Returns its exit code, and what it
/// printed where `piped`.
///
/// # Errors
///
/// [`Failure::Driver`] where the driver is not there; [`Failure::Work`] where it crashed.
pub fn run(device: Device<'_>, piped: bool) -> Result<(u8, Vec<u8>), Failure> {
    let Device { family, .. } = device;
    let work = |text: String| Failure::Work(text);
    let icd = find(device.icd, family.vendor())?;
    let own = std::env::current_exe().map_err(|e| work(format!("this program's path: {e}")))?;
    let mut command = Command::new(own);
    command.args(std::env::args_os().skip(1));
    for name in ["RADV_DEBUG", "RADV_PERFTEST", "ACO_DEBUG", "NIR_DEBUG", "VK_INSTANCE_LAYERS"] {
        command.env_remove(name);
    }
    if let Some(preload) = preload(device)? {
        command.env("LD_PRELOAD", preload);
    }
    let (variable, value) = family.environment();
    command
        .env(variable, value)
        .env(FAMILY, family.name())
        .env("MESA_SHADER_CACHE_DISABLE", "true")
        // No layer between: Mesa's own would look for a display.
        .env("VK_LOADER_LAYERS_DISABLE", "~implicit~")
        .env("NODEVICE_SELECT", "1");
    let moved = moved(&icd)?;
    let icd = match &moved {
        Some(moved) => {
            let mut paths = moved.folder.as_os_str().to_owned();
            if let Some(more) = std::env::var_os("LD_LIBRARY_PATH") {
                paths.push(":");
                paths.push(more);
            }
            command.env("LD_LIBRARY_PATH", paths);
            &moved.icd
        }
        None => &icd,
    };
    // The second is its name before Vulkan 1.3.207.
    command.env("VK_DRIVER_FILES", icd).env("VK_ICD_FILENAMES", icd);
    if piped {
        command.env(PIPED, "1").stdout(Stdio::piped());
    }
    let mut run = |task: &str| -> Result<Output, Failure> {
        let child = command.env(INSIDE, task).spawn();
        child
            .and_then(|child| child.wait_with_output())
            .map_err(|e| work(format!("starting itself: {e}")))
    };
    match run("open")?.status.code() {
        Some(0) => {}
        Some(code) => return Ok((u8::try_from(code).unwrap_or(2), Vec::new())),
        None => {
            return Err(Failure::Driver(format!(
                "the driver does not know {family}, or is broken"
            )));
        }
    }
    let Output { status, stdout, .. } = run("work")?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok((u8::try_from(code).unwrap_or(1), stdout)),
        (None, signal) => Err(work(format!(
            "the driver crashed with signal {}: --kernel helps to find on what",
            signal.unwrap_or(0)
        ))),
    }
}

/// The library to preload, if any.
fn preload(device: Device<'_>) -> Result<Option<PathBuf>, Failure> {
    let missing = |what: String| Failure::Driver(what);
    match (device.preload, device.family.vendor()) {
        (Some(given), _) => fs::canonicalize(given)
            .map(Some)
            .map_err(|e| missing(format!("nothing to preload at {}: {e}", given.display()))),
        (None, Vendor::Amd) => Ok(None),
        (None, Vendor::Intel) => {
            let own = std::env::current_exe().map_err(|e| missing(e.to_string()))?;
            let folder = own.parent().unwrap_or(Path::new("."));
            // Cargo leaves a dependency's library in `deps`.
            let places = [folder.join(I915_STUB), folder.join("deps").join(I915_STUB)];
            let found = places.into_iter().find(|path| path.is_file());
            found.map(Some).ok_or_else(|| {
                missing(format!(
                    "no {I915_STUB} in {}: cargo build --workspace makes it",
                    folder.display()
                ))
            })
        }
        (None, Vendor::Adreno) => Err(missing(format!(
            "{} wants --icd and --preload: tools/shader-stats/README.md says how they are made",
            device.family
        ))),
    }
}

fn find(icd: Option<&Path>, vendor: Vendor) -> Result<PathBuf, Failure> {
    if let Some(icd) = icd {
        return fs::canonicalize(icd)
            .map_err(|e| Failure::Driver(format!("no driver at {}: {e}", icd.display())));
    }
    let (driver, file) = vendor.driver();
    let ends = [format!(".{}.json", std::env::consts::ARCH), ".json".to_owned()];
    let mut places = ends.iter().map(|end| Path::new(ICDS).join(format!("{file}{end}")));
    places.find(|path| path.exists()).ok_or_else(|| {
        Failure::Driver(format!(
            "no {driver} driver at {ICDS}/{file}.{}.json: install mesa-vulkan-drivers, or give its \
             description as --icd",
            std::env::consts::ARCH
        ))
    })
}

/// A description of a driver that was unpacked elsewhere, written anew; gone when dropped.
struct Moved {
    icd: PathBuf,
    folder: PathBuf,
}

impl Drop for Moved {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.icd);
    }
}

/// For `ROOT/usr/share/vulkan/icd.d/x.json` whose library lies in `ROOT/usr/lib`: a description
/// that says so, since the package's own means the system's. None for the system's driver.
fn moved(icd: &Path) -> Result<Option<Moved>, Failure> {
    let bad = |what: String| Failure::Driver(format!("{}: {what}", icd.display()));
    let text = fs::read_to_string(icd).map_err(|e| bad(e.to_string()))?;
    let mut json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| bad(format!("no driver description: {e}")))?;
    let Some(library) = json["ICD"]["library_path"].as_str() else {
        return Err(bad("it names no library_path".to_owned()));
    };
    let Some(library) = library_beside(icd, library) else { return Ok(None) };
    json["ICD"]["library_path"] = library.to_string_lossy().into();
    let name = format!("shader-stats-{}.json", std::process::id());
    let written = std::env::temp_dir().join(name);
    fs::write(&written, json.to_string())
        .map_err(|e| Failure::Work(format!("{}: {e}", written.display())))?;
    let folder = library.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Some(Moved { icd: written, folder }))
}

fn library_beside(icd: &Path, library: &str) -> Option<PathBuf> {
    let root = icd.parent()?.to_str()?.strip_suffix("/usr/share/vulkan/icd.d")?;
    if root.is_empty() {
        return None;
    }
    let name = Path::new(library).file_name()?;
    let usr_lib = Path::new(root).join("usr/lib");
    let folders = fs::read_dir(&usr_lib).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    std::iter::once(usr_lib.clone())
        .chain(folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{find, moved};
    use crate::failure::Failure;
    use crate::family::Vendor;

    #[test]
    fn a_driver_unpacked_elsewhere_is_found_beside_its_description() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let (icds, libraries) =
            (root.join("usr/share/vulkan/icd.d"), root.join("usr/lib/x86_64-linux-gnu"));
        fs::create_dir_all(&icds).unwrap();
        fs::create_dir_all(&libraries).unwrap();
        fs::write(libraries.join("libvulkan_radeon.so"), "").unwrap();
        let icd = icds.join("radeon_icd.json");
        fs::write(&icd, r#"{"ICD": {"library_path": "libvulkan_radeon.so"}}"#).unwrap();
        let moved = moved(&icd).unwrap().unwrap();
        assert_eq!(moved.folder, libraries);
        let text = fs::read_to_string(&moved.icd).unwrap();
        assert!(text.contains("usr/lib/x86_64-linux-gnu/libvulkan_radeon.so"), "{text}");
    }

    #[test]
    fn a_driver_of_the_system_is_taken_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let icd = root.path().join("radeon_icd.json");
        fs::write(&icd, r#"{"ICD": {"library_path": "/usr/lib/libvulkan_radeon.so"}}"#).unwrap();
        assert!(moved(&icd).unwrap().is_none());
    }

    #[test]
    fn a_missing_driver_is_no_mistake_of_a_kernel() {
        let missing = find(Some("/nowhere/radeon_icd.json".as_ref()), Vendor::Amd).unwrap_err();
        assert!(matches!(missing, Failure::Driver(_)));
    }
}
