//! The page of `explore`: HTML, style and code in one file, which asks for nothing from any network. What draws the
//! results is the demo's, in `web/demo/`.

/// The page, whose `PLACE` becomes the data.
const PAGE: &str = include_str!("page.html");
/// Where the data goes.
const PLACE: &str = "{{data}}";
/// The demo, whose results are this page's too.
const DEMO: &str = include_str!("../../../web/demo/index.html");
/// Begins the line before the results in `DEMO`, and the line after them.
const BOUNDS: [&str; 2] = ["<!-- What stands up to", "<!-- end of what"];
/// The demo's modules, a module after those that it imports.
const CODE: [&str; 4] = [
    include_str!("../../../web/demo/maps.js"),
    include_str!("../../../web/demo/save.js"),
    include_str!("../../../web/demo/similarity.js"),
    include_str!("../../../web/demo/views.js"),
];
/// Colours, maps and charts.
const LOOK: &str = include_str!("../../../web/demo/look.css");

/// The page that shows `data`, which is JSON.
pub fn page(data: &str) -> String {
    // The data goes in last: what it says is no place.
    blank().replacen(PLACE, &inert(data), 1)
}

/// The page without its data.
fn blank() -> String {
    let parts = [("{{look}}", LOOK.to_owned()), ("{{results}}", results()), ("{{code}}", code())];
    parts.iter().fold(PAGE.to_owned(), |page, (place, part)| page.replacen(place, part, 1))
}

/// The lines of the demo's page that hold the results; the element around them stays open.
fn results() -> String {
    let [begin, end] = BOUNDS;
    let open = ["<div id=\"results\" tabindex=\"-1\" data-empty>"].into_iter();
    let lines = DEMO.lines().skip_while(|line| !line.starts_with(begin)).skip(1);
    let lines = lines.take_while(|line| !line.starts_with(end));
    open.chain(lines).collect::<Vec<_>>().join("\n")
}

/// The modules as one, where nothing is imported any more.
fn code() -> String {
    let lines = CODE.iter().flat_map(|module| module.lines());
    let lines = lines.filter(|line| !line.starts_with("import "));
    lines.map(|line| line.strip_prefix("export ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// JSON that says the same and that no HTML parser takes for anything but text. These characters
/// stand inside strings only.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_and_no_address() {
        let blank = blank();
        assert_eq!(blank.matches("{{").count(), 1);
        assert_eq!(blank.matches(PLACE).count(), 1);
        for outside in [
            "http:",
            "https:",
            "src=",
            "href=",
            "@import",
            "import ",
            "url(",
            "fetch(",
            "</script>\"",
        ] {
            // The name space of SVG is no address that anything asks for.
            let page = blank.replace("http://www.w3.org/2000/svg", "");
            assert!(!page.contains(outside), "the page has `{outside}`");
        }
        assert!(blank.contains("default-src 'none'"));
        for of_the_demo in ["id=\"layers\"", "class Results", "class Side", ".heat td"] {
            assert!(blank.contains(of_the_demo), "the page has no `{of_the_demo}`");
        }
    }

    #[test]
    fn inert_json_says_the_same() {
        for text in ["</script><script>alert(1)</script>", "<!-- & -->", "a\u{2028}b\u{2029}c", "é"]
        {
            let json = serde_json::to_string(text).unwrap();
            let inert = inert(&json);
            assert!(!inert.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{inert}");
            assert_eq!(serde_json::from_str::<String>(&inert).unwrap(), text);
        }
    }
}
