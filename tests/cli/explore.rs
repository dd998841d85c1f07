//! `explore`: the page's data against `embed`, its safety against its texts, and, where there is a
//! Chromium, what its script draws.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::calls::{flat, json, run};

const TEXTS: [&str; 2] =
    ["The bank by the river.", "</script><script>alert(1)</script>\u{2028}&amp;"];

/// The data of a page.
fn data(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn similarities_are_those_of_embed() {
    let page = data(run(&[&["explore", "-q", "-o", "-"], &TEXTS[..]].concat()).text());
    let embed = |pool| json(&[&["embed", "-q", "-l", "all", "-p", pool], &TEXTS[..]].concat());
    let (tokens, mean, cls) = (embed("tokens"), embed("mean"), embed("cls"));
    let at =
        |all: &Value, text: usize, layer: usize| all["results"][text]["vectors"][layer].clone();
    let token = |text, layer, row: usize| flat(&at(&tokens, text, layer)[row]);
    let count = |text: usize| tokens["results"][text]["tokens"].as_array().unwrap().len();

    let mut wrong = Vec::new();
    let mut compared = 0;
    let mut hold = |what: String, got: &Value, want: f64| {
        compared += 1;
        // Four decimals are written.
        if got.as_f64().is_none_or(|got| (got - want).abs() > 1e-4) {
            wrong.push(format!("{what}: {got}, want {want}"));
        }
    };
    for text in 0..2 {
        let side = &page["texts"][text];
        assert_eq!(side["text"], TEXTS[text]);
        for row in 0..count(text) {
            assert_eq!(side["tokens"][row], tokens["results"][text]["tokens"][row]["text"]);
            for layer in 0..6 {
                let want = cosine(&token(text, layer, row), &token(text, layer + 1, row));
                hold(format!("text {text} layer {layer}"), &side["neighbours"][layer][row], want);
            }
        }
    }
    for layer in 0..7 {
        for (a, b) in [(0, 0), (1, 1), (0, 1)] {
            let between = if a == b { &page["texts"][a] } else { &page["pair"] };
            let between = &between["between"][layer];
            assert_eq!(between.as_array().unwrap().len(), count(a) * count(b));
            for row in 0..count(a) {
                for column in 0..count(b) {
                    let want = cosine(&token(a, layer, row), &token(b, layer, column));
                    let got = &between[row * count(b) + column];
                    hold(format!("texts {a} {b} layer {layer} at {row}, {column}"), got, want);
                }
            }
        }
        for (name, all) in [("mean", &mean), ("cls", &cls)] {
            let want = cosine(&flat(&at(all, 0, layer)), &flat(&at(all, 1, layer)));
            hold(format!("{name} at layer {layer}"), &page["pair"][name][layer], want);
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
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
    assert!(page["pair"].is_null());
    assert_eq!(side["tokens"].as_array().unwrap().len(), 64);
    assert_eq!((&side["hidden"], &side["lost"]), (&Value::from(192), &Value::from(46)));
    assert_eq!(side["between"][6].as_array().unwrap().len(), 64 * 64);
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
    // Six steps and a map of each text, and the map across.
    let cells = 6 * (a + b) + a * a + b * b + a * b;
    assert_eq!(dom.matches("style=\"--v:").count(), cells + 24, "cells, and the legend's steps");
    assert_eq!(dom.matches("<circle").count(), 2 * 7);
    assert_eq!(dom.matches("tabindex=\"0\"").count(), 6, "maps and the chart, a stop of Tab each");
    assert_eq!(dom.matches("<script").count(), 2);
    assert!(!said.contains("CONSOLE"), "{said}");

    // A hand on the keyboard: the slider to layer 2, then two cells to the right and one down.
    let drawn = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, drawn.replace("</body>", &format!("{HAND}</body>"))).unwrap();
    let (dom, said) = browse(&path).expect("it was there");
    let between = &page["texts"][0]["between"][2][a + 2];
    let words = |row: usize| page["texts"][0]["tokens"][row].as_str().unwrap();
    let value = format!("{:.3}", between.as_f64().unwrap()).replace('-', "\u{2212}");
    let want = format!("data-hand=\"2 of 6|{value}{} and {}, layer 2|0\"", words(1), words(2));
    assert!(dom.contains(&want), "{want} is not in the page:\n{said}");
}

/// Presses keys and leaves what is shown then on the root of the page.
const HAND: &str = r#"<script type="module">
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
