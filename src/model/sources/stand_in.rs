//! What lies in place of a file: a pointer of Git LFS, the hub's answer that there is no such file,
//! nothing at all.
//!
//! Every file of a model is opened by [`open`], so each of these is called what it is, whichever
//! file it stands for.

use crate::error::{Result, fail};
use crate::model::sources::{Blob, Source};

/// How much of a file is looked at: the longest pointer that Git LFS reads has 1,024 bytes.
const HEAD: u64 = 1024;

/// Opens the file `path` of `source`; `Ok(None)` where it has none.
///
/// # Errors
///
/// `Checkpoint` where the file is a stand-in, saying what would fetch the file itself.
pub(crate) fn open(source: &dyn Source, path: &str) -> Result<Option<Box<dyn Blob>>> {
    let Some(blob) = source.open(path)? else { return Ok(None) };
    let size = blob.size();
    let mut head = vec![0; size.min(HEAD) as usize];
    blob.read_at(0, &mut head)?;
    match stand_in(&head, size) {
        None => Ok(Some(blob)),
        Some(said) => Err(fail!(Checkpoint, "{}: {said}", blob.place())),
    }
}

/// What a file of `size` bytes that begins with `head` is, if it is not the file itself.
fn stand_in(head: &[u8], size: u64) -> Option<String> {
    if size == 0 {
        return Some("the file is empty (0 bytes): download it again".to_owned());
    }
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let lower = text.to_ascii_lowercase();
    if size <= HEAD {
        // https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, and the name LFS had before.
        let lfs = ["https://git-lfs.github.com/spec/", "https://hawser.github.com/spec/"];
        let version = text.strip_prefix("version ");
        if version.is_some_and(|url| lfs.iter().any(|spec| url.starts_with(spec))) {
            let bytes =
                text.lines().find_map(|line| line.strip_prefix("size ")?.parse::<u64>().ok());
            let bytes = bytes.map_or_else(String::new, |n| format!(" of {n} bytes"));
            return Some(format!(
                "it is a Git LFS pointer, not the file{bytes}: run `git lfs pull` in the folder of \
                 the model, or download the model again with `hf download`"
            ));
        }
        if text.contains("/annex/objects/") && text.lines().count() == 1 {
            return Some(
                "it is a git-annex pointer, not the file: run `git annex get` in the folder of the \
                 model"
                    .to_owned(),
            );
        }
        // What https://huggingface.co answers in place of a file.
        let refused = ["entry not found", "repository not found", "invalid username or password"];
        let refused = refused.iter().any(|said| lower.starts_with(said))
            || lower.starts_with("access to model ")
            || lower.starts_with("{\"error\":");
        if refused {
            let said: String = text.lines().next().unwrap_or_default().chars().take(80).collect();
            return Some(format!(
                "it is an answer of the hub ({said:?}), not the file: download the model again, \
                 with \
                 `hf download` and, where it is private or gated, HF_TOKEN"
            ));
        }
    }
    let page = lower.starts_with("<!doctype html")
        || (lower.starts_with("<html") && lower.contains("<head"));
    page.then(|| {
        "it is a page of HTML, not the file: fetch it from the address with `/resolve/` in place \
         of `/blob/`, or the whole model with `hf download`"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::stand_in;

    #[test]
    fn stand_ins_are_told_from_files() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 90868376\n";
        for (content, part) in [
            (pointer, "Git LFS pointer, not the file of 90868376 bytes: run `git lfs pull`"),
            (&pointer.replace('\n', "\r\n"), "Git LFS pointer"),
            ("/annex/objects/SHA256E-s12--ab.bin\n", "git annex get"),
            ("Entry not found", "(\"Entry not found\")"),
            ("Access to model a/b is restricted. You must be authenticated.", "HF_TOKEN"),
            ("{\"error\":\"Repository not found\"}", "answer of the hub"),
            ("<!DOCTYPE html>\n<html>", "page of HTML"),
            ("\n<html class=\"\"><head>", "page of HTML"),
            ("", "empty"),
        ] {
            let said = stand_in(content.as_bytes(), content.len() as u64).unwrap_or_default();
            assert!(said.contains(part), "{content:?}: {part:?} is not in {said:?}");
        }
        for content in
            ["{\"model_type\": \"bert\"}", "[PAD]\n<html>\n", "<html>\n[PAD]\n", "version 1"]
        {
            assert_eq!(stand_in(content.as_bytes(), content.len() as u64), None, "{content:?}");
        }
        // A file that only begins like one.
        assert_eq!(stand_in(pointer.as_bytes(), 5000), None);
    }
}
