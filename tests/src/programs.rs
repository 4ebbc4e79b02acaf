//! Where the programs under test are.

use anyhow::{Context, ensure};
use std::env;
use std::path::{Path, PathBuf};

/// A program that tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The assembled `encoderfile`, with base programs and a default model.
    Encoderfile,
    /// The wasmtime CLI.
    Wasmtime,
    /// Node, for its WASI and for clients.
    Node,
    /// A Python with the packages of `clients/requirements.txt`.
    Python,
    /// A Python with the packages of `clients/frameworks.txt`.
    Frameworks,
    /// A Python with the wheel, and the packages of `python/tests/requirements.txt`.
    WheelPython,
    /// The folder of the packages of `published/packages.txt`, unpacked.
    Published,
    /// A Chromium, for pages.
    Chromium,
    /// skopeo, which reads container images.
    Skopeo,
    /// umoci, which unpacks them.
    Umoci,
    /// The adapter for Spin, a component.
    SpinAdapter,
    /// The npm package, as npm publishes it.
    NpmPackage,
    /// The folder of the demo page.
    Demo,
    /// The folder of the C library, as `dist` makes it.
    Library,
    /// A C compiler.
    Cc,
    /// A C++ compiler.
    Cxx,
    /// pkg-config.
    PkgConfig,
    /// CMake.
    Cmake,
    /// valgrind.
    Valgrind,
    /// Go, with cgo.
    Go,
    /// Java's compiler; what runs its programs is beside it.
    Javac,
    /// The archive of JNA, which calls C from Java.
    Jna,
    /// Mono's C# compiler.
    Mcs,
    /// Mono, which runs its programs.
    Mono,
    /// SQLite's shell.
    Sqlite,
}

impl Program {
    fn variable(self) -> &'static str {
        match self {
            Self::Encoderfile => "ENCODERFILE_BIN",
            Self::Wasmtime => "ENCODERFILE_WASMTIME",
            Self::Node => "ENCODERFILE_NODE",
            Self::Python => "ENCODERFILE_PYTHON",
            Self::Frameworks => "ENCODERFILE_FRAMEWORKS",
            Self::WheelPython => "ENCODERFILE_WHEEL_PYTHON",
            Self::Published => "ENCODERFILE_PUBLISHED",
            Self::Chromium => "ENCODERFILE_CHROMIUM",
            Self::Skopeo => "ENCODERFILE_SKOPEO",
            Self::Umoci => "ENCODERFILE_UMOCI",
            Self::SpinAdapter => "ENCODERFILE_SPIN",
            Self::NpmPackage => "ENCODERFILE_NPM",
            Self::Demo => "ENCODERFILE_DEMO",
            Self::Library => "ENCODERFILE_CAPI",
            Self::Cc => "ENCODERFILE_CC",
            Self::Cxx => "ENCODERFILE_CXX",
            Self::PkgConfig => "ENCODERFILE_PKG_CONFIG",
            Self::Cmake => "ENCODERFILE_CMAKE",
            Self::Valgrind => "ENCODERFILE_VALGRIND",
            Self::Go => "ENCODERFILE_GO",
            Self::Javac => "ENCODERFILE_JAVAC",
            Self::Jna => "ENCODERFILE_JNA",
            Self::Mcs => "ENCODERFILE_MCS",
            Self::Mono => "ENCODERFILE_MONO",
            Self::Sqlite => "ENCODERFILE_SQLITE",
        }
    }

    /// Where it is, by its environment variable or else in its usual place.
    ///
    /// `None`, with a note on stderr, where it is in neither; on CI that is an
    /// error, so that nothing is skipped there without anybody noticing.
    pub fn find(self) -> anyhow::Result<Option<PathBuf>> {
        let variable = self.variable();
        if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            ensure!(path.exists(), "{variable}: there is no {}", path.display());
            return Ok(Some(path));
        }
        let found = match self {
            Self::Encoderfile => Some(dist()).filter(|path| path.is_file()),
            Self::Wasmtime => on_path("wasmtime"),
            Self::Node => on_path("node"),
            // A Python on PATH has none of the packages.
            Self::Python | Self::Frameworks | Self::WheelPython | Self::Published => None,
            Self::Chromium => on_path("chromium"),
            Self::Skopeo => on_path("skopeo"),
            Self::Umoci => on_path("umoci"),
            Self::SpinAdapter => Some(spin_adapter()).filter(|path| path.is_file()),
            Self::NpmPackage => Some(npm_package()).filter(|path| path.is_file()),
            Self::Demo => Some(demo()).filter(|path| path.is_dir()),
            Self::Library => Some(library()).filter(|path| path.is_dir()),
            Self::Cc => on_path("cc"),
            Self::Cxx => on_path("c++"),
            Self::PkgConfig => on_path("pkg-config"),
            Self::Cmake => on_path("cmake"),
            Self::Valgrind => on_path("valgrind"),
            Self::Go => on_path("go"),
            Self::Javac => on_path("javac"),
            // Debian's.
            Self::Jna => {
                Some("/usr/share/java/jna.jar".into()).filter(|path: &PathBuf| path.is_file())
            }
            Self::Mcs => on_path("mcs"),
            Self::Mono => on_path("mono"),
            Self::Sqlite => on_path("sqlite3"),
        };
        if found.is_none() {
            skip(&format!("no {self:?}"), &format!("set {variable}"))?;
        }
        Ok(found)
    }
}

