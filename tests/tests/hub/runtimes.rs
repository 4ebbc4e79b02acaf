//! `runtime` and `build --target`: base programs of a release, from a folder and from a server,
//! with faults.

use crate::content::Model;
use crate::server::{Answer, Hub, Request, ranged};
use anyhow::{Context, ensure};
use encoderfile_builder::target::HOST_TARGET;
use encoderfile_tests::process::{self, Finished};
use encoderfile_tests::workbench::Workbench;
use minisign::KeyPair;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Of the tool.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A target of this processor that the tool does not carry; what this machine runs will do.
const TARGET: &str = match cfg!(target_arch = "aarch64") {
    true => "aarch64-unknown-linux-musl",
    false => "x86_64-unknown-linux-musl",
};

/// Its folder of the cache, and the program in it.
const CACHED: &str = "cache/base-binaries/encoderfile";

type Files = BTreeMap<String, Vec<u8>>;

/// A tool of a release, and the files of that release.
struct Release {
    workbench: Workbench,
    keys: KeyPair,
    files: Files,
}

fn path(name: &str) -> String {
    format!("/releases/v{VERSION}/{name}")
}

fn program_name() -> String {
    format!("encoderfile-runtime-{TARGET}")
}

impl Release {
    /// `None` where there is no tool to test.
    fn make() -> anyhow::Result<Option<Self>> {
        let Some(workbench) = Workbench::open()? else {
            return Ok(None);
        };
        let mut release = Self {
            workbench,
            keys: KeyPair::generate_unencrypted_keypair()?,
            files: Files::new(),
        };
        release.make_tool()?;
        Ok(Some(release))
    }

    /// The base program is the one of the tool, which also knows the release.
    fn make_tool(&mut self) -> anyhow::Result<()> {
        let workbench = &self.workbench;
        let mut add = workbench.tool(&["runtime", "add", "--cache-dir", "own"]);
        let added = process::succeed(add.arg(HOST_TARGET))?;
        let base = workbench.path(added.text()?.trim());
        process::succeed(&mut workbench.tool(&["build", "--target", "bundle", "-o", "model.ef"]))?;
        let program = fs::read(&base)?;
        let description = json!({
            "address": "",
            "public_key": self.keys.pk.to_base64(),
            "bases": {TARGET: {"length": program.len(), "sha256": sha256(&program)}},
        });
        fs::write(workbench.path("release.json"), description.to_string())?;
        let mut assemble = workbench.tool(&["assemble-tool", "--default-model", "model.ef"]);
        assemble.args(["--release", "release.json", "-o", "tool", "--program"]);
        assemble.arg(workbench.tool(&["version"]).get_program());
        assemble.arg("--base");
        process::succeed(assemble.arg(format!("{HOST_TARGET}={}", base.display())))?;
        self.files.insert(path(&program_name()), program);
        self.sign(VERSION, &format!("encoderfile {VERSION}"))
    }

    /// Lists the program as of a version, and signs the list.
    fn sign(&mut self, version: &str, comment: &str) -> anyhow::Result<()> {
        let program = self
            .files
            .get(&path(&program_name()))
            .context("a program")?;
        let list = format!("{}  {}\n", sha256(program), program_name());
        let signature = sign(&self.keys, list.as_bytes(), comment)?;
        let path = |name: &str| format!("/releases/v{version}/{name}");
        let program = program.clone();
        self.files.insert(path(&program_name()), program);
        self.files.insert(path("SHA256SUMS"), list.into_bytes());
        self.files
            .insert(path("SHA256SUMS.minisig"), signature.into_bytes());
        Ok(())
    }

