//! A folder beside the output that this program made, and files in it: nothing that somebody else has
//! planted there is followed or written to.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// The file that says whose folder it is, and what stands in it.
const MARKER: (&str, &str) = ("made-by-everylayer", "everylayer part 1\n");
/// The other files, beside those that end in `.tmp`.
pub const FILES: [&str; 4] = ["lock", "journal", "texts", "rejects"];

/// Makes the folder `folder`, for its owner alone, or takes up the one that is there.
///
/// # Errors
/// Where one is there that this program or this user has not made, or that holds other files; the
/// error says which.
pub fn claim(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => made?,
    }
    let meta = fs::symlink_metadata(folder)?;
    if !meta.is_dir() {
        let what = if meta.is_symlink() { "a link" } else { "a file" };
        return Err(not_ours(what));
    }
    let mut is_empty = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        let is_known = FILES.contains(&&*shown) || shown == MARKER.0 || shown.ends_with(".tmp");
        if !is_known {
            return Err(not_ours(&format!("a folder with `{shown}`")));
        }
        match fs::symlink_metadata(entry.path()) {
            // Another run removes what it is done with.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            meta => check(&meta?)?,
        }
        is_empty = false;
    }
    let other = folder.join(format!("own-{}.tmp", std::process::id()));
    let own = File::options().write(true).create_new(true).open(&other).and_then(|f| f.metadata());
    let _ = fs::remove_file(&other);
    if !same_owner(&own?, &meta) {
        return Err(not_ours("another user's"));
    }
    let marker = folder.join(MARKER.0);
    let found = open(&marker, File::options().read(true)).and_then(|file| {
        let mut text = String::new();
        file.take(100).read_to_string(&mut text).map(|_| text)
    });
    match found {
        Ok(text) if text == MARKER.1 => Ok(()),
        // A run that was killed while it made the folder, or while it wrote the marker.
        Err(e) if e.kind() == ErrorKind::NotFound && is_empty => put(&marker, MARKER.1),
        Ok(text) if text.is_empty() => put(&marker, MARKER.1),
        _ => Err(not_ours("a folder that everylayer did not create")),
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    open(path, File::options().write(true).create(true).truncate(true))?.write_all(text.as_bytes())
}

/// Opens the file at `path` in such a folder: no link, and under no other name.
///
/// # Errors
/// As the system's, and where it is one.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        meta => check(&meta?)?,
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(meta: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    let names = std::os::unix::fs::MetadataExt::nlink(meta);
    #[cfg(not(unix))]
    let names = 1;
    // None: it was removed after it was opened, by a run that is done.
    if meta.is_file() && names <= 1 {
        return Ok(());
    }
    Err(not_ours("a folder that holds a link, or something that is not a file"))
}

fn not_ours(what: &str) -> io::Error {
    let said =
        format!("it is {what}, not a folder of this run: move it away, or use another output");
    io::Error::new(ErrorKind::PermissionDenied, said)
}

#[cfg(unix)]
fn same_owner(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    a.uid() == b.uid()
}

#[cfg(not(unix))]
fn same_owner(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_planted_is_refused() {
        let room = tempfile::tempdir().unwrap();
        let at = |name: &str| room.path().join(name);
        fs::write(at("precious"), "precious").unwrap();
        fs::create_dir(at("elsewhere")).unwrap();
        type Plant = fn(&Path, &Path);
        let plants: [(&str, Plant); 9] = [
            ("a link to a folder", |part, room| symlink(room.join("elsewhere"), part).unwrap()),
            ("a link to nothing", |part, room| symlink(room.join("nothing"), part).unwrap()),
            ("a file", |part, _| fs::write(part, "").unwrap()),
            ("another program's folder", |part, _| {
                fs::create_dir(part).unwrap();
                fs::write(part.join("notes.md"), "").unwrap();
            }),
            ("a folder without a marker", |part, _| {
                fs::create_dir(part).unwrap();
                fs::write(part.join("texts"), "").unwrap();
            }),
            ("another marker", |part, _| {
                fs::create_dir(part).unwrap();
                fs::write(part.join(MARKER.0), "mine").unwrap();
            }),
            ("a linked log", |part, room| {
                claim(part).unwrap();
                symlink(room.join("precious"), part.join("texts")).unwrap();
            }),
            ("a log of two names", |part, room| {
                claim(part).unwrap();
                fs::hard_link(room.join("precious"), part.join("rejects")).unwrap();
            }),
            ("a folder in it", |part, _| {
                claim(part).unwrap();
                fs::create_dir(part.join("journal")).unwrap();
            }),
        ];
        for (i, (what, plant)) in plants.into_iter().enumerate() {
            let part = at(&format!("part-{i}"));
            plant(&part, room.path());
            let error = claim(&part).unwrap_err();
            assert!(error.to_string().contains("move it away"), "{what}: {error}");
            assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
        }
        assert_eq!(fs::read_dir(at("elsewhere")).unwrap().count(), 0);
        let part = at("part-6");
        assert!(open(&part.join("texts"), File::options().write(true)).is_err());

        claim(&at("fresh")).unwrap();
        claim(&at("fresh")).unwrap();
        assert_eq!(fs::metadata(at("fresh")).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(at("killed")).unwrap();
        claim(&at("killed")).unwrap();
    }
}