/// Whether the npm packages of a folder of `tests/` are installed in it; a note
/// on stderr, or an error on CI, where they are not.
pub fn has_node_modules(folder: &str) -> anyhow::Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let is_there = folder.join("node_modules").is_dir();
    if !is_there {
        let advice = format!("run `npm ci` in {}", folder.display());
        skip("no npm packages", &advice)?;
    }
    Ok(is_there)
}

/// Says why something is left out; an error on CI, which leaves nothing out.
fn skip(why: &str, advice: &str) -> anyhow::Result<()> {
    ensure!(env::var_os("CI").is_none(), "{why}: {advice}");
    eprintln!("skipped: {why}; `cargo xtask test` provides it, or {advice}");
    Ok(())
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// A folder of this machine that a program names, where messages of panics name sources: whoever
/// is given one would know whose machine built it, and no two machines would build the same.
pub fn folder_named_in(program: &[u8]) -> anyhow::Result<Option<PathBuf>> {
    let cargo = env::home_dir().context("a home folder")?.join(".cargo");
    // A test is at target/release/deps/NAME.
    let own = env::current_exe()?;
    let target = own.ancestors().nth(3).context("a target folder")?;
    let folders = [cargo, root().to_owned(), target.to_owned()];
    Ok(folders.into_iter().find(|it| {
        let name = it.as_os_str().as_encoded_bytes();
        program.windows(name.len()).any(|bytes| bytes == name)
    }))
}

/// Where `cargo xtask dist` puts the tool.
fn dist() -> PathBuf {
    let name = format!("encoderfile{}", env::consts::EXE_SUFFIX);
    root().join("dist").join(name)
}

/// Where `cargo xtask dist` puts the adapter for Spin.
fn spin_adapter() -> PathBuf {
    root().join("dist/encoderfile-spin.wasm")
}

/// Where `cargo xtask dist` puts the npm package.
fn npm_package() -> PathBuf {
    let name = format!("encoderfile-{}.tgz", env!("CARGO_PKG_VERSION"));
    root().join("dist").join("npm").join(name)
}

/// Where `cargo xtask capi` puts the C library.
fn library() -> PathBuf {
    root().join("dist").join("capi")
}

/// Where `cargo xtask demo` puts its page.
fn demo() -> PathBuf {
    root().join("dist").join("web-demo")
}

/// The first program of that name in the folders of PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let name = format!("{name}{}", env::consts::EXE_SUFFIX);
    let folders = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&folders).map(|folder| folder.join(&name));
    candidates.find(|path| path.is_file())
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `encoderfile` command.
    pub encoderfile: PathBuf,
    /// The wasmtime CLI.
    pub wasmtime: Option<PathBuf>,
    /// Node.
    pub node: Option<PathBuf>,
    /// Chromium.
    pub chromium: Option<PathBuf>,
    /// The npm package.
    pub npm_package: Option<PathBuf>,
    /// A Python with the wheel.
    pub python: Option<PathBuf>,
    /// The C library, and a compiler of programs that call it.
    pub library: Option<(PathBuf, PathBuf)>,
}

impl Programs {
    /// `None` where there is no `encoderfile`: nothing can be tested then.
    pub fn find() -> anyhow::Result<Option<Self>> {
        let Some(encoderfile) = Program::Encoderfile.find()? else {
            return Ok(None);
        };
        let path = encoderfile.canonicalize();
        Ok(Some(Self {
            encoderfile: path.with_context(|| encoderfile.display().to_string())?,
            wasmtime: Program::Wasmtime.find()?,
            node: Program::Node.find()?,
            chromium: Program::Chromium.find()?,
            npm_package: Program::NpmPackage.find()?,
            python: Program::WheelPython.find()?,
            library: Program::Library.find()?.zip(Program::Cc.find()?),
        }))
    }

    /// What a model in a browser needs; `None` where a part of it is missing.
    pub fn of_browser(&self) -> Option<BrowserPrograms<'_>> {
        Some(BrowserPrograms {
            node: self.node.as_deref()?,
            chromium: self.chromium.as_deref()?,
            npm_package: self.npm_package.as_deref()?,
        })
    }
}

/// Those that run a model in a browser.
#[derive(Clone, Copy, Debug)]
pub struct BrowserPrograms<'a> {
    /// Drives the browser.
    pub node: &'a Path,
    /// The browser.
    pub chromium: &'a Path,
    /// The package that runs in it.
    pub npm_package: &'a Path,
}
