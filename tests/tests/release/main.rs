//! What `cargo xtask release` makes: every program's headers, the list and its signature, files
//! built for every target, the packages, and those programs that an emulator or an empty root can run.
//!
//! `ENCODERFILE_RELEASE` is the folder of a version, `dist/release/v0.1.0`; without it there is
//! nothing to test, and no trial. `cargo xtask release` sets it.

mod apple;
mod crates;
mod headers;
mod languages;
mod machine;
mod npm;
mod windows;

use crate::machine::Machine;
use anyhow::{Context, ensure};
use encoderfile_builder::runtimes::{ADDRESS_VARIABLE, file_name};
use encoderfile_builder::target::{HOST_TARGET, TARGETS, Target};
use encoderfile_tests::compare::{self, Agreement};
use encoderfile_tests::fixture::{self, DEFAULT_MODEL};
use encoderfile_tests::process;
use encoderfile_tests::programs;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Arguments, Trial};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

/// A model for each task, with words, bytes and scripts for tokenizers of several kinds.
const MODELS: [&str; 6] = [
    "st-mean-normalize",
    "roberta-sequence_classification",
    "distilbert-token_classification",
    "deberta-v2-embedding",
    "modernbert-embedding",
    "xlm-roberta-embedding",
];

/// How far a number may be from this machine's: another processor computes it.
const TOLERANCE: f64 = 1e-4;