    /// The tool of the release; its cache is `cache`.
    fn tool(&self, address: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.workbench.path("tool"));
        command.args(arguments).current_dir(self.workbench.folder());
        let search = env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", search);
        command.env("ENCODERFILE_BASE_BINARY_BASE_URL", address);
        command.env("XDG_CACHE_HOME", self.workbench.path("home"));
        command.args(["--cache-dir", "cache"]);
        command
    }

    fn add(&self, address: &str) -> Command {
        self.tool(address, &["runtime", "add", TARGET])
    }

    fn cached(&self) -> PathBuf {
        let folder = self.workbench.path(CACHED).join(VERSION);
        folder.join(TARGET).join("encoderfile-runtime")
    }

    fn serve(&self) -> anyhow::Result<Hub> {
        let hub = Hub::start(Model::of_fixture(crate::bench::FIXTURE)?)?;
        hub.answer(answers(self.files.clone()));
        Ok(hub)
    }

    /// Says those words, and keeps nothing that could be taken for a program.
    fn refuses(&self, command: &mut Command, words: &[&str]) -> anyhow::Result<Finished> {
        let finished = process::finish(command)?;
        ensure!(finished.code == Some(1), "{finished:?}");
        let said = finished.stderr.trim_end();
        let last = said.lines().last().unwrap_or_default();
        for word in words {
            ensure!(last.contains(word), "no {word:?} in: {said}");
        }
        ensure!(!said.contains("panicked"), "{said}");
        ensure!(!self.cached().exists(), "kept after: {said}");
        Ok(finished)
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign(keys: &KeyPair, list: &[u8], comment: &str) -> anyhow::Result<String> {
    let signed = minisign::sign(None, &keys.sk, Cursor::new(list), Some(comment), None)?;
    Ok(signed.into_string())
}

/// Where the list says that the program is.
fn place(list: &Finished) -> anyhow::Result<&str> {
    let begin = format!("{VERSION} {TARGET} ");
    let mut lines = list.text()?.lines();
    let place = lines.find_map(|it| it.strip_prefix(&begin));
    Ok(place.context("no such target")?.trim_start())
}

fn address(hub: &Hub) -> String {
    format!("{}/releases", hub.endpoint())
}

/// What a server of files answers.
fn answers(files: Files) -> impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static {
    let files = Arc::new(files);
    move |request| {
        let found = files.get(&request.path);
        Some(match found {
            Some(content) => ranged(request, content),
            None => Answer::new(404, "Not Found"),
        })
    }
}

#[test]
fn a_program_is_fetched_once_and_checked_again() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    let hub = release.serve()?;
    let address = address(&hub);
    let list = process::succeed(&mut release.tool(&address, &["runtime", "list"]))?;
    ensure!(place(&list)? == "to be downloaded");
    let added = process::succeed(&mut release.add(&address))?;
    ensure!(
        release.workbench.path(added.text()?.trim()) == release.cached(),
        "{added:?}"
    );
    ensure!(
        hub.asked().len() == 3,
        "a list, its signature and a program"
    );
    let list = process::succeed(&mut release.tool(&address, &["runtime", "list"]))?;
    ensure!(place(&list)? == "in the cache");

    // Nobody is asked any more, and what was damaged is not used.
    let build = ["build", "--target", TARGET, "-o", "out"];
    process::succeed(release.tool(&address, &build).arg("--no-download"))?;
    process::succeed(Command::new(release.workbench.path("out")).arg("self-test"))?;
    ensure!(hub.asked().is_empty());
    fs::write(release.cached(), "other")?;
    process::succeed(&mut release.tool(&address, &build))?;
    ensure!(hub.asked().len() == 1);

    process::succeed(&mut release.tool(&address, &["runtime", "remove", TARGET]))?;
    ensure!(!release.cached().exists());
    let again = process::succeed(&mut release.tool(&address, &["runtime", "remove", TARGET]))?;
    ensure!(
        again.stderr.contains("no ") && again.stderr.contains("in the cache"),
        "{again:?}"
    );
    Ok(())
}

#[test]
fn a_folder_is_a_release_too() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    for (name, content) in &release.files {
        let path = release.workbench.path(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, content)?;
    }
    let folder = release.workbench.path("releases");
    for address in [format!("file://{}", folder.display()), "releases".into()] {
        process::succeed(&mut release.add(&address))?;
        process::succeed(&mut release.tool(&address, &["runtime", "remove", TARGET]))?;
    }
    let other = format!("file://{}/none", folder.display());
    let _ = fs::remove_dir_all(release.workbench.path("cache"));
    release.refuses(
        &mut release.add(&other),
        &["SHA256SUMS", "not there", "BASE_URL"],
    )?;
    Ok(())
}

#[test]
fn nothing_is_downloaded_where_that_is_forbidden() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    let hub = release.serve()?;
    let mut build = release.tool(&address(&hub), &["build", "--target", TARGET]);
    release.refuses(
        build.arg("--no-download"),
        &[TARGET, "--no-download", "cache"],
    )?;
    ensure!(hub.asked().is_empty());
    Ok(())
}

type Change = fn(&mut Release) -> anyhow::Result<()>;

/// What of a release is another, and what is said of it.
const FAULTS: [(&str, Change, &[&str]); 7] = [
    (
        "no signature",
        |it| {
            it.files.remove(&path("SHA256SUMS.minisig"));
            Ok(())
        },
        &["SHA256SUMS", "no signature"],
    ),
    (
        "another key",
        |it| {
            it.keys = KeyPair::generate_unencrypted_keypair()?;
            it.sign(VERSION, &format!("encoderfile {VERSION}"))
        },
        &["SHA256SUMS", "another key"],
    ),
    (
        "another version",
        |it| it.sign(VERSION, "encoderfile 0.0.1"),
        &["signed as \"encoderfile 0.0.1\""],
    ),
    (
        "another list",
        |it| {
            let list = it.files.get_mut(&path("SHA256SUMS")).context("a list")?;
            list.extend_from_slice(b"\n");
            Ok(())
        },
        &["not valid"],
    ),
    (
        "no signature but some text",
        |it| {
            it.files
                .insert(path("SHA256SUMS.minisig"), b"<html>".to_vec());
            Ok(())
        },
        &["none of minisign's"],
    ),
    (
        "another program",
        |it| {
            let program = it
                .files
                .get_mut(&path(&program_name()))
                .context("a program")?;
            *program.last_mut().context("a byte")? ^= 1;
            Ok(())
        },
        &[TARGET, "is not the SHA-256"],
    ),
    (
        "a program that is signed, and not the tool's",
        |it| {
            let program = it
                .files
                .get_mut(&path(&program_name()))
                .context("a program")?;
            program.push(0);
            it.sign(VERSION, &format!("encoderfile {VERSION}"))
        },
        &[TARGET, "not the release that the tool is of"],
    ),
];

