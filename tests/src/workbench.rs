//! Where a test works: the programs, an empty folder, and what has been built.
//!
//! Invariant: a fixture is built once for each set of options as long as any
//! workbench of the test program is open, and the last one takes the files with it.

use crate::browser::Browser;
use crate::component_host::{Host, Instance};
use crate::fixture::{self, DEFAULT_MODEL};
use crate::process::{self, Finished};
use crate::programs::{Programs, root};
#[cfg(unix)]
use crate::server::Server;
use crate::target::COMPONENT;
use anyhow::{Context, ensure};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use tempfile::TempDir;
use wasmtime::component::Component;

/// The programs, and an empty folder that is removed with it.
pub struct Workbench {
    shared: Arc<Shared>,
    folder: TempDir,
}

/// What the open workbenches of a test program share.
struct Shared {
    programs: Programs,
    folder: TempDir,
    builds: Mutex<HashMap<Recipe, Arc<Build>>>,
    /// Started when it is first needed.
    browser: Mutex<Option<Browser>>,
    /// The base component, compiled when it is first needed.
    component: Mutex<Option<(Host, Component)>>,
}

/// What the programs of `tests/capi` are compiled with: C11 and POSIX, without warnings.
pub const C_FLAGS: [&str; 6] = [
    "-std=c11",
    "-D_XOPEN_SOURCE=700",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
];

/// A model's name and the options of its build.
type Recipe = (String, Vec<String>);

/// A build.
struct Build {
    /// A folder that is its own, whoever of those who ask for it makes it.
    place: PathBuf,
    /// The file, or why there is none.
    made: OnceLock<Result<PathBuf, String>>,
}

/// Held weakly: a static is never dropped, and its files would stay.
static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

impl Shared {
    fn open() -> anyhow::Result<Option<Arc<Self>>> {
        let mut shared = lock(&SHARED);
        if let Some(open) = shared.upgrade() {
            return Ok(Some(open));
        }
        let Some(programs) = Programs::find()? else {
            return Ok(None);
        };
        let new = Arc::new(Self {
            programs,
            folder: tempfile::tempdir()?,
            builds: Mutex::default(),
            browser: Mutex::default(),
            component: Mutex::default(),
        });
        *shared = Arc::downgrade(&new);
        Ok(Some(new))
    }

    /// The file of a recipe, made by the first who asks for it.
    fn build(
        &self,
        recipe: Recipe,
        make: impl FnOnce(PathBuf) -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<PathBuf> {
        let mut builds = lock(&self.builds);
        let place = self.folder.path().join(builds.len().to_string());
        let new = || {
            let made = OnceLock::new();
            Arc::new(Build { place, made })
        };
        let build = builds.entry(recipe).or_insert_with(new).clone();
        drop(builds);
        let made = build.made.get_or_init(|| {
            let made = fs::create_dir(&build.place).map_err(Into::into);
            let made = made.and_then(|()| make(build.place.join("model")));
            made.map_err(|error| format!("{error:#}"))
        });
        made.clone().map_err(anyhow::Error::msg)
    }
}

impl Workbench {
    /// `None` where there is no tool to test.
    pub fn open() -> anyhow::Result<Option<Self>> {
        let Some(shared) = Shared::open()? else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        Ok(Some(Self { shared, folder }))
    }

    /// The programs that there are.
    pub fn programs(&self) -> &Programs {
        &self.shared.programs
    }

    /// The one browser of the test program.
    pub(crate) fn browser(&self) -> anyhow::Result<MutexGuard<'_, Option<Browser>>> {
        let mut browser = lock(&self.shared.browser);
        if browser.is_none() {
            let programs = self.programs().of_browser().context("no browser")?;
            *browser = Some(Browser::start(programs)?);
        }
        Ok(browser)
    }

    /// An instance of the base component, which may read the files of a folder.
    pub(crate) fn component_library(&self, folder: &Path) -> anyhow::Result<Instance> {
        let mut compiled = lock(&self.shared.component);
        let (host, component) = match &mut *compiled {
            Some(compiled) => compiled,
            none => {
                let host = Host::new()?;
                let component = host.compile(&fs::read(self.base(COMPONENT)?)?)?;
                none.insert((host, component))
            }
        };
        host.instance_of(component, Some(folder))
    }

