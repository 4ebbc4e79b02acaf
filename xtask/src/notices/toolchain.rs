//! The notices of Rust's standard library, from the page that every toolchain of rustup has of
//! them (`share/doc/rust/COPYRIGHT-library.html`): the library, and the crates in it.

use super::Entry;
use crate::packages;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use std::fs;

/// Crates on the page that are in no program of ours: of other systems, of the library's tests, of its
/// build scripts, and import libraries without code.
const ELSEWHERE: [&str; 15] = [
    "cc",
    "fortanix-sgx-abi",
    "getopts",
    "hermit-abi",
    "moto-rt",
    "r-efi",
    "r-efi-alloc",
    "rand",
    "rand_core",
    "rand_xorshift",
    "shlex",
    "unwinding",
    "vex-sdk",
    "windows-targets",
    "wit-bindgen",
];

/// Crates of the library's backtraces, which the page lacks: each is under Apache-2.0 or another
/// licence. The tests find their names and versions in programs.
const OF_BACKTRACES: [(&str, &str, &str, &str); 4] = [
    (
        "addr2line",
        "0.25.1",
        "Apache-2.0 OR MIT",
        "https://github.com/gimli-rs/addr2line",
    ),
    (
        "adler2",
        "of Rust's standard library",
        "0BSD OR MIT OR Apache-2.0",
        "https://github.com/oyvindln/adler2",
    ),
    (
        "miniz_oxide",
        "0.8.9",
        "MIT OR Zlib OR Apache-2.0",
        "https://github.com/Frommi/miniz_oxide",
    ),
    (
        "object",
        "of Rust's standard library",
        "Apache-2.0 OR MIT",
        "https://github.com/gimli-rs/object",
    ),
];

/// The library and every crate in it.
pub(super) fn entries(workspace: &Workspace) -> anyhow::Result<Vec<Entry>> {
    let folder = packages::sysroot()?.join("share/doc/rust");
    let read = |name: &str| {
        let path = folder.join(name);
        let hint = "which rustup installs with the compiler";
        fs::read_to_string(&path).with_context(|| format!("{}, {hint}", path.display()))
    };
    let page = read("COPYRIGHT-library.html")?;
    let mut sections = page.split("<h3>📦 ");
    let apache = read("licenses/Apache-2.0.txt")?;
    let of_backtraces = OF_BACKTRACES.map(|(name, version, licence, source)| Entry {
        name: name.into(),
        version: version.into(),
        licence: licence.into(),
        source: source.into(),
        texts: vec![apache.clone()],
    });
    let library = Entry {
        name: "Rust's standard library".into(),
        version: packages::compiler_version(workspace)?,
        licence: "MIT OR Apache-2.0".into(),
        source: "https://github.com/rust-lang/rust".into(),
        texts: vec![
            plain(sections.next().unwrap_or_default()),
            apache.clone(),
            read("licenses/MIT.txt")?,
            read("licenses/Unicode-3.0.txt")?,
        ],
    };
    let crates: Vec<Entry> = sections.map(of_crate).collect::<anyhow::Result<_>>()?;
    ensure!(!crates.is_empty(), "COPYRIGHT-library.html names no crate");
    let linked = crates.into_iter().filter(|entry| {
        let is_import = entry.name.starts_with("windows_");
        !is_import && !ELSEWHERE.contains(&entry.name.as_str())
    });
    let all = std::iter::once(library).chain(of_backtraces);
    Ok(all.chain(linked).collect())
}

/// A section of the page, after its sign: `hashbrown-0.16.1</h3>…`.
fn of_crate(section: &str) -> anyhow::Result<Entry> {
    let id = section.split("</h3>").next().unwrap_or_default();
    let line = |name: &str| {
        let after = section.split_once(name)?.1;
        Some(plain(after.split_once("</p>")?.0))
    };
    let (name, version) = name_and_version(id).with_context(|| format!("a crate called {id}"))?;
    let texts = section.split("<pre>").skip(1);
    let texts = texts.filter_map(|text| Some(unescaped(text.split_once("</pre>")?.0)));
    Ok(Entry {
        name: name.into(),
        version: version.into(),
        licence: line("License:</b>").with_context(|| format!("{id} without a licence"))?,
        source: line("URL:</b>").with_context(|| format!("{id} without a URL"))?,
        texts: texts.collect(),
    })
}

/// `wasi` and `0.11.1+x-y`, of `wasi-0.11.1+x-y`: a version begins with a digit.
fn name_and_version(id: &str) -> Option<(&str, &str)> {
    let begins = |(at, _): &(usize, &str)| {
        id.get(at + 1..)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let (at, _) = id.match_indices('-').find(begins)?;
    Some((id.get(..at)?, id.get(at + 1..)?))
}

/// The words of a piece of HTML, a line for each that has any.
fn plain(html: &str) -> String {
    let mut text = String::new();
    for (index, part) in html.split('<').enumerate() {
        // Before the first `<` is text alone.
        let words = if index == 0 {
            part
        } else {
            part.split_once('>').map_or("", |it| it.1)
        };
        text += words;
    }
    let text = unescaped(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// Text with the characters that HTML spells by number.
fn unescaped(html: &str) -> String {
    let mut text = html.to_owned();
    for (escape, character) in [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ] {
        text = text.replace(escape, character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::of_crate;

    #[test]
    fn a_section_gives_a_crate() {
        let entry = of_crate(concat!(
            "wasi-0.11.1+wasi-snapshot-preview1</h3>\n<p><b>URL:</b> <a href=\"https://x\">https://x</a></p>",
            "<p><b>License:</b> MIT</p><details><summary>LICENSE</summary><pre>A &#34;text&#34;\n  of it</pre></details>"
        ))
        .unwrap();
        assert_eq!(
            (entry.name.as_str(), entry.version.as_str()),
            ("wasi", "0.11.1+wasi-snapshot-preview1")
        );
        assert_eq!(
            (entry.source.as_str(), entry.licence.as_str()),
            ("https://x", "MIT")
        );
        assert_eq!(entry.texts, ["A \"text\"\n  of it"]);
    }
}
