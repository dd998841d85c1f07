//! As much of Markdown as the pages use: fenced blocks, headings, links.

/// A fenced block of code.
pub struct Block<'a> {
    /// What stands after the opening fence.
    pub language: &'a str,
    /// Its lines.
    pub text: String,
}

/// The fenced blocks of `page`, and the page without them.
pub fn blocks(page: &str) -> (Vec<Block<'_>>, String) {
    let (mut blocks, mut rest) = (Vec::new(), String::new());
    let mut open: Option<Block<'_>> = None;
    for line in page.lines() {
        match (line.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block { language: language.trim(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {
                rest += line;
                rest.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    (blocks, rest)
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
pub fn anchors(page: &str) -> Vec<String> {
    let (_, prose) = blocks(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Where the links and images of a page lead: `[..](HERE)`, `href="HERE"`, `src="HERE"`.
pub fn links(page: &str) -> Vec<String> {
    let (_, prose) = blocks(page);
    let mut found = Vec::new();
    for line in prose.lines() {
        // What is between backticks is code.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for (open, close) in [("](", ')'), ("href=\"", '"'), ("src=\"", '"')] {
            for part in line.split(open).skip(1) {
                let target = part.split(close).next().unwrap_or_default();
                found.push(target.split(' ').next().unwrap_or_default().to_owned());
            }
        }
    }
    found
}

#[test]
fn links_and_anchors_are_found() {
    let page = "# A `b`, c\n[x](y.md#z) `[no](no)` ![p](i.png \"t\")\n```sh\n[no](no)\n```\n";
    assert_eq!(links(page), ["y.md#z", "i.png"]);
    assert_eq!(anchors(page), ["a-b-c"]);
    assert_eq!(blocks(page).0[0].text, "[no](no)\n");
}
