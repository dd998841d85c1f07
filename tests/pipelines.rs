//! Compiled pipelines on disk: one file in the cache folder, of no use when damaged and no harm.

#![cfg(all(feature = "gpu", feature = "cli"))]

mod common;

use std::path::PathBuf;
use std::process::Command;

#[test]
fn pipelines_are_kept_in_the_cache_folder() {
    if common::gpu_missing() {
        return;
    }
    let caches = tempfile::tempdir().unwrap();
    let model = common::fixtures().join("checkpoints/tiny-d16");
    let embed = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everylayer"));
        command.env("EVERYLAYER_CACHE", caches.path()).args(["embed", "-q", "the word"]);
        command.args(["--device", "gpu", "--model"]).arg(&model);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    };
    let folder = caches.path().join("pipelines");
    let files = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let first = embed();
    let [file] = &files()[..] else {
        println!("skipped: this driver gives no pipelines out");
        return;
    };
    let whole = std::fs::read(file).unwrap();
    for kept in [whole.clone(), whole[..whole.len() / 2].to_vec(), vec![7; 5000], Vec::new()] {
        std::fs::write(file, kept).unwrap();
        assert!(embed() == first);
        // What was of no use is written anew, and nothing else is left there.
        assert_eq!(files().len(), 1);
        assert_eq!(std::fs::read(file).unwrap().len(), whole.len());
    }
    // A folder that cannot be made is no reason to fail.
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "a file").unwrap();
    assert!(embed() == first);
}
