//! `cargo xtask demo`: the page that shows the npm package, as any file server can
//! serve it.
//!
//! The site is what is in `web-demo`, the package's scripts and module beside it, and
//! the default model. Its service worker is told here which files it keeps; their
//! hash is the version by which browsers know that there is another.

use crate::dist::{DEFAULT_MODEL, megabytes, size};
use crate::notices;
use crate::npm;
use crate::setup;
use crate::steps::Steps;
use crate::table::{Align, Table};
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// The page's sources, from the root.
const SOURCES: &str = "web-demo";

/// Where [`npm::build`] leaves the package's files, from the root.
const PACKAGE: &str = "wasm/npm/dist";

/// The service worker, in the site. It is not among the files that it keeps.
const WORKER: &str = "sw.js";

/// What stands in its source where the files are to be.
const UNBUILT: &str = r#"const PRECACHE = { version: "unbuilt", files: [] };"#;

/// Bytes of the hash in a version.
const VERSION_LEN: usize = 8;

/// The site, built.
pub(crate) struct Site {
    /// `dist/web-demo`.
    pub(crate) folder: PathBuf,
    /// All files, by their paths in it, in order.
    files: Vec<String>,
    /// What its service worker keeps them under.
    version: String,
}

/// Builds it alone, shows its parts and how to serve it.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    npm::build(workspace, &mut steps, &setup::node()?)?;
    let site = build(workspace, &mut steps)?;
    print!("\n{}", site.parts()?.to_terminal());
    let folder = workspace.shown(&site.folder);
    println!("\nversion {}", site.version);
    println!("serve it: python3 -m http.server --directory {folder} 8000");
    Ok(())
}

/// Builds `dist/web-demo` around a package that is built.
pub(crate) fn build(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Site> {
    steps.begin(
        "web demo",
        "the page, the npm package and the default model",
    );
    let folder = workspace.root.join("dist").join("web-demo");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| shown(&folder))?;
    }
    copy_folder(&workspace.root.join(SOURCES), &folder)?;
    let package = folder.join("encoderfile");
    copy_folder(&workspace.root.join(PACKAGE), &package)?;
    let notices = notices::of_npm_package(workspace);
    copy(&notices, &package.join(npm::NOTICES))?;
    let model = workspace.root.join(DEFAULT_MODEL);
    let name = model.file_name().context("the default model has no name")?;
    copy(&model, &folder.join(name))?;

    let mut files = files_in(&folder, "")?;
    files.sort();
    // The package keeps models itself, and the page reads no notices.
    let is_kept =
        |file: &&String| !file.ends_with(".ef") && !file.ends_with(npm::NOTICES) && *file != WORKER;
    let kept: Vec<&String> = files.iter().filter(is_kept).collect();
    let version = version(&folder, &kept)?;
    write_worker(&folder.join(WORKER), &version, &kept)?;
    Ok(Site {
        folder,
        files,
        version,
    })
}

impl Site {
    /// Its size and where it is.
    pub(crate) fn list(&self, workspace: &Workspace, table: &mut Table) -> anyhow::Result<()> {
        let sizes = self.files.iter().map(|file| size(&self.folder.join(file)));
        let bytes: u64 = sizes.sum::<anyhow::Result<u64>>()?;
        let path = workspace.shown(&self.folder).to_string();
        table.push(vec!["web demo".into(), megabytes(bytes), path]);
        Ok(())
    }

    /// What its parts weigh.
    fn parts(&self) -> anyhow::Result<Table> {
        let mut table = Table::new(&[
            ("part", Align::Left),
            ("files", Align::Right),
            ("size", Align::Right),
        ]);
        let of_package = |file: &str| file.starts_with("encoderfile/");
        let is_model = |file: &str| file.ends_with(".ef");
        self.add("page", &mut table, |file| {
            !of_package(file) && !is_model(file)
        })?;
        self.add("npm package", &mut table, of_package)?;
        self.add("default model", &mut table, is_model)?;
        self.add("together", &mut table, |_| true)?;
        Ok(table)
    }

    fn add(
        &self,
        part: &str,
        table: &mut Table,
        is_of_it: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let files = || self.files.iter().filter(|file| is_of_it(file));
        let sizes = files().map(|file| size(&self.folder.join(file)));
        let bytes: u64 = sizes.sum::<anyhow::Result<u64>>()?;
        table.push(vec![
            part.into(),
            files().count().to_string(),
            megabytes(bytes),
        ]);
        Ok(())
    }
}

/// Copies a folder with all that is in it but what no browser needs.
fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| shown(to))?;
    for entry in fs::read_dir(from).with_context(|| shown(from))? {
        let path = entry.with_context(|| shown(from))?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        if npm::is_for_no_browser(&name.to_string_lossy()) {
            continue;
        }
        match path.is_dir() {
            true => copy_folder(&path, &target)?,
            false => copy(&path, &target)?,
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", shown(from), shown(to)))?;
    Ok(())
}

/// The files in a folder and the folders in it, with `/` in their paths.
fn files_in(folder: &Path, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| shown(folder))? {
        let path = entry.with_context(|| shown(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{}: not in UTF-8", shown(&path)))?;
        if path.is_dir() {
            files.extend(files_in(&path, &format!("{prefix}{name}/"))?);
        } else {
            files.push(format!("{prefix}{name}"));
        }
    }
    Ok(files)
}

/// A hash of the files' paths and contents, in hexadecimal.
fn version(folder: &Path, files: &[&String]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        let path = folder.join(file);
        let content = fs::read(&path).with_context(|| shown(&path))?;
        // With its length, so that no other files give the same bytes.
        hash.update(format!("{file}\n{}\n", content.len()));
        hash.update(&content);
    }
    let digest = hash.finalize();
    let start = digest.iter().take(VERSION_LEN);
    Ok(start.map(|byte| format!("{byte:02x}")).collect())
}

/// Puts the files into the service worker's source.
fn write_worker(path: &Path, version: &str, files: &[&String]) -> anyhow::Result<()> {
    let source = fs::read_to_string(path).with_context(|| shown(path))?;
    ensure!(
        source.matches(UNBUILT).count() == 1,
        "{}: not exactly one line `{UNBUILT}`",
        shown(path)
    );
    // A server may send the page on from its name to its folder.
    let address = |file: &str| if file == "index.html" { "./" } else { file }.to_owned();
    let addresses: Vec<String> = files.iter().map(|file| address(file)).collect();
    let precache = serde_json::json!({ "version": version, "files": addresses });
    let source = source.replace(UNBUILT, &format!("const PRECACHE = {precache};"));
    fs::write(path, source).with_context(|| shown(path))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
