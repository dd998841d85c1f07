//! What is written is read by the programs it is for: numpy and safetensors in Python.
//!
//! Runs the Python named by EVERYLAYER_PYTHON, else `python3`; says so and passes where that has
//! no numpy.

use std::path::Path;
use std::process::Command;

use everylayer::capture::{Combine, Pool, Precision, WordPool};
use everylayer::embeddings::{
    Embeddings, Header, Rows, TextEmbedding, TokenInfo, Values, WordInfo,
};
use everylayer::output::write_file;

/// Reads `NAME.json` and holds the array files of that name against it. In JSON the layers come
/// first, in arrays the rows.
const READER: &str = r#"
import json, sys
import numpy as np
try:
    from safetensors import safe_open
    from safetensors.numpy import load_file
except ImportError:
    load_file = None
    print("skipped: no safetensors in this Python")
folder, names = sys.argv[1], sys.argv[2:]
for name in names:
    path = f"{folder}/{name}"
    want = json.load(open(path + ".json"))
    lines = [json.loads(line) for line in open(path + ".jsonl")]
    assert lines == want["results"], name
    files = {"npz": dict(np.load(path + ".npz", allow_pickle=False))}
    if load_file:
        files["safetensors"] = load_file(path + ".safetensors")
        with safe_open(path + ".safetensors", "np") as f:
            meta = f.metadata()
        for key in ("model", "device", "dtype", "combine", "pool"):
            assert meta[key] == want[key], (name, key)
        assert meta["layers"] == ",".join(map(str, want["layers"])) and meta["version"]
    ragged = want["pool"] == "tokens" or want["pool"].startswith("words")
    if not ragged:
        files["npy"] = {"vectors": np.load(path + ".npy", allow_pickle=False)}
    stacked = want["combine"] == "stack" and len(want["layers"]) > 1
    dtype = {"f32": "<f4", "f16": "<f2", "int8": "|i1", "ubinary": "|u1"}[name.split("-")[0]]
    for kind, arrays in files.items():
        place = (name, kind)
        got = arrays["vectors"]
        assert got.dtype == np.dtype(dtype), (place, got.dtype)
        if kind == "npz":
            about = json.loads(arrays["metadata"].tobytes())
            assert about["model"] == want["model"] and about["pool"] == want["pool"], place
        if kind != "npy":
            assert arrays["layers"].tolist() == want["layers"], place
            assert arrays["index"].tolist() == [line["index"] for line in lines], place
            assert arrays["text_tokens"].tolist() == [line["text_tokens"] for line in lines], place
        assert got.shape[1:] == ((len(want["layers"]),) if stacked else ()) + (want["width"],), (place, got.shape)
        if not ragged:
            own = {"vectors", "index", "text_tokens", "tokens_lost", "layers"}
            if name.startswith("int8") and len(lines):
                own |= {"int8_start", "int8_step"}
                start, step = (np.array(want["int8"][key], "<f4") for key in ("start", "step"))
                if kind != "npy":
                    assert np.array_equal(arrays["int8_start"], start), place
                    assert np.array_equal(arrays["int8_step"], step), place
            own = {"npy": {"vectors"}, "npz": own | {"metadata"}}.get(kind, own)
            assert set(arrays) == own and len(got) == len(lines), (place, set(arrays))
            for row, line in zip(got, lines):
                assert np.array_equal(row, np.array(line["vectors"]).astype(dtype)), place
            continue
        offsets, spans = arrays["offsets"], arrays["spans"]
        assert offsets.dtype == spans.dtype == np.int64, place
        assert offsets.shape == (len(lines) + 1,) and spans.shape == (len(got), 2), place
        assert offsets[0] == 0 and offsets[-1] == len(got), place
        part = "token" if want["pool"] == "tokens" else "word"
        bytes, ends = arrays[part + "_text"].tobytes(), arrays[part + "_text_offsets"]
        strings = [bytes[a:b].decode() for a, b in zip(ends, ends[1:])]
        infos = [i for line in lines for i in line[part + "s"]]
        assert strings == [i["text"] for i in infos], place
        if part == "token":
            assert arrays["token_ids"].tolist() == [i["id"] for i in infos], place
            words = [-1 if i["word"] is None else i["word"] for i in infos]
            assert arrays["token_words"].tolist() == words, place
        else:
            assert np.array_equal(arrays["word_spans"], spans), place
            assert np.array_equal(arrays["word_offsets"], offsets), place
        for line, a, b in zip(lines, offsets, offsets[1:]):
            infos = line["tokens" if want["pool"] == "tokens" else "words"]
            assert [[i["start"], i["end"]] for i in infos] == spans[a:b].tolist(), place
            part = got[a:b].swapaxes(0, 1) if stacked else got[a:b]
            vectors = np.array(line["vectors"]).astype(dtype).reshape(part.shape)
            assert np.array_equal(part, vectors), place
print("read", len(names), "results")
"#;

