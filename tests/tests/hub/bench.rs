//! A hub, a cache, and builds that use them.

use crate::content::{ID, Model};
use crate::server::{Hub, Request};
use anyhow::{Context, ensure};
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::workbench::Workbench;
use serde_json::Value;
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The model that most tests are about: one with modules, ONNX and a checkpoint.
pub(crate) const FIXTURE: &str = "st-mean-normalize";

/// The file that a build chooses of it.
pub(crate) const WEIGHTS: &str = "model.onnx";

pub(crate) struct Bench {
    pub(crate) workbench: Workbench,
    pub(crate) hub: Hub,
}

impl Bench {
    /// `None` where there is no tool to test.
    pub(crate) fn open() -> anyhow::Result<Option<Self>> {
        Self::with(Model::of_fixture(FIXTURE)?)
    }

    pub(crate) fn with(model: Model) -> anyhow::Result<Option<Self>> {
        let hub = Hub::start(model)?;
        Ok(Workbench::open()?.map(|workbench| Self { workbench, hub }))
    }

    /// What programs find in the environment. None sees the user's home.
    pub(crate) fn environment(&self, command: &mut Command) {
        let path = env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path);
        command.env("HOME", self.workbench.folder());
        command.env("HF_HOME", self.home());
        command.env("HF_ENDPOINT", self.hub.endpoint());
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.workbench.path("home")
    }

    /// Where files of the model are kept.
    pub(crate) fn cache(&self) -> PathBuf {
        let name = format!("models--{}", self.hub.model().id.replace('/', "--"));
        self.home().join("hub").join(name)
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.cache()
            .join("snapshots")
            .join(&self.hub.model().commit)
    }

    /// A build of the hub's model, or of what `model` names, as the file `out`.
    pub(crate) fn build_of(&self, model: &str, options: &[&str]) -> Command {
        let arguments = ["build", "--target", "bundle", "-o", "out", "--model", model];
        let mut command = self.workbench.tool(&arguments);
        command.args(options);
        self.environment(&mut command);
        command
    }

    pub(crate) fn build(&self, options: &[&str]) -> Command {
        self.build_of(ID, options)
    }

    pub(crate) fn succeeds(&self) -> anyhow::Result<Finished> {
        process::succeed(&mut self.build(&[]))
    }

    /// A build that is refused with those words, and leaves nothing that counts.
    pub(crate) fn refuses(&self, words: &[&str]) -> anyhow::Result<()> {
        // Of a build before.
        let _ = fs::remove_file(self.workbench.path("out"));
        process::finish(&mut self.build(&[]))?.refused(words)?;
        ensure!(!self.workbench.path("out").exists(), "a file was written");
        self.check_cache()
    }

    /// Every blob holds what its name says, and every file of the snapshot is one.
    pub(crate) fn check_cache(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(self.cache().join("blobs"))
            .into_iter()
            .flatten()
        {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.into_owned();
            if name.ends_with(".incomplete") {
                continue;
            }
            let mut files = self.hub.model().files.iter();
            let file = files.find(|it| it.hash() == name);
            let file = file.with_context(|| format!("{name} is a blob of nothing"))?;
            ensure!(
                fs::read(&path)? == file.content,
                "{} is not whole",
                file.name
            );
        }
        Ok(())
    }

    /// What is in the folder of blobs and not whole.
    pub(crate) fn incomplete(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache().join("blobs"))
            .into_iter()
            .flatten();
        let paths = entries.flatten().map(|it| it.path());
        paths
            .filter(|it| it.extension().is_some_and(|it| it == "incomplete"))
            .collect()
    }

    /// The files whose content was asked for since the last call, each as often as it was.
    pub(crate) fn downloads(&self) -> Vec<String> {
        self.downloads_of(&self.hub.asked())
    }

    pub(crate) fn downloads_of(&self, asked: &[Request]) -> Vec<String> {
        let model = self.hub.model();
        // A redirection is one request for the content, at the end of it.
        let ends = asked
            .iter()
            .filter(|it| it.is_cdn || it.path.starts_with("/api/resolve-cache"));
        let file = |request: &Request| model.files.iter().find(|it| request.is_for(it));
        let names = ends.filter_map(|it| Some(file(it)?.name.clone()));
        names.collect()
    }

    /// What `inspect` says of the file that was built.
    pub(crate) fn inspect(&self) -> anyhow::Result<Value> {
        self.inspect_file("out")
    }

    /// The same of another file.
    pub(crate) fn inspect_file(&self, name: &str) -> anyhow::Result<Value> {
        self.workbench.run(&["inspect", "--json", name])?.json()
    }
}

/// The names below a folder.
pub(crate) fn names_in(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inner) = open.pop() {
        for entry in fs::read_dir(inner).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if let Ok(name) = entry.path().strip_prefix(folder) {
                names.insert(name.display().to_string());
            }
        }
    }
    names
}