    /// The workbench's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where [`Self::built`] has its files.
    pub fn built_folder(&self) -> &Path {
        self.shared.folder.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file into the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        fs::write(self.path(name), content).with_context(|| name.to_owned())?;
        Ok(self.path(name))
    }

    /// Reads a file of the folder.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        fs::read(self.path(name)).with_context(|| name.to_owned())
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The tool, to be run in the folder.
    pub fn tool<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        self.program(&self.programs().encoderfile, arguments)
    }

    /// Any program, to be run in the folder.
    pub fn program<A: AsRef<OsStr>>(&self, program: &Path, arguments: &[A]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder());
        command
    }

    /// Runs a program to its end.
    pub fn finish<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: &[A],
    ) -> anyhow::Result<Finished> {
        process::finish(&mut self.program(program, arguments))
    }

    /// Runs the tool, which must succeed.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> anyhow::Result<Finished> {
        process::succeed(&mut self.tool(arguments))
    }

    /// Runs the tool, which must refuse and name `words`.
    pub fn refuses<A: AsRef<OsStr>>(&self, arguments: &[A], words: &[&str]) -> anyhow::Result<()> {
        self.finish(&self.programs().encoderfile, arguments)?
            .refused(words)
    }

    /// A fixture, or the tool's own model by its name ([`DEFAULT_MODEL`]), built with
    /// `options`. The file is everybody's: [`Self::build`] gives one to change.
    pub fn built(&self, model: &str, options: &[&str]) -> anyhow::Result<PathBuf> {
        let recipe = options.iter().map(|it| (*it).to_owned()).collect();
        self.shared.build((model.to_owned(), recipe), |place| {
            let mut command = self.tool(&["build"]);
            command.args(options).arg("-o").arg(&place);
            if model != DEFAULT_MODEL {
                command.arg("--model").arg(fixture::folder(model));
            }
            process::succeed(&mut command)?;
            Ok(place)
        })
    }

    /// The same as a file `name` in the folder. This process wrote it, so it may be busy
    /// for a moment: [`process`] waits for that, a shell does not.
    pub fn build(&self, model: &str, options: &[&str], name: &str) -> anyhow::Result<PathBuf> {
        fs::copy(self.built(model, options)?, self.path(name))?;
        Ok(self.path(name))
    }

    /// Builds a model folder as `name` in the folder.
    pub fn build_folder(
        &self,
        folder: &Path,
        options: &[&str],
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let mut command = self.tool(&["build", "-o", name, "--model"]);
        process::succeed(command.arg(folder).args(options))?;
        Ok(self.path(name))
    }

    /// The base program for a target that the tool carries, without a model.
    pub fn base(&self, target: &str) -> anyhow::Result<PathBuf> {
        self.shared.build((target.into(), Vec::new()), |place| {
            let tool = &self.programs().encoderfile;
            let mut extract = self.tool(&["extract"]);
            process::succeed(extract.arg(tool).arg("-o").arg(&place))?;
            let base = place.join(format!("base-{target}"));
            ensure!(base.is_file(), "the tool carries no base for {target}");
            Ok(base)
        })
    }

    /// A program of `tests/capi`, with the shared library where it was built.
    pub fn c_program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let recipe = (name.to_owned(), vec!["C".to_owned()]);
        self.shared.build(recipe, |place| {
            let (library, cc) = self.programs().library.as_ref().context("no C library")?;
            let source = root().join("tests/capi").join(name).with_extension("c");
            let mut compile = Command::new(cc);
            compile.args(C_FLAGS).arg("-o").arg(&place).arg(source);
            compile.arg("-I").arg(library.join("include"));
            compile.arg("-L").arg(library.join("lib"));
            compile.arg(format!("-Wl,-rpath,{}", library.join("lib").display()));
            process::succeed(compile.args(["-lencoderfile", "-lpthread", "-lm"]))?;
            Ok(place)
        })
    }

    /// A server of a model.
    #[cfg(unix)]
    pub fn serve(&self, model: &str, arguments: &[&str]) -> anyhow::Result<Server> {
        Server::start(&self.built(model, &[])?, arguments)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
