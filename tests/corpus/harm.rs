//! Inputs that change, parts that are damaged or planted, files that are one, a full disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{MODEL, corpus, done, embed, embed_by, names, refused};

#[test]
fn an_input_that_changes_in_a_run_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, output) = (at("c.jsonl"), at("out.npy"));
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("cut short at the end of a row", |path| {
            let text = fs::read_to_string(path).unwrap();
            let end = text[..text.len() * 3 / 4].rfind('\n').unwrap() + 1;
            fs::File::options().write(true).open(path).unwrap().set_len(end as u64).unwrap();
        }),
        ("added to", |path| {
            use std::io::Write;
            let mut file = fs::File::options().append(true).open(path).unwrap();
            file.write_all(b"{\"text\":\"one more\"}\n").unwrap();
        }),
        ("written over, the size and the time as they were", |path| {
            let time = fs::metadata(path).unwrap().modified().unwrap();
            let text = fs::read_to_string(path).unwrap().replace("row", "raw");
            fs::write(path, text).unwrap();
            fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        }),
        ("put in its place by another name", |path| {
            let other = path.with_extension("other");
            fs::copy(path, &other).unwrap();
            fs::rename(other, path).unwrap();
        }),
    ];
    for (how, change) in changes {
        let part = ["--shard", "1/2"];
        for more in [&[][..], &part].into_iter().take(1 + usize::from(how == "added to")) {
            corpus(&input, 20_000);
            let mut child = embed(&input, &output, more).spawn().unwrap();
            let journal = at(".out.npy.everylayer-part").join("journal");
            while !journal.exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            change(&input);
            let out = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(1), "{how}: {said}");
            assert!(said.contains("c.jsonl: ") && said.contains("changed while"), "{how}: {said}");
            assert_eq!(names(folder.path()), ["c.jsonl"], "{how}");
        }
    }
}

/// A run that was killed as soon as its journal had some texts.
fn killed(mut command: Command, part: &Path) {
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while journalled(part) == 0 {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The bytes of the log of texts that the journal in `part` says are there.
fn journalled(part: &Path) -> usize {
    let journal = fs::read_to_string(part.join("journal")).unwrap_or_default();
    let journal = journal.lines().next().and_then(|json| serde_json::from_str(json).ok());
    let journal: Value = journal.unwrap_or_default();
    usize::try_from(journal["done"]["bytes"].as_u64().unwrap_or(0)).unwrap()
}

fn loud(input: &Path, output: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everylayer"));
    command.args(["embed", "-m", MODEL, "--resume", "-i"]).arg(input).arg("-o").arg(output);
    let out = command.env("EVERYLAYER_DEVICE", "cpu").output().unwrap();
    (out.status.code(), String::from_utf8(out.stderr).unwrap())
}

#[test]
fn a_damaged_part_is_mended_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, output, part) = (at("c.jsonl"), at("out.npy"), at(".out.npy.everylayer-part"));
    corpus(&input, 40_000);
    done(embed(&input, &at("whole.npy"), &[]));
    killed(embed(&input, &output, &[]), &part);
    let (texts, journal) = (part.join("texts"), part.join("journal"));
    let (was, bytes) = (fs::read(&texts).unwrap(), journalled(&part));
    let (said, length) = (fs::read(&journal).unwrap(), was.len());
    assert!(bytes > 1000, "{bytes}");
    let restore = || {
        fs::write(&texts, &was).unwrap();
        fs::write(&journal, &said).unwrap();
    };

    // In the middle: refused by name, and nothing is touched.
    let mut other = was.clone();
    other[bytes / 2] ^= 1;
    fs::write(&texts, &other).unwrap();
    let (code, error) = loud(&input, &output);
    assert_eq!(code, Some(1), "{error}");
    let words = ["everylayer-part/texts: the record at byte", "damaged", "without --resume"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    assert!(!output.exists());

    // The journal itself, and one that is of other logs.
    let text = String::from_utf8(said.clone()).unwrap();
    let sum = |json: &str| format!("{json}\n{:08x}\n", crc32fast::hash(json.as_bytes()));
    let json = text.lines().next().unwrap();
    for (journalled, want) in [
        (text.replacen("\"texts\":", "\"texts\":1", 1), "damaged"),
        (sum(&json.replacen("\"texts\":", "\"texts\":1", 1)), "does not belong to the logs"),
        (String::new(), "damaged"),
        (text[..text.len() / 2].to_owned(), "damaged"),
    ] {
        restore();
        fs::write(&journal, journalled).unwrap();
        let (code, error) = loud(&input, &output);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("journal: it ") && error.contains(want), "{error}");
    }

    // At the end: done again, and said.
    type Harm = fn(&mut Vec<u8>, usize);
    let harms: [Harm; 2] = [|log, bytes| log[bytes - 1] ^= 1, |log, bytes| log.truncate(bytes / 2)];
    for (i, harm) in harms.into_iter().enumerate() {
        restore();
        let mut other = was.clone();
        harm(&mut other, bytes);
        // What lies after the journal's end does not count.
        fs::write(&texts, &other[..other.len().min(if i == 0 { bytes } else { length })]).unwrap();
        let (code, error) = loud(&input, &output);
        assert_eq!(code, Some(0), "{i}: {error}");
        assert!(error.contains("its end is damaged and is computed again"), "{i}: {error}");
        assert_eq!(fs::read(&output).unwrap(), fs::read(at("whole.npy")).unwrap(), "{i}");
        fs::remove_file(&output).unwrap();
        fs::create_dir(&part).unwrap();
        fs::write(part.join("made-by-everylayer"), "everylayer part 1\n").unwrap();
    }
}