fn result(
    pool: Pool,
    layers: usize,
    width: usize,
    precision: Precision,
    texts: &[usize],
) -> Embeddings {
    let rows_are = Rows::from(pool);
    let states = (0..layers).collect();
    let header = Header::new("a \"model\" ☃", states, Combine::Stack, pool, width);
    let text = |(index, &rows): (usize, &usize)| {
        let numbers = (0..layers * rows * width).map(|i| ((index * 37 + i * 11) as f32).sin());
        let mut text = TextEmbedding::new(index, rows, Values::F32(numbers.collect()));
        if rows_are == Rows::Tokens {
            text.tokens = (0..rows)
                .map(|i| {
                    TokenInfo::new(
                        "é
",
                        1,
                        [i, i + 2],
                        None,
                    )
                })
                .collect();
        }
        if rows_are == Rows::Words {
            text.words = (0..rows).map(|i| WordInfo::new("w", [i * 5, i * 5 + 4])).collect();
        }
        text
    };
    let texts = texts.iter().enumerate().map(text).collect();
    Embeddings::new(header, texts).quantize(precision).unwrap()
}

fn python() -> Option<String> {
    let python = std::env::var("EVERYLAYER_PYTHON").unwrap_or_else(|_| "python3".into());
    let works = Command::new(&python)
        .args(["-c", "import numpy"])
        .output()
        .is_ok_and(|out| out.status.success());
    works.then_some(python)
}

fn write(folder: &Path, name: &str, result: &Embeddings) {
    for ending in ["json", "jsonl", "npz", "safetensors", "npy"] {
        if ending != "npy" || result.rows == Rows::Texts {
            write_file(&folder.join(format!("{name}.{ending}")), None, result.clone()).unwrap();
        }
    }
}

#[test]
fn numpy_and_safetensors_read_every_array() {
    let Some(python) = python() else {
        println!("skipped: no python3 with numpy; EVERYLAYER_PYTHON names another");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for precision in [Precision::F32, Precision::F16, Precision::Int8, Precision::Ubinary] {
        for pool in [Pool::Mean, Pool::Tokens, Pool::Words(WordPool::Mean)] {
            for (layers, width) in [(1, 8), (1, 3), (3, 5)] {
                let rows: &[usize] =
                    if Rows::from(pool) == Rows::Texts { &[1, 1, 1] } else { &[2, 0, 3, 1] };
                for texts in [rows, &[]] {
                    let name =
                        format!("{precision}-{}-{layers}-{width}-{}", names.len(), texts.len());
                    write(folder.path(), &name, &result(pool, layers, width, precision, texts));
                    names.push(name);
                }
            }
        }
    }
    let out = Command::new(python)
        .arg("-c")
        .arg(READER)
        .arg(folder.path())
        .args(&names)
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&out.stdout));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The snippets of docs/outputs.md, run over files of the bundled model's own making.
#[test]
#[cfg(all(feature = "cli", feature = "bundled"))]
fn the_snippets_of_the_page_read_every_format() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/outputs.md");
    let page = std::fs::read_to_string(page).unwrap();
    let snippets: Vec<&str> = page.split("```python\n").skip(1).collect();
    let snippets: Vec<&str> = snippets.iter().map(|s| s.split("```").next().unwrap()).collect();
    assert_eq!(snippets.len(), 6);
    let Some(python) = python() else {
        println!("skipped: no python3 with numpy; EVERYLAYER_PYTHON names another");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "The bank by the river.\nA text.\nOne more\n")
        .unwrap();
    for (name, words) in [
        ("out.json", &["-l", "all", "-p", "tokens"][..]),
        ("out.jsonl", &["-l", "all", "-p", "tokens"]),
        ("out.npy", &["-l", "all", "-p", "mean"]),
        ("out.npz", &["-l", "all", "-p", "tokens"]),
        ("int8.safetensors", &["--precision", "int8"]),
        ("plain.safetensors", &[]),
        ("out.parquet", &[]),
    ] {
        let out = Command::new(env!("CARGO_BIN_EXE_everylayer"))
            .args(["embed", "-q", "-i", "a.txt", "-o", name])
            .args(words)
            .env("EVERYLAYER_DEVICE", "cpu")
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
    }
    let held = [
        "assert layers_first.shape[0] == 7 and layers_first.shape[2] == 384",
        "assert len(lines) == 3",
        "assert vectors.shape == (3, 7, 384)",
        "import json; first = json.load(open('out.json'))['results'][0]\n\
         assert np.array_equal(states, np.array(first['vectors']).astype(np.float32))\n\
         assert tokens == [t['text'] for t in first['tokens']]\n\
         assert about['pool'] == 'tokens' and about['revision']",
        "from safetensors.numpy import load_file\n\
         plain = load_file('plain.safetensors')['vectors']\n\
         step = load_file('int8.safetensors')['int8_step']\n\
         assert np.all(np.abs(restored - plain) <= 0.501 * step), np.abs(restored - plain).max()\n\
         assert about['precision'] == 'int8'",
        "assert table.num_rows == 3 and about[b'revision']",
    ];
    for (snippet, held) in snippets.iter().zip(held) {
        let code = format!("{snippet}\n{held}\n");
        let out =
            Command::new(&python).args(["-c", &code]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        if let Some(package) = said.lines().find(|line| line.contains("No module named")) {
            println!("skipped: a snippet of docs/outputs.md: {package}");
            continue;
        }
        assert!(out.status.success(), "{code}\n{said}");
    }
}
