//! `explore`: the page's data against `embed`, its safety against its texts, and, where there is a
//! Chromium, what its script draws.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::calls::{flat, json, run};

const TEXTS: [&str; 2] =
    ["The bank by the river.", "</script><script>alert(1)</script>\u{2028}&amp;"];

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Numbers as the page has them: f32 from its lowest byte, in base64.
fn floats(value: &Value) -> Vec<f32> {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

/// Every state of every token of the texts, as `embed` gives them.
fn states() -> Value {
    json(&[&["embed", "-q", "-l", "all", "-p", "tokens", "--normalize=false"], &TEXTS[..]].concat())
}

#[test]
fn the_page_has_the_vectors_of_embed() {
    let page = data(run(&[&["explore", "-q", "-o", "-"], &TEXTS[..]].concat()).text());
    let want = states();
    assert_eq!((&page["layers"], &page["width"]), (&want["layers"], &Value::from(384)));
    for text in 0..2 {
        let (side, want) = (&page["texts"][text], &want["results"][text]);
        assert_eq!(side["text"], TEXTS[text]);
        assert_eq!(side["tokens"], want["tokens"]);
        let (vectors, means) = (floats(&side["vectors"]), floats(&side["means"]));
        let count = want["tokens"].as_array().unwrap().len();
        assert_eq!((vectors.len(), means.len()), (7 * count * 384, 7 * 384));
        let all: Vec<f64> = want["vectors"].as_array().unwrap().iter().flat_map(flat).collect();
        assert!(vectors.iter().zip(&all).all(|(&x, &want)| x == want as f32), "text {text}");
        for (at, &mean) in means.iter().enumerate() {
            let (layer, column) = (at / 384, at % 384);
            let rows = (0..count).map(|row| all[(layer * count + row) * 384 + column]);
            let want = rows.sum::<f64>() / count as f64;
            assert!((f64::from(mean) - want).abs() < 1e-6, "text {text}: {mean}, not {want}");
        }
    }
}

#[test]
fn a_text_stays_a_text() {
    let got = run(&[&["explore", "-q", "-o", "-"], &TEXTS[..]].concat());
    let page = got.text();
    // One for the data, one for the code.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    assert!(!page.contains("alert(1)</") && !page.contains(['\u{2028}', '\u{2029}']));
    assert!(page.contains("Content-Security-Policy\" content=\"default-src 'none'"));
    assert_eq!(data(page)["texts"][1]["text"], TEXTS[1]);
}

#[test]
fn one_text_has_no_pair_and_long_ones_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.html");
    let long = "word ".repeat(300);
    let got = run(&["explore", &long, "-o", path.to_str().unwrap()]);
    assert_eq!(got.text(), "");
    let notes = got.notes().join("\n");
    for want in ["46 tokens are lost", "text 1: the first 64 of 256 tokens are shown", "a.html"] {
        assert!(notes.contains(want), "{notes}");
    }
    let page = data(&std::fs::read_to_string(&path).unwrap());
    let side = &page["texts"][0];
    assert_eq!(page["texts"].as_array().unwrap().len(), 1);
    assert_eq!(side["tokens"].as_array().unwrap().len(), 64);
    assert_eq!((&side["hidden"], &side["lost"]), (&Value::from(192), &Value::from(46)));
    assert_eq!(floats(&side["vectors"]).len(), 7 * 64 * 384);
    // Nothing lies beside it.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn calls_that_are_off() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no/a.html");
    for (words, code) in [
        (vec!["explore"], 2),
        (vec!["explore", "a", "b", "c"], 2),
        (vec!["explore", "a", "-o", folder.path().to_str().unwrap()], 2),
        (vec!["explore", "a", "-o", nowhere.to_str().unwrap()], 1),
    ] {
        run(&words).error(code);
    }
    let kept = folder.path().join("kept.html");
    std::fs::write(&kept, "old").unwrap();
    let words = ["explore", "a", "-o", kept.to_str().unwrap(), "-m", "/nonexistent/model"];
    run(&words).error(1);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "old");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

/// What a browser makes of the page at `path`, and what it says; `None` where there is no browser.
fn browse(path: &Path) -> Option<(String, String)> {
    let profile = tempfile::tempdir().unwrap();
    for browser in ["chromium", "chromium-browser", "google-chrome"] {
        let output = Command::new(browser)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
            .args(["--no-first-run", "--virtual-time-budget=5000", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}", path.display()))
            .output();
        let Ok(output) = output else { continue };
        let [dom, said] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !dom.is_empty() {
            return Some((dom, said));
        }
    }
    None
}

#[test]
fn a_browser_draws_every_cell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let words = [&["explore", "-q", "-o", path.to_str().unwrap()], &TEXTS[..]].concat();
    assert_eq!(run(&words).text(), "");
    let Some((dom, said)) = browse(&path) else {
        println!("skipped: no chromium: the page of `explore` is not drawn");
        return;
    };
    let page = data(&dom);
    let [a, b] = [0, 1].map(|text| page["texts"][text]["tokens"].as_array().unwrap().len());
    assert!(dom.contains("data-ready=\"yes\""), "the script did not end:\n{said}");
    // Six steps of each text, and the map across; the steps of a legend under each.
    assert_eq!(dom.matches("style=\"--v:").count(), 6 * (a + b) + a * b + 3 * 24);
    assert_eq!(dom.matches("<circle").count(), 2 * 7);
    assert_eq!(dom.matches("tabindex=\"0\"").count(), 4, "maps and the chart, a stop of Tab each");
    assert_eq!(dom.matches("<script").count(), 2);
    assert!(!said.contains("CONSOLE"), "{said}");

    // A hand on the keyboard: the slider to layer 2, then two cells to the right and one down.
    let drawn = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, drawn.replace("</body>", &format!("{HAND}</body>"))).unwrap();
    let (dom, said) = browse(&path).expect("it was there");
    let all = states();
    let vector = |text: usize, row: usize| flat(&all["results"][text]["vectors"][2][row]);
    let words =
        |text: usize, row: usize| page["texts"][text]["tokens"][row]["text"].as_str().unwrap();
    let between = format!("{:.3}", cosine(&vector(0, 1), &vector(1, 2))).replace('-', "\u{2212}");
    let said_of = format!("A {} and B {}, layer 2", words(0, 1), words(1, 2));
    let said_of = said_of.replace('<', "&lt;").replace('>', "&gt;");
    let want = format!("data-hand=\"2 of 6|{between}{said_of}|0\"");
    let found = dom.split_once("data-hand=").map(|(_, rest)| &rest[..rest.len().min(80)]);
    assert!(dom.contains(&want), "{want} is not in the page but {found:?}:\n{said}");
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Presses keys and leaves what is shown then on the root of the page.
const HAND: &str = r#"<script type="module">
while (!document.documentElement.dataset.ready) await new Promise(wake => setTimeout(wake, 10));
const [slider, tip] = ["layer", "tip"].map(id => document.getElementById(id));
const press = key => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
slider.focus();
for (const key of "[[[[") press(key);
document.querySelectorAll("table.heat")[2].querySelector("td").focus();
for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) press(key);
document.documentElement.dataset.hand = [
  document.getElementById("which").textContent, tip.textContent, document.activeElement.tabIndex,
].join("|");
</script>"#;
