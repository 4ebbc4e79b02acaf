//! Whether what documents call a file of this repository is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folders that a clone does not have.
const NOT_OURS: [&str; 4] = [".git", "dist", "node_modules", "target"];

/// Endings of files that are written here. A model folder's are not: config.json.
const ENDINGS: [&str; 13] = [
    ".case", ".css", ".js", ".md", ".mjs", ".proto", ".py", ".rs", ".service", ".sh", ".toml",
    ".ts", ".wat",
];

/// Every file and folder below `folder`, from the root, with `/` before it.
fn find(root: &Path, folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        let relative = path.strip_prefix(root).unwrap().to_string_lossy();
        found.insert(format!("/{}", relative.replace('\\', "/")));
        if path.is_dir() {
            find(root, &path, found);
        }
    }
}

/// A document without its blocks of code.
fn prose(text: &str) -> String {
    let parts = text.split("\n```").step_by(2);
    parts.collect::<Vec<_>>().join("\n")
}

/// What stands in backticks and looks like a path of this repository: it begins with one
/// of its folders, or ends as its files do. The end of a path will do.
fn named<'a>(prose: &'a str, folders: &[String]) -> Vec<&'a str> {
    let spans = prose.split('`').skip(1).step_by(2);
    let is_path = |it: &&str| {
        let is_plain = it
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || "._-/".contains(it));
        let first = it.split('/').next().unwrap_or_default();
        let is_inside = it.contains('/') && folders.iter().any(|folder| folder == first);
        let is_file = |ending: &&str| it.len() > ending.len() && it.ends_with(*ending);
        is_plain && (is_inside || ENDINGS.iter().any(is_file))
    };
    spans.filter(is_path).collect()
}

/// What links of Markdown lead to, apart from the web.
fn linked(prose: &str) -> Vec<&str> {
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
    let is_ours = |it: &&str| !it.is_empty() && !it.contains("://");
    targets.filter(is_ours).collect()
}

#[test]
fn what_documents_call_a_file_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    find(root, root, &mut found);
    let folders = found.iter().filter_map(|path| {
        let name = path.strip_prefix('/')?;
        (!name.contains('/') && root.join(name).is_dir()).then(|| name.to_owned())
    });
    let folders: Vec<String> = folders.collect();
    let mut wrong = Vec::new();
    for document in found.iter().filter(|path| path.ends_with(".md")) {
        let path = root.join(&document[1..]);
        let text = prose(&fs::read_to_string(&path).unwrap());
        let folder = path.parent().unwrap();
        let is_there = |name: &str| {
            let tail = format!("/{}", name.trim_end_matches('/'));
            found.iter().any(|path| path.ends_with(&tail)) || folder.join(name).exists()
        };
        let names = named(&text, &folders).into_iter();
        wrong.extend(
            names
                .filter(|name| !is_there(name))
                .map(|name| format!("{document}: `{name}`")),
        );
        let links = linked(&text).into_iter();
        let broken = links.filter(|link| !folder.join(link).exists());
        wrong.extend(broken.map(|link| format!("{document}: ({link})")));
    }
    assert!(wrong.is_empty(), "no such file: {wrong:#?}");
}
