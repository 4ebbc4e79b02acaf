//! Compresses the texts that are sent as they are, since every built file carries them: the page's
//! files, and the OpenAPI document without its indentation.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The document, which a test composes.
const DOCUMENT: &str = "../docs/schemas/openapi.json";

/// The page's own files, and what it shares with the demo, with the routes that they are under.
const FOLDERS: [(&str, &str); 2] = [("/page", "src/page"), ("/ui", "../web-demo/ui")];

/// What is sent of them; the rest is what the compiler reads to check the types.
const SENT: [&str; 4] = ["css", "html", "js", "svg"];

/// The file that is the page itself.
const INDEX: &str = "/page/index.html";

/// zlib's levels end at 9; this one is miniz_oxide's, and takes longest.
const LEVEL: u8 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut texts = vec![("/openapi.json".to_owned(), document()?)];
    for (route, folder) in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        for path in files(Path::new(folder))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let route = format!("{route}/{name}");
            let route = if route == INDEX { "/".into() } else { route };
            texts.push((route, fs::read_to_string(path)?));
        }
    }
    let (mut all, mut places) = (String::new(), String::new());
    for (route, text) in &texts {
        let start = all.len();
        all += text;
        writeln!(places, "    ({route:?}, {start}..{}),", all.len())?;
    }
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let compressed = miniz_oxide::deflate::compress_to_vec_zlib(all.as_bytes(), LEVEL);
    fs::write(folder.join("texts.zlib"), compressed)?;
    let count = texts.len();
    let places = format!("const PLACES: [(&str, Range<usize>); {count}] = [\n{places}];\n");
    fs::write(folder.join("places.rs"), places)?;
    Ok(())
}

/// Its lines without what indents them; a line break in a string is escaped.
fn document() -> io::Result<String> {
    println!("cargo::rerun-if-changed={DOCUMENT}");
    let text = fs::read_to_string(DOCUMENT)?;
    Ok(text.lines().map(str::trim_start).collect())
}

/// In the order of their names, so that the same files give the same program.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().unwrap_or_default();
        if SENT.iter().any(|it| extension == *it) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
