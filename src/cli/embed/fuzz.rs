//! The fuzz target of what `--resume` reads: the journal and the logs of a run that was killed.

use super::log::{Mark, Records};
use super::resume_dir::{CallWords, Done, ResumeDir};
use crate::fuzz::harness::fuzz;
use crate::fuzz::{folder, mutate};

/// Bytes of a frame, the last four of them its checksum.
const FRAME: usize = 44;

/// `text` and the line with its checksum.
fn sealed(mut text: Vec<u8>) -> Vec<u8> {
    let sum = crc32fast::hash(&text);
    text.extend(format!("\n{sum:08x}\n").bytes());
    text
}

#[test]
fn fuzz_resume() {
    let call: CallWords = vec![("model".into(), "tiny".into()), ("layers".into(), "all".into())];
    let folder = folder();
    let output = folder.path().join("out.npy");
    let part = ResumeDir::folder(&output);
    let (texts, rejects, journal) = {
        let (part, done, _) = ResumeDir::open(&output, call.clone(), false).unwrap();
        let (mut texts, rejects) = part.logs(&done, true).unwrap();
        let mut rejects = rejects.unwrap();
        for row in 0..5 {
            let mark = Mark { row, vectors: 2, lost: row % 2 };
            texts.push(mark, b"{\"text\": \"a\"}", &[7; 64]).unwrap();
        }
        rejects.push(Mark { row: 5, vectors: 0, lost: 0 }, b"{}", b"bad").unwrap();
        texts.sync().unwrap();
        rejects.sync().unwrap();
        let (bytes, lost) = (texts.bytes, 2);
        let rejects = rejects.bytes;
        part.write(&Done { rows: 6, texts: 5, cut: 2, lost, vectors: 10, bytes, rejects }).unwrap();
        let read = |path| std::fs::read(path).unwrap();
        (read(part.texts()), read(part.rejects()), read(part.folder.join("journal")))
    };
    let (_, done, torn) = ResumeDir::open(&output, call.clone(), true).unwrap();
    assert_eq!((done.rows, torn), (6, false));
    let json = journal.split(|byte| *byte == b'\n').next().unwrap().to_vec();
    fuzz("resume", |rng| {
        let journal = match rng.below(4) {
            0 => mutate::bytes(rng, journal.clone()),
            1 => sealed(mutate::json(rng, &json, &["rows", "texts", "bytes", "call", "done"])),
            _ => journal.clone(),
        };
        let mut damage = |log: &[u8]| match rng.below(4) {
            0 => mutate::bytes(rng, log.to_vec()),
            1 => {
                // A frame whose own checksum holds.
                let mut log = mutate::bytes(rng, log.to_vec());
                if log.len() >= FRAME {
                    let sum = crc32fast::hash(&log[..FRAME - 4]);
                    log[FRAME - 4..FRAME].copy_from_slice(&sum.to_le_bytes());
                }
                log
            }
            _ => log.to_vec(),
        };
        std::fs::write(part.join("texts"), damage(&texts)).unwrap();
        std::fs::write(part.join("rejects"), damage(&rejects)).unwrap();
        std::fs::write(part.join("journal"), journal).unwrap();
        let Ok((part, done, _)) = ResumeDir::open(&output, call.clone(), true) else { return };
        // What it says is done is there.
        if done.texts > 0 {
            let records = Records::open(&part.texts(), done.bytes).unwrap();
            let records: Vec<_> = records.map(Result::unwrap).collect();
            assert_eq!(records.len(), done.texts);
        }
        part.logs(&done, true).unwrap();
    });
}