#[test]
fn no_program_is_used_that_the_release_has_not_signed() -> anyhow::Result<()> {
    for (name, change, words) in FAULTS {
        let Some(mut release) = Release::make()? else {
            return Ok(());
        };
        change(&mut release)?;
        let hub = release.serve()?;
        let refused = release.refuses(&mut release.add(&address(&hub)), words);
        refused.with_context(|| name.to_owned())?;
    }
    Ok(())
}

#[test]
fn a_server_with_faults_is_named() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    let hub = release.serve()?;
    let address = address(&hub);
    let is_program = |request: &Request| request.path == path(&program_name());
    let usual = || answers(release.files.clone());

    let then = usual();
    hub.answer(move |it| match is_program(it) {
        true => Some(Answer::new(404, "Not Found")),
        false => then(it),
    });
    release.refuses(&mut release.add(&address), &["not there", TARGET])?;

    hub.answer(|_| Some(Answer::new(403, "Forbidden")));
    let _ = fs::remove_dir_all(release.workbench.path("cache"));
    release.refuses(&mut release.add(&address), &["status 403"])?;

    hub.answer(|_| Some(Answer::new(200, vec![b'x'; 1 << 16]).endless()));
    release.refuses(&mut release.add(&address), &["SHA256SUMS", "more than"])?;

    hub.answer(|it| Some(Answer::redirect(302, it.path.clone())));
    release.refuses(&mut release.add(&address), &["redirects more than"])?;

    let gone = "http://127.0.0.1:9/releases";
    release.refuses(&mut release.add(gone), &["127.0.0.1:9"])?;
    release.refuses(&mut release.add("ftp://x"), &["ftp://x", "BASE_URL"])?;
    Ok(())
}

#[test]
fn a_cut_download_goes_on_and_a_whole_one_stays() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    let hub = release.serve()?;
    let then = answers(release.files.clone());
    // Of each request a half of what is left, as of a bad line.
    hub.answer(move |request| {
        let mut answer = then(request)?;
        if request.path == path(&program_name()) && answer.body.len() > 4 << 20 {
            answer.cut = Some(answer.body.len() / 2);
        }
        Some(answer)
    });
    process::succeed(&mut release.add(&address(&hub)))?;
    let asked = hub.asked();
    let ranges = asked.iter().filter_map(|it| it.header("Range")).count();
    ensure!(ranges >= 2, "{asked:?}");
    ensure!(fs::read(release.cached())? == release.files[&path(&program_name())]);
    Ok(())
}

#[test]
fn another_version_is_asked_for_by_its_number() -> anyhow::Result<()> {
    let Some(mut release) = Release::make()? else {
        return Ok(());
    };
    release.sign("9.8.7", "encoderfile 9.8.7")?;
    let hub = release.serve()?;
    let address = address(&hub);
    let mut add = release.add(&address);
    let added = process::succeed(add.args(["--runtime-version", "9.8.7"]))?;
    ensure!(added.text()?.contains("/9.8.7/"), "{added:?}");
    let mut add = release.add(&address);
    release.refuses(
        add.args(["--runtime-version", "9.8.6"]),
        &["v9.8.6", "not there"],
    )?;
    let mut add = release.add(&address);
    release.refuses(
        add.args(["--runtime-version", "../x"]),
        &["../x", "no version"],
    )?;
    Ok(())
}

#[test]
fn a_cache_that_cannot_be_written_is_named() -> anyhow::Result<()> {
    let Some(release) = Release::make()? else {
        return Ok(());
    };
    let hub = release.serve()?;
    // Root may write everywhere, and nobody below a file.
    fs::write(release.workbench.path("cache"), "")?;
    let mut add = release.add(&address(&hub));
    let refused = process::finish(&mut add)?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("cache"),
        "{refused:?}"
    );
    ensure!(Path::new(&release.workbench.path("cache")).is_file());
    Ok(())
}

/// As whoever makes a release twice has it: a valid list of before is in the cache.
#[test]
fn a_version_that_was_made_again_is_fetched_again() -> anyhow::Result<()> {
    let Some(mut release) = Release::make()? else {
        return Ok(());
    };
    let made_last = release.files.clone();
    let program = release.files.get_mut(&path(&program_name()));
    program.context("a program")?.push(0);
    release.sign(VERSION, &format!("encoderfile {VERSION}"))?;
    let folder = release.workbench.path(CACHED).join(VERSION);
    fs::create_dir_all(&folder)?;
    for name in ["SHA256SUMS", "SHA256SUMS.minisig"] {
        fs::write(folder.join(name), &release.files[&path(name)])?;
    }
    release.files = made_last;
    let hub = release.serve()?;
    process::succeed(&mut release.add(&address(&hub)))?;
    ensure!(fs::read(release.cached())? == release.files[&path(&program_name())]);
    Ok(())
}
