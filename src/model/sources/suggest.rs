//! What a person may have meant by the name of a model that is not there.

use std::path::{Component, Path};

use crate::words::nearest;

/// Entries of a folder that are looked at.
const ENTRIES: usize = 10_000;

/// Beginnings of well-known names, and who publishes them on the hub.
const PUBLISHERS: [(&str, &str); 23] = [
    ("all-", "sentence-transformers"),
    ("paraphrase-", "sentence-transformers"),
    ("multi-qa-", "sentence-transformers"),
    ("msmarco-", "sentence-transformers"),
    ("distiluse-", "sentence-transformers"),
    ("labse", "sentence-transformers"),
    ("gtr-", "sentence-transformers"),
    ("bge-", "BAAI"),
    ("e5-", "intfloat"),
    ("multilingual-e5-", "intfloat"),
    ("gte-", "thenlper"),
    ("bert-", "google-bert"),
    ("distilbert-", "distilbert"),
    ("roberta-", "FacebookAI"),
    ("xlm-roberta-", "FacebookAI"),
    ("albert-", "albert"),
    ("electra-", "google"),
    ("deberta-", "microsoft"),
    ("mpnet-", "microsoft"),
    ("modernbert-", "answerdotai"),
    ("eurobert-", "EuroBERT"),
    ("nomic-embed-", "nomic-ai"),
    ("jina-embeddings-", "jinaai"),
];

/// A few words after the sentence that says that there is no `model`; `bundled` is the name of the
/// model in this binary, if it has one.
pub(super) fn meant(model: &str, bundled: Option<&str>) -> String {
    let folder = near_folder(model);
    if bundled.is_some() && nearest(&model.to_lowercase(), ["bundled"]).is_some() {
        return "; did you mean `bundled`?".to_owned();
    }
    if let Some(folder) = folder {
        return format!("; did you mean the folder `{folder}`?");
    }
    let (name, revision) = match model.split_once('@') {
        Some((name, revision)) => (name, format!("@{revision}")),
        None => (model, String::new()),
    };
    if let Some(page) = name.strip_prefix("https://huggingface.co/") {
        let id: Vec<&str> = page.split('/').filter(|part| !part.is_empty()).take(2).collect();
        return format!("; did you mean `{}`?", id.join("/"));
    }
    if name.contains(['/', '\\']) {
        return String::new();
    }
    let low = name.to_lowercase();
    if bundled.is_some_and(|own| own.to_lowercase().ends_with(&format!(":{low}"))) {
        return format!(
            "; did you mean `bundled`, which is that model, or \
             `sentence-transformers/{name}{revision}` on the hub?"
        );
    }
    let known = PUBLISHERS.iter().find(|(start, _)| low.starts_with(start));
    match known {
        Some((_, publisher)) => format!("; did you mean `{publisher}/{name}{revision}`?"),
        None => {
            "; names on the hub are `org/name`, and a folder in this one is `./name`".to_owned()
        }
    }
}

/// The folder beside the one that `model` would be whose name is nearest, written as that.
fn near_folder(model: &str) -> Option<String> {
    let path = Path::new(model);
    let Some(Component::Normal(name)) = path.components().next_back() else { return None };
    let parent = path.parent()?;
    let at = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let entries = std::fs::read_dir(at).ok()?.take(ENTRIES).flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let names: Vec<String> =
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = nearest(name.to_str()?, names.iter().map(String::as_str))?;
    // A folder of that name alone would be taken for a name on the hub, were it not there.
    Some(parent.join(near).display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Option<&str> = Some("bundled:all-MiniLM-L6-v2");

    #[test]
    fn names_that_people_write() {
        for (model, want) in [
            ("bundeld", "; did you mean `bundled`?"),
            ("Bundled1", "; did you mean `bundled`?"),
            ("bge-small-en-v1.5", "; did you mean `BAAI/bge-small-en-v1.5`?"),
            ("bert-base-uncased@main", "; did you mean `google-bert/bert-base-uncased@main`?"),
            ("nosuch/model", ""),
            ("https://huggingface.co/a/b", "; did you mean `a/b`?"),
            ("https://huggingface.co/a/b/tree/main", "; did you mean `a/b`?"),
            ("https://example.com/a/b", ""),
        ] {
            assert_eq!(meant(model, OWN), want, "{model}");
        }
        let own = meant("all-minilm-l6-v2", OWN);
        assert!(own.contains("`bundled`, which is that model"), "{own}");
        let other = meant("all-MiniLM-L6-v2", None);
        assert_eq!(other, "; did you mean `sentence-transformers/all-MiniLM-L6-v2`?");
        assert!(meant("zzz", OWN).contains("`./name`"));
    }

    #[test]
    fn the_folder_next_to_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("my-model")).unwrap();
        std::fs::write(folder.path().join("my-modem"), "a file is no model").unwrap();
        let word = |name: &str| folder.path().join(name).display().to_string();
        let want = format!("; did you mean the folder `{}`?", word("my-model"));
        assert_eq!(meant(&word("my-modle"), OWN), want);
        assert_eq!(meant(&word("another"), OWN), "");
        assert_eq!(meant("/", OWN), "");
    }
}
