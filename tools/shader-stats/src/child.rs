//! The environment that makes Vulkan RADV's null device. It has to be there before the Vulkan
//! loader is, so the tool starts itself once more with it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::failure::Failure;

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

/// Where distributions put the description of RADV.
const ICDS: [&str; 2] =
    ["/usr/share/vulkan/icd.d/radeon_icd.x86_64.json", "/usr/share/vulkan/icd.d/radeon_icd.json"];

/// The task of this process; none without the environment.
pub fn inside() -> Option<Task> {
    let task = std::env::var_os(INSIDE)?;
    Some(if task == "open" { Task::Open } else { Task::Work })
}

/// Runs this program again with the same arguments, as `family`, with the driver that `icd`
/// describes. Returns its exit code.
///
/// # Errors
///
/// [`Failure::Driver`] where the driver is not there; [`Failure::Work`] where it crashed.
pub fn run(family: &str, icd: Option<&Path>) -> Result<u8, Failure> {
    let work = |text: String| Failure::Work(text);
    let icd = find(icd)?;
    let own = std::env::current_exe().map_err(|e| work(format!("this program's path: {e}")))?;
    let mut command = Command::new(own);
    command.args(std::env::args_os().skip(1));
    for name in ["RADV_DEBUG", "RADV_PERFTEST", "ACO_DEBUG", "NIR_DEBUG", "VK_INSTANCE_LAYERS"] {
        command.env_remove(name);
    }
    command
        .env("RADV_FORCE_FAMILY", family)
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
    let mut run = |task: &str| -> Result<ExitStatus, Failure> {
        command.env(INSIDE, task).status().map_err(|e| work(format!("starting itself: {e}")))
    };
    match run("open")?.code() {
        Some(0) => {}
        Some(code) => return Ok(u8::try_from(code).unwrap_or(2)),
        None => {
            return Err(Failure::Driver(format!(
                "the driver does not know {family}, or is broken"
            )));
        }
    }
    let status = run("work")?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(u8::try_from(code).unwrap_or(1)),
        (None, signal) => Err(work(format!(
            "the driver crashed with signal {}: --kernel helps to find on what",
            signal.unwrap_or(0)
        ))),
    }
}

fn find(icd: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(icd) = icd {
        return fs::canonicalize(icd)
            .map_err(|e| Failure::Driver(format!("no driver at {}: {e}", icd.display())));
    }
    ICDS.iter().map(PathBuf::from).find(|path| path.exists()).ok_or_else(|| {
        Failure::Driver(format!(
            "no RADV driver at {}: install mesa-vulkan-drivers, or give its description as --icd",
            ICDS[0]
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
        let missing = find(Some("/nowhere/radeon_icd.json".as_ref())).unwrap_err();
        assert!(matches!(missing, Failure::Driver(_)));
    }
}
