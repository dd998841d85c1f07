//! The rooms of `src/`: every import points down the table of ARCHITECTURE.md.
//!
//! The table is read, not repeated here. A row is a rank, and its first cell names the folders and files of
//! that rank, which do not import each other; so there is no circle. A file belongs to the longest name that
//! fits. Modules under `#[cfg(test)]` may look
//! anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// What imports are held against: rooms of a rank in each row, the highest first.
type Rooms = Vec<Vec<String>>;

/// A module of the crate.
struct Module {
    /// Its file, from `src/`.
    file: String,
    /// Its text without comments, string literals and modules for tests.
    text: String,
}

#[test]
fn imports_point_down_the_table_of_rooms() {
    let rooms = rooms();
    let modules = modules();
    let mut wrong = BTreeSet::new();
    let mut arrows = 0;
    for (path, module) in &modules {
        if is_root(&module.file) {
            continue;
        }
        let Some((from, room)) = room_of(&rooms, &module.file) else {
            wrong.insert(format!("{} is in no room of the table", module.file));
            continue;
        };
        for target in imports(path, &module.text) {
            let Some(to) = resolved(&modules, target.clone()) else { continue };
            let Some((rank, other)) = room_of(&rooms, &modules[&to].file) else { continue };
            arrows += usize::from(room != other);
            let arrow = format!("{} imports {} ({})", module.file, target.join("::"), other);
            if rank < from {
                wrong.insert(format!("up: {arrow}"));
            } else if rank == from && room != other {
                wrong.insert(format!("within a row: {arrow}"));
            }
        }
    }
    assert!(arrows > 300, "only {arrows} imports were found: are they still read?");
    let list: Vec<_> = wrong.into_iter().collect();
    assert!(list.is_empty(), "{} imports against the table:\n{}", list.len(), list.join("\n"));
}

#[test]
fn every_room_of_the_table_is_there() {
    for room in rooms().concat() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(&room);
        assert!(path.exists(), "ARCHITECTURE.md names src/{room}, which does not exist");
        assert_eq!(path.is_dir(), room.ends_with('/'), "{room}: folders end in a slash");
    }
}

