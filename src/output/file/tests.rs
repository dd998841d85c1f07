use std::sync::atomic::AtomicBool;

use super::*;
use crate::error::ErrorKind;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn appears_when_committed_and_replaces_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"one").unwrap();
    file.flush().unwrap();
    assert!(!path.exists());
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");

    let mut file = AtomicFile::create(&path).unwrap();
    file.write_all(b"two!").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"T").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one");
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"Two!");
    assert_eq!(names(folder.path()), ["out.json"]);
}

#[test]
fn dropped_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    for old in [None, Some("old")] {
        old.iter().for_each(|old| fs::write(&path, old).unwrap());
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), old);
        assert_eq!(names(folder.path()).len(), usize::from(old.is_some()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_names_the_file_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.json");
    fs::write(&path, "old").unwrap();
    for bytes in [1, 100_000] {
        let mut file = AtomicFile::create(&path).unwrap();
        // The bytes go where no space is left; the temporary file stands beside all the same.
        file.out = Some(BufWriter::new(OpenOptions::new().write(true).open("/dev/full").unwrap()));
        let got = file.write_all(&vec![0; bytes]).map_err(|error| error.to_string());
        let got = got.and_then(|()| file.commit().map_err(|error| error.to_string())).unwrap_err();
        assert!(
            got.contains("out.json") && got.contains("No space") && got.contains("free some"),
            "{got}"
        );
        assert_eq!(got.matches("out.json").count(), 1, "{got}");
        assert_eq!(names(folder.path()), ["out.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}

#[test]
fn refusals_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mut cases = vec![
        (folder.path().to_path_buf(), ErrorKind::Usage, "is a folder"),
        (folder.path().join("new/"), ErrorKind::Usage, "is a folder"),
        (folder.path().join("none/out.json"), ErrorKind::NotFound, "create it first"),
        (plain.join("out.json"), ErrorKind::Io, "another file"),
        (PathBuf::new(), ErrorKind::Usage, "not the name of a file"),
        (folder.path().join("x".repeat(300)), ErrorKind::Io, "another file"),
    ];
    if cfg!(unix) {
        cases.push(("/dev/null".into(), ErrorKind::Usage, "not a plain file"));
    }
    if cfg!(target_os = "linux") {
        cases.push(("/proc/self/out.json".into(), ErrorKind::NotFound, "/proc/self/out.json"));
    }
    for (i, (path, kind, want)) in cases.iter().enumerate() {
        let error = AtomicFile::create(path).unwrap_err();
        assert_eq!(error.kind(), *kind, "{i}: {error}");
        assert!(error.to_string().contains(want), "{i}: got `{error}`, want `{want}`");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{i}: {error}");
    }
    assert_eq!(names(folder.path()), ["plain"]);
}

#[cfg(unix)]
#[test]
fn permissions_and_links() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("out.json"), folder.path().join("link.json"));
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::symlink("out.json", &link).unwrap();
    for mode in [0o600, 0o664] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut file = AtomicFile::create(&link).unwrap();
        write!(file, "{mode:o}").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{mode:o}"));
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    assert_eq!(AtomicFile::create(&path).unwrap_err().kind(), ErrorKind::Io);

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let got = AtomicFile::create(&folder.path().join("new.json"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    match got {
        Ok(_) => println!("skipped: this user may write in a folder of mode 555"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().contains("new.json"), "{error}");
        }
    }
}

#[test]
fn a_reader_sees_a_whole_file_or_the_one_before() {
    const SIZE: usize = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bin");
    fs::write(&path, vec![0; SIZE]).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let got = fs::read(&path).unwrap();
                assert!(
                    got.len() == SIZE && got.iter().all(|byte| *byte == got[0]),
                    "{} bytes",
                    got.len()
                );
            }
        });
        for round in 1..20 {
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(&vec![round; SIZE]).unwrap();
            file.commit().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}
