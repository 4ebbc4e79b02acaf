//! What is Windows's own: paths, line ends, Ctrl-C and signatures. Wine stands in for it.

use crate::machine::{Machine, add_wine_library};
use crate::{Release, trial};
use anyhow::{Context, ensure};
use encoderfile_builder::target::Target;
use encoderfile_tests::process;
use encoderfile_tests::server::Server;
use libtest_mimic::Trial;
use std::fs;
use std::process::Command;
use std::sync::Arc;

pub(crate) const TARGET: &str = "x86_64-pc-windows-msvc";

const MODEL: &str = "bert-sequence_classification";

pub(crate) fn trials(release: &Arc<Release>) -> [Trial; 3] {
    [
        trial("windows/paths-and-lines", release, paths_and_lines),
        trial("windows/ctrl-c", release, ctrl_c),
        trial("windows/authenticode", release, authenticode),
    ]
}

fn target() -> anyhow::Result<&'static Target> {
    Ok(Target::find(TARGET)?)
}

/// A folder with a space and letters that are no ASCII, and a file with `\r\n`.
fn paths_and_lines(release: &Release) -> anyhow::Result<()> {
    let mut root = Machine::Wine.root(target()?)?;
    let folder = root.folder().join("Ordner mit ü und 東京");
    fs::create_dir(&folder)?;
    add_wine_library(&folder)?;
    root.program = folder.join("mein modell.exe");
    release.build(target()?, MODEL, &root.program)?;
    fs::write(folder.join("eins.txt"), "One line\r\nStraße und 東京\r\n")?;
    fs::write(folder.join("zwei.txt"), "One line\nStraße und 東京\n")?;
    let infer = |input: &str| {
        let mut command = root.command();
        command
            .current_dir(&folder)
            .args(["infer", "--input", input, "-o", "ergebnis ü.jsonl"]);
        process::succeed(&mut command)?;
        Ok::<_, anyhow::Error>(fs::read(folder.join("ergebnis ü.jsonl"))?)
    };
    let (crlf, lf) = (infer("eins.txt")?, infer("zwei.txt")?);
    ensure!(
        !lf.is_empty() && crlf == lf,
        "{}",
        String::from_utf8_lossy(&crlf)
    );
    // Into a pipe, whatever the console's code page is.
    let got = process::succeed(root.command().args(["tokenize", "Straße 東京"]))?;
    ensure!(got.text().is_ok());
    Ok(())
}

/// What Windows sends for Ctrl-C ends a server as SIGTERM does elsewhere.
fn ctrl_c(release: &Release) -> anyhow::Result<()> {
    let root = Machine::Wine.root(target()?)?;
    release.build(target()?, MODEL, &root.program)?;
    let mut command = root.command();
    let server = command.args(["serve", "--http-port", "0", "--disable-grpc"]);
    Server::start_command(server)?.interrupt()?;
    Ok(())
}

/// A file is signed after it was built, and goes on working; what was changed is found.
fn authenticode(release: &Release) -> anyhow::Result<()> {
    let root = Machine::Wine.root(target()?)?;
    let unsigned = root.folder().join("unsigned.exe");
    release.build(target()?, MODEL, &unsigned)?;
    let key = root.folder().join("key.pem");
    let certificate = root.folder().join("certificate.pem");
    let identity = rcgen::generate_simple_self_signed(vec!["example.org".into()])?;
    fs::write(&key, identity.signing_key.serialize_pem())?;
    fs::write(&certificate, identity.cert.pem())?;
    let mut sign = Command::new("osslsigncode");
    sign.args(["sign", "-key"])
        .arg(&key)
        .arg("-certs")
        .arg(&certificate);
    process::succeed(
        sign.arg("-in")
            .arg(&unsigned)
            .arg("-out")
            .arg(&root.program),
    )?;
    process::succeed(root.command().arg("self-test"))?;
    let mut inspect = release.tool();
    process::succeed(inspect.arg("inspect").arg(&root.program))?;

    let verify = |name: &str| {
        let mut verify = Command::new("osslsigncode");
        verify.arg("verify").arg("-CAfile").arg(&certificate);
        process::finish(verify.arg("-in").arg(root.folder().join(name)))
    };
    let name = root
        .program
        .file_name()
        .context("a name")?
        .to_string_lossy();
    let said = verify(&name)?;
    ensure!(hashes_agree(said.text()?), "{}", said.text()?);
    let mut changed = fs::read(&root.program)?;
    let middle = fs::metadata(&unsigned)?.len() - 100;
    changed[usize::try_from(middle)?] ^= 1;
    fs::write(root.folder().join("changed.exe"), changed)?;
    let said = verify("changed.exe")?;
    ensure!(!hashes_agree(said.text()?), "{}", said.text()?);
    Ok(())
}

/// Whether the digest in the signature is that of the file.
fn hashes_agree(said: &str) -> bool {
    let digest = |name: &str| {
        let mut lines = said.lines().filter_map(|it| it.trim().split_once(':'));
        let found = lines.find(|it| it.0.trim() == name);
        found.map(|it| it.1.trim().to_owned())
    };
    let (current, computed) = (
        digest("Current message digest"),
        digest("Calculated message digest"),
    );
    current.is_some() && current.map(|it| it.to_lowercase()) == computed.map(|it| it.to_lowercase())
}