#[test]
fn other_weights_are_another_run_whatever_they_look_like() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = at("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(MODEL).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    let (input, output, part) = (at("c.jsonl"), at("out.npy"), at(".out.npy.everylayer-part"));
    corpus(&input, 40_000);
    let call = |more: &[&str]| embed_by(&model, &input, &output, more);
    killed(call(&[]), &part);
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
        let path = model.join(name);
        let was = fs::read(&path).unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut other = was.clone();
        match name {
            "model.safetensors" => *other.last_mut().unwrap() ^= 1,
            // Another order of two bytes of white space, or of what nobody reads.
            _ => {
                let place = other.windows(2).position(|w| w == b"\n ").unwrap();
                other[place] = b' ';
                other[place + 1] = b'\n';
            }
        }
        let set = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fs::File::options().append(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        set(&other);
        let said = refused(call(&["--resume"]), 2);
        assert!(said.contains("revision"), "{name}: {said}");
        set(&was);
    }
    done(call(&["--resume"]));
}

#[test]
fn nothing_is_written_over_what_is_read_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 5);
    let was = fs::read(at("c.jsonl")).unwrap();
    let model = at("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(MODEL).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    fs::create_dir(at("sub")).unwrap();
    fs::write(at("here.jsonl"), "").unwrap();
    fs::hard_link(at("c.jsonl"), at("hard.jsonl")).unwrap();
    let mut cases = vec![
        ("c.jsonl", "c.jsonl", None),
        ("c.jsonl", "./sub/../c.jsonl", None),
        ("c.jsonl", "hard.jsonl", None),
        ("c.jsonl", "out.npz", Some("c.jsonl")),
        ("c.jsonl", "out.npz", Some("./hard.jsonl")),
        ("c.jsonl", "out.jsonl", Some("out.jsonl")),
        ("c.jsonl", "out.jsonl", Some("sub/../out.jsonl")),
        ("c.jsonl", "out.jsonl", Some("OUT.jsonl")),
        ("c.jsonl", "out.npz", Some(".out.npz.everylayer-part/rejects")),
        ("c.jsonl", "out.npz", Some(".out.npz.everylayer-part")),
        ("c.jsonl", ".out.npz.everylayer-part/out.npz", None),
        ("c.jsonl", "model/config.json", None),
        ("c.jsonl", "model/model.safetensors", None),
        ("c.jsonl", "out.npz", Some("model/tokenizer.json")),
    ];
    if cfg!(unix) {
        #[cfg(unix)]
        for (link, to) in [("soft.jsonl", "c.jsonl"), ("other.jsonl", "here.jsonl")] {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("sub", at("door")).unwrap();
        cases.extend([
            ("c.jsonl", "soft.jsonl", None),
            ("soft.jsonl", "c.jsonl", None),
            ("c.jsonl", "here.jsonl", Some("other.jsonl")),
            ("c.jsonl", "sub/out.jsonl", Some("door/out.jsonl")),
        ]);
    }
    let before = names(folder.path());
    for (input, output, rejects) in cases {
        for shard in [&[][..], &["--shard", "1/2"]] {
            let (model, input, output) = (Path::new("model"), Path::new(input), Path::new(output));
            let mut command = embed_by(model, input, output, shard);
            command.args(rejects.iter().flat_map(|path| ["--rejects", path]));
            command.current_dir(folder.path());
            let said = refused(command, 2);
            assert!(
                said.contains("are the same file") || said.contains("which is removed"),
                "{said}"
            );
            assert_eq!(fs::read(at("c.jsonl")).unwrap(), was);
            assert_eq!(names(folder.path()), before, "{input:?} {output:?} {rejects:?}");
        }
    }
    // Rows of npy that are there are listed beside it, and may be what is read.
    fs::write(at("s.npy.json"), &was).unwrap();
    let mut command = embed(Path::new("s.npy.json"), Path::new("s.npy"), &["--rejects", "bad"]);
    command.args(["--rejected-rows", "skip"]).current_dir(folder.path());
    assert!(
        refused(command, 2).contains("list of rows beside --output and --input are the same file")
    );
    if cfg!(target_os = "linux") {
        let file = fs::File::options().append(true).open(at("c.jsonl")).unwrap();
        let mut command = embed(Path::new("c.jsonl"), Path::new("-"), &[]);
        command.current_dir(folder.path()).stdout(file);
        assert!(refused(command, 2).contains("standard output and --input are the same file"));
    }
    assert_eq!(fs::read(at("c.jsonl")).unwrap(), was);
}

#[cfg(unix)]
#[test]
fn what_is_planted_where_a_part_goes_is_not_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    corpus(&at("c.jsonl"), 5);
    fs::create_dir(at("precious")).unwrap();
    fs::write(at("precious/journal"), "precious").unwrap();
    let part = at(".out.npz.everylayer-part");
    symlink(at("precious"), &part).unwrap();
    for more in [&[][..], &["--resume"]] {
        let said = refused(embed(&at("c.jsonl"), &at("out.npz"), more), 1);
        assert!(said.contains("it is a link") && said.contains("move it away"), "{said}");
    }
    assert_eq!(names(&at("precious")), ["journal"]);
    assert_eq!(fs::read_to_string(at("precious/journal")).unwrap(), "precious");
    fs::remove_file(&part).unwrap();
    done(embed(&at("c.jsonl"), &at("out.npz"), &[]));
    assert!(!part.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_tells_what_the_journal_has() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, output, part) = (at("c.jsonl"), at("out.npy"), at(".out.npy.everylayer-part"));
    corpus(&input, 20_000);
    done(embed(&input, &at("whole.npy"), &[]));
    killed(embed(&input, &output, &[]), &part);
    // Files may have little more than the log has by now; a signal would end the program before it
    // can say so.
    let sizes = fs::read_dir(&part).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    let limit = sizes.max().unwrap() / 1024 + 100;
    let call = embed(&input, &output, &["--resume"]);
    let mut limited = Command::new("bash");
    let words = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
    limited.args(["-c", &words, "bash"]);
    limited.arg(call.get_program()).args(call.get_args()).env("EVERYLAYER_DEVICE", "cpu");
    let said = refused(limited, 1);
    let texts = said.split(" texts are done").next().unwrap().rsplit(' ').next().unwrap();
    let told: u64 = texts.parse().unwrap_or_else(|_| panic!("{said}"));
    let journal = fs::read_to_string(part.join("journal")).unwrap();
    let journal: Value = serde_json::from_str(journal.lines().next().unwrap()).unwrap();
    assert_eq!(journal["done"]["texts"], told, "{said}");
    assert!(said.contains("File too large") && said.contains("--resume continues"), "{said}");
    assert!(told > 0 && !output.exists());
    done(embed(&input, &output, &["--resume"]));
    assert_eq!(fs::read(&output).unwrap(), fs::read(at("whole.npy")).unwrap());
}