const TEXTS: [&str; 3] = ["The quick brown fox", "Straße, naïve — 東京", ""];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(folder) = env::var_os("ENCODERFILE_RELEASE") else {
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    match trials(&PathBuf::from(folder)) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A release, and a tool of it that runs here.
struct Release {
    workbench: Workbench,
    folder: PathBuf,
}

fn trials(folder: &Path) -> anyhow::Result<Vec<Trial>> {
    let folder = folder
        .canonicalize()
        .with_context(|| folder.display().to_string())?;
    let workbench = Workbench::open()?.context("no tool to compare with")?;
    let release = Arc::new(Release { workbench, folder });
    let mut trials = vec![
        trial("sums", &release, Release::check_sums),
        trial("install", &release, Release::check_install),
        trial("crates", &release, Release::check_crates),
        trial("npm", &release, Release::check_npm),
    ];
    for target in TARGETS.iter().filter(|it| release.has(it)) {
        let name = |what: &str| format!("{what}/{target}");
        let of = |check: fn(&Release, &'static Target) -> anyhow::Result<()>| {
            move |release: &Release| check(release, target)
        };
        trials.push(trial(
            &name("headers"),
            &release,
            of(Release::check_headers),
        ));
        trials.push(trial(&name("build"), &release, of(Release::check_build)));
        if let Some(machine) = Machine::of(target) {
            for model in MODELS {
                let check = move |release: &Release| release.check_results(target, machine, model);
                trials.push(trial(&format!("infer/{target}/{model}"), &release, check));
            }
            let check = move |release: &Release| release.check_server(target, machine);
            trials.push(trial(&name("serve"), &release, check));
            if release.tool_of(target).is_file() {
                let check = move |release: &Release| release.check_tool(target, machine);
                trials.push(trial(&name("tool"), &release, check));
            }
        }
        if apple::is_apple(target) {
            trials.push(apple::trial(&release, target));
        }
        if target.triple == windows::TARGET {
            trials.extend(windows::trials(&release));
        }
    }
    trials.extend(languages::trials(&release)?);
    Ok(trials)
}

fn trial(
    name: &str,
    release: &Arc<Release>,
    check: impl FnOnce(&Release) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let release = Arc::clone(release);
    Trial::test(name, move || {
        check(&release).map_err(|error| format!("{error:#}").into())
    })
}

impl Release {
    fn has(&self, target: &Target) -> bool {
        self.folder.join(file_name(target)).is_file()
    }

    fn tool_of(&self, target: &Target) -> PathBuf {
        let name = format!("encoderfile-{target}{}", target.suffix());
        self.folder.join(name)
    }

    /// The tool of this machine.
    fn tool(&self) -> Command {
        let mut tool = Command::new(self.tool_of(Target::host()));
        let above = self.folder.parent().unwrap_or(&self.folder);
        tool.env(ADDRESS_VARIABLE, format!("file://{}", above.display()));
        tool.arg("--cache-dir").arg(self.workbench.path("cache"));
        tool
    }

    /// A model built for a target.
    fn build(&self, target: &Target, model: &str, output: &Path) -> anyhow::Result<()> {
        let mut build = self.tool();
        build
            .args(["build", "--target", target.triple, "-o"])
            .arg(output);
        if model != DEFAULT_MODEL {
            build.arg("--model").arg(fixture::folder(model));
        }
        process::succeed(&mut build)?;
        Ok(())
    }

    /// By the programs that everybody has.
    fn check_sums(&self) -> anyhow::Result<()> {
        let mut check = Command::new("sha256sum");
        check.args(["--check", "--strict", "--quiet", "SHA256SUMS"]);
        process::succeed(check.current_dir(&self.folder))?;
        let above = self.folder.parent().context("no folder above")?;
        let mut verify = Command::new("minisign");
        verify
            .args(["-V", "-m", "SHA256SUMS", "-p"])
            .arg(above.join("trial.pub"));
        let verified = process::succeed(verify.current_dir(&self.folder))?;
        let comment = format!("Trusted comment: encoderfile {}", env!("CARGO_PKG_VERSION"));
        ensure!(verified.text()?.contains(&comment), "{}", verified.text()?);
        Ok(())
    }

    /// The script installs this machine's tool, and nothing that is not as it is listed.
    fn check_install(&self) -> anyhow::Result<()> {
        let above = self.folder.parent().context("no folder above")?;
        let root = tempfile::tempdir()?;
        let install = |address: &str| {
            let mut install = Command::new("sh");
            install.arg(above.join("install.sh"));
            install.env(ADDRESS_VARIABLE, address);
            install.env("ENCODERFILE_INSTALL", root.path().join("bin"));
            process::finish(&mut install)
        };
        install(&format!("file://{}", above.display()))?.succeeded()?;
        let tool = root.path().join("bin/encoderfile");
        process::succeed(Command::new(&tool).arg("version"))?;

        fs::remove_file(&tool)?;
        let other = root.path().join("other");
        let version = other.join(self.folder.file_name().context("a name")?);
        fs::create_dir_all(&version)?;
        fs::copy(self.folder.join("SHA256SUMS"), version.join("SHA256SUMS"))?;
        fs::write(version.join(format!("encoderfile-{HOST_TARGET}")), "other")?;
        let refused = install(&format!("file://{}", other.display()))?;
        ensure!(refused.code == Some(1) && refused.stderr.contains("nothing was installed"));
        ensure!(!tool.exists());
        Ok(())
    }

    fn check_headers(&self, target: &'static Target) -> anyhow::Result<()> {
        let program = fs::read(self.folder.join(file_name(target)))?;
        target.check(&program)?;
        let named = programs::folder_named_in(&program)?;
        ensure!(named.is_none(), "it names {named:?}");
        headers::check(target, &program)
    }

    /// What is built is whole, and another file can be built of it.
    fn check_build(&self, target: &'static Target) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (file, again) = (folder.path().join("model"), folder.path().join("again"));
        self.build(target, DEFAULT_MODEL, &file)?;
        let mut inspect = self.tool();
        process::succeed(inspect.arg("inspect").arg(&file))?;
        let mut from = self.tool();
        from.args(["build", "--target", target.triple, "--from"]);
        process::succeed(from.arg(&file).arg("-o").arg(&again))?;
        ensure!(
            fs::read(file)? == fs::read(again)?,
            "another file than it was built of"
        );
        Ok(())
    }

    fn check_results(
        &self,
        target: &'static Target,
        machine: Machine,
        model: &str,
    ) -> anyhow::Result<()> {
        let root = machine.root(target)?;
        self.build(target, model, &root.program)?;
        process::succeed(root.command().arg("self-test"))?;
        let native = self.workbench.built(model, &[])?;
        let expected = process::succeed(Command::new(native).arg("infer").args(TEXTS))?;
        let got = process::succeed(root.command().arg("infer").args(TEXTS))?;
        compare::json(
            &expected.json()?,
            &got.json()?,
            Agreement::Within(TOLERANCE),
        )?;
        Ok(())
    }

    fn check_server(&self, target: &'static Target, machine: Machine) -> anyhow::Result<()> {
        let root = machine.root(target)?;
        let model = "st-mean-normalize";
        self.build(target, model, &root.program)?;
        let native = self.workbench.serve(model, &[])?;
        let mut command = root.command_with_network();
        command.args(["serve", "--http-port", "0", "--disable-grpc"]);
        let server = Server::start_command(&mut command)?;
        let ask = |server: &Server| -> anyhow::Result<serde_json::Value> {
            let url = format!("{}/predict", server.http());
            let body = serde_json::json!({ "inputs": TEXTS[..2] }).to_string();
            let mut answer = ureq::post(&url)
                .content_type("application/json")
                .send(body)?;
            Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
        };
        let (expected, got) = (ask(&native)?, ask(&server)?);
        compare::json(&expected, &got, Agreement::Within(TOLERANCE))?;
        Ok(())
    }

    /// The tool builds there for itself and for wasm, and both files say the same.
    fn check_tool(&self, target: &'static Target, machine: Machine) -> anyhow::Result<()> {
        let (tool, built) = (machine.root(target)?, machine.root(target)?);
        fs::copy(self.tool_of(target), &tool.program)?;
        let wasm = tool.folder().join("model.wasm");
        for (name, output) in [(target.triple, &built.program), ("wasm32-wasip1", &wasm)] {
            let mut build = tool.command();
            build.args(["build", "--target", name, "--model"]);
            build.arg(fixture::folder("st-mean-normalize"));
            process::succeed(build.arg("-o").arg(output))?;
        }
        process::succeed(built.command().arg("self-test"))?;
        let native = process::succeed(built.command().arg("infer").args(TEXTS))?;
        let mut run = tool.command();
        let wasm = process::succeed(run.arg("run").arg(&wasm).arg("infer").args(TEXTS))?;
        compare::json(&native.json()?, &wasm.json()?, Agreement::Within(TOLERANCE))?;
        Ok(())
    }
}