/// Moving a file leaves no comment behind that names it where it was.
#[test]
fn files_that_comments_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    ["src", "tests", "shaders", "tools", "benches", "examples"]
        .iter()
        .for_each(|folder| walk(&root.join(folder), &mut files));
    let mut missing = BTreeSet::new();
    let mut named = 0;
    for path in &files {
        let Ok(text) = read_to_string(path) else { continue };
        let comments = text.lines().filter_map(|line| line.split_once("//").map(|(_, said)| said));
        for word in
            comments.flat_map(|said| said.split(|c: char| !is_word(c) && !"/.-".contains(c)))
        {
            let word = word.trim_matches('.');
            // An address of another repository begins with slashes.
            if word.starts_with('/')
                || !word.contains('/')
                || !(word.ends_with(".rs") || word.ends_with(".wgsl"))
            {
                continue;
            }
            named += 1;
            if !files.iter().any(|file| file.ends_with(word)) {
                missing.insert(format!("{}: {word}", path.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(named > 30, "only {named} names were found: are they still read?");
    assert!(missing.is_empty(), "files that comments name are not there:\n{missing:#?}");
}

/// An arrow up is found however it is written.
#[test]
fn imports_are_read() {
    let text = "use crate::a::{self, b::{C, D as E}, f};\nuse super::g::*;\nfn x() { super::super::h(); }\n\
        use everylayer::Error;\n";
    let path = ["p".to_owned(), "q".to_owned()];
    let mut found: Vec<_> = imports(&path, text).into_iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(found, ["Error", "a", "a::b::C", "a::b::D", "a::f", "h", "p::g"]);
}

#[test]
fn comments_strings_and_tests_are_no_imports() {
    let text = "// crate::a\nconst A: &str = \"crate::b\"; const B: char = '\"';\n/// crate::c\nuse crate::d;\n\
        const R: &str = r#\"crate::e \" \"#;\n#[cfg(test)]\nmod tests { use crate::f; mod g { use crate::h; } }\n\
        fn f<'a>(x: &'a str) { crate::i(x) }\n";
    let mut found: Vec<_> =
        imports(&[], &code(text)).into_iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(found, ["d", "i"]);
}

/// The rows of the table under "The rooms", as far as they name something in `src/`.
fn rooms() -> Rooms {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let text = read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("The rooms")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let outside = ["python/", "shaders/", "tools/", "web/"];
    let names = |cell: &str| -> Vec<String> {
        let names = cell.split(',').map(|name| name.trim().trim_matches('`').to_owned());
        names.filter(|name| !outside.iter().any(|other| name.starts_with(other))).collect()
    };
    let rooms: Rooms = rows.map(names).filter(|row| !row.is_empty()).collect();
    assert!(rooms.len() > 8, "ARCHITECTURE.md has no table of rooms");
    rooms
}

/// Rank and name of the room that `file` is in.
fn room_of(rooms: &Rooms, file: &str) -> Option<(usize, String)> {
    let all =
        rooms.iter().enumerate().flat_map(|(rank, row)| row.iter().map(move |name| (rank, name)));
    // `embeddings.rs` has the files in `embeddings/` too.
    let folder = |name: &str| format!("{}/", name.trim_end_matches(".rs").trim_end_matches('/'));
    all.filter(|(_, name)| file == name.as_str() || file.starts_with(&folder(name)))
        .max_by_key(|(_, name)| name.len())
        .map(|(rank, name)| (rank, name.clone()))
}

/// `lib.rs` and `main.rs`, which name every room.
fn is_root(file: &str) -> bool {
    file == "lib.rs" || file == "main.rs"
}

/// All modules by their path in the crate, those for tests left out. The command line imports the library
/// by name, as any caller does; both are read as one.
fn modules() -> BTreeMap<Vec<String>, Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    let mut modules = BTreeMap::new();
    let mut for_tests = BTreeSet::new();
    for path in files {
        let file = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
        let text = read_to_string(&path).unwrap();
        let mut name: Vec<String> =
            file.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if is_root(&file) || name.last().is_some_and(|last| last == "mod") {
            name.pop();
        }
        let cleaned = code(&text);
        for other in cleaned.split("#[cfg(test)]").skip(1) {
            if let Some(other) = other.trim_start().strip_prefix("mod ") {
                let other = other.split(';').next().unwrap_or_default().trim();
                for_tests.insert([name.clone(), vec![other.to_owned()]].concat());
            }
        }
        let slot = modules.entry(name);
        slot.and_modify(|module: &mut Module| module.text.push_str(&cleaned))
            .or_insert(Module { file, text: cleaned });
    }
    modules.retain(|name, _| !(1..=name.len()).any(|end| for_tests.contains(&name[..end])));
    modules
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs" || ext == "wgsl") {
            files.push(path);
        }
    }
}

/// `text` without comments, what is in string literals, and modules for tests.
fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let skipped = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => {
                rest.windows(2).position(|two| two == ['*', '/']).map_or(rest.len(), |n| n + 2)
            }
            ['r', '"' | '#', ..] => raw_string(rest).unwrap_or(0),
            ['"', ..] => string(rest),
            ['\'', '\\', _, ..] => 3 + rest[3..].iter().position(|&c| c == '\'').unwrap_or(0) + 1,
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if skipped == 0 {
            out.push(chars[i]);
        }
        i += skipped.max(1);
    }
    without_tests(&out)
}

