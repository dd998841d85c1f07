//! Links of all Markdown files of the project.

use std::path::Path;
use std::process::Command;

use crate::{markdown, root};

#[test]
fn every_link_leads_somewhere() {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root()).output();
    let Some(listed) = listed.ok().filter(|o| o.status.success() && !o.stdout.is_empty()) else {
        println!("skipped: links are not checked: this is no checkout of git");
        return;
    };
    let (mut wrong, mut count) = (Vec::new(), 0);
    for file in String::from_utf8(listed.stdout).unwrap().lines() {
        let page = std::fs::read_to_string(root().join(file)).unwrap();
        for link in markdown::links(&page) {
            count += 1;
            if let Err(why) = follow(file, &page, &link) {
                wrong.push(format!("{file}: {link}: {why}"));
            }
        }
    }
    assert!(count > 20, "only {count} links were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether `link`, in `page`, leads to a file and a heading that are there. What lies on other hosts is
/// not asked.
fn follow(file: &str, page: &str, link: &str) -> Result<(), String> {
    if let Some(rest) = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://")) {
        return match rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            true => Ok(()),
            false => Err("no host".into()),
        };
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(p, a)| (p, Some(a)));
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let target = root().join(folder).join(path);
    let text = match path {
        "" => page.to_owned(),
        _ if !target.exists() => return Err("there is no such file".into()),
        _ if anchor.is_none() => return Ok(()),
        _ => std::fs::read_to_string(&target).map_err(|e| e.to_string())?,
    };
    match anchor {
        Some(anchor) if !markdown::anchors(&text).iter().any(|a| a == anchor) => {
            Err("there is no such heading".into())
        }
        _ => Ok(()),
    }
}

#[test]
fn every_page_is_in_the_book() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let listed = markdown::links(&summary);
    for page in crate::pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        if !matches!(name, "README.md" | "SUMMARY.md") {
            assert!(listed.iter().any(|l| l == name), "docs/SUMMARY.md does not list {name}");
        }
    }
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let words = readme.split_whitespace().count();
    assert!(words <= 900, "README.md has {words} words, 900 are the most");
}