/// Characters of the string literal that `rest` begins with.
fn string(rest: &[char]) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != '"' {
        i += if rest[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// Characters of the raw string literal that `rest` begins with, if it does.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(())?;
    let end: Vec<char> = ['"'].into_iter().chain(std::iter::repeat_n('#', hashes)).collect();
    let body = 2 + hashes;
    let length = rest[body..].windows(end.len()).position(|part| part == end)?;
    Some(body + length + end.len())
}

/// `text` without blocks `#[cfg(test)] mod NAME { … }`.
fn without_tests(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        let item = &marked["#[cfg(test)]".len()..];
        let open = item.find(['{', ';']).unwrap_or(item.len());
        if !item.trim_start().starts_with("mod ") || item[open..].starts_with(';') {
            out.push_str("#[cfg(test)]");
            rest = item;
            continue;
        }
        let mut depth = 0;
        let end = item[open..].char_indices().find_map(|(i, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then_some(open + i + 1)
        });
        rest = &item[end.unwrap_or(item.len())..];
    }
    out + rest
}

/// Every path of `text`, the code of module `at`, that begins in this crate.
fn imports(at: &[String], text: &str) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (start, _) in text.match_indices("::") {
        let head = &text[..start];
        let word_at = head.rfind(|c: char| !is_word(c)).map_or(0, |i| i + 1);
        // Only where a path begins; `pub(in path)` imports nothing.
        let before = &head[..word_at];
        if ["::", "$", "(in "].iter().any(|end| before.ends_with(end)) {
            continue;
        }
        let base = match &head[word_at..] {
            "crate" | "everylayer" => Vec::new(),
            "self" => at.to_vec(),
            "super" => at[..at.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        tree(base, &text[start + 2..], &mut found);
    }
    found
}

/// The paths of one `use` tree, or of a plain path; gives what comes after it.
fn tree<'t>(mut base: Vec<String>, text: &'t str, found: &mut BTreeSet<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => {
                    let before = rest.len();
                    rest = tree(base.clone(), rest, found);
                    // `as name`, and anything else that is no part of a path.
                    rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
                    assert!(rest.len() < before, "a list of imports that does not end: {text:.80}");
                }
            }
        }
    }
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    match &text[..end] {
        "" | "self" => {}
        "super" => drop(base.pop()),
        word => base.push(word.to_owned()),
    }
    match text[end..].strip_prefix("::") {
        Some(rest) => tree(base, rest, found),
        None => {
            found.insert(base);
            &text[end..]
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The module that defines what `path` names, through `pub use` where that is how it is reached.
fn resolved(modules: &BTreeMap<Vec<String>, Module>, mut path: Vec<String>) -> Option<Vec<String>> {
    for _ in 0..8 {
        let at = (0..=path.len()).rev().find(|&end| modules.contains_key(&path[..end]))?;
        let Some(name) = path.get(at) else { return Some(path) };
        let module = &modules[&path[..at]];
        let Some(target) = reexported(&path[..at], &module.text, name) else {
            return (!is_root(&module.file)).then(|| path[..at].to_vec());
        };
        path = [target, path[at + 1..].to_vec()].concat();
    }
    None
}

/// Where `pub use` of module `at` has `name` from.
fn reexported(at: &[String], text: &str, name: &str) -> Option<Vec<String>> {
    text.match_indices("use ").find_map(|(start, _)| {
        let lead = text[..start].trim_end();
        if !lead.ends_with("pub") && !lead.ends_with("pub(crate)") && !lead.ends_with("pub(super)")
        {
            return None;
        }
        let tail = text[start + 4..].split(';').next()?;
        let first = tail.split("::").next()?.trim();
        let (base, tail) = match first {
            "crate" => (Vec::new(), tail.trim_start().strip_prefix("crate::")?),
            "std" | "core" => return None,
            _ => (at.to_vec(), tail.trim_start().trim_start_matches("self::")),
        };
        let (base, tail) = match tail.strip_prefix("super::") {
            Some(rest) => (base[..base.len().saturating_sub(1)].to_vec(), rest),
            None => (base, tail),
        };
        let mut found = BTreeSet::new();
        tree(base, tail, &mut found);
        found
            .into_iter()
            .find(|path| path.len() > at.len() && path.last().is_some_and(|last| last == name))
    })
}
