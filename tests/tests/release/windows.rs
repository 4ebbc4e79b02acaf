//! What is Windows's own: paths, line ends, Ctrl-C and signatures. Wine stands in for it.

use crate::machine::{Machine, add_wine_library};
use crate::{Release, languages, trial};
use anyhow::{Context, ensure};
use encoderfile::{Model, Options};
use encoderfile_builder::target::Target;
use encoderfile_tests::server::Server;
use encoderfile_tests::{process, programs};
use libtest_mimic::Trial;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

pub(crate) const TARGET: &str = "x86_64-pc-windows-msvc";

const MODEL: &str = "bert-sequence_classification";

/// Scores are printed with four digits, and summed in any order.
const SCORE_TOLERANCE: f32 = 2e-4;

/// Debian's MinGW, for whom the C library is laid out.
const MINGW: &str = "x86_64-w64-mingw32-gcc";

/// The first is the most like the query; Windows hands `main` other texts in an encoding of its own.
const TEXTS: [&str; 2] = ["How do I reset my password?", "Our office is in Berlin."];

/// Makes a program of a library: its path is the second.
type Compile = fn(&Path, &Path) -> anyhow::Result<()>;

pub(crate) fn trials(release: &Arc<Release>) -> [Trial; 6] {
    let linked = |how: &str, compile: Compile| {
        let check = move |release: &Release| c_library(release, compile);
        trial(&format!("windows/c-{how}"), release, check)
    };
    [
        linked("shared", shared),
        linked("static", archived),
        linked("cmake", cmake),
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

/// The example in C, compiled by MinGW, ranks texts as the runtime does here, and says what is wrong with
/// a file that is not there.
fn c_library(release: &Release, compile: Compile) -> anyhow::Result<()> {
    let mut root = Machine::Wine.root(target()?)?;
    let library = languages::unpack_library(release, target()?, root.folder())?;
    root.program = root.folder().join("search.exe");
    compile(&library, &root.program)?;

    let model = programs::root().join("models/all-MiniLM-L6-v2.ef");
    let query = "I forgot my login";
    let expected = Model::open(&model)?.similarity(query, TEXTS, &Options::default())?;
    let mut search = root.command();
    let found = process::succeed(search.arg(&model).arg(query).args(TEXTS))?;
    let lines: Vec<&str> = found.text()?.lines().map(str::trim_end).collect();
    ensure!(lines.len() == TEXTS.len(), "{lines:?}");
    for ((line, text), score) in lines.iter().zip(TEXTS).zip(expected) {
        let (number, found) = line.split_once("  ").context("no score")?;
        let apart = (number.parse::<f32>()? - score).abs();
        ensure!(found == text && apart < SCORE_TOLERANCE, "{line}: {score}");
    }
    let mut search = root.command();
    let refused = process::finish(search.args(["no-such", "a", "b"]))?;
    let said = refused.stderr.trim_end();
    ensure!(
        refused.code == Some(1) && said.starts_with("error: no-such: "),
        "{refused:?}"
    );
    Ok(())
}

/// With the import library, which the linker finds by its name.
fn shared(library: &Path, program: &Path) -> anyhow::Result<()> {
    gcc(program, &flags(library, &["--cflags", "--libs"])?)?;
    place_dll(library, program)
}

/// Where Windows looks for it: beside the program.
fn place_dll(library: &Path, program: &Path) -> anyhow::Result<()> {
    let dll = library.join("bin/encoderfile.dll");
    fs::copy(dll, program.with_file_name("encoderfile.dll"))?;
    Ok(())
}

/// With the static library, and what pkg-config says that it needs: no other file is beside the program.
fn archived(library: &Path, program: &Path) -> anyhow::Result<()> {
    let archive = library.join("lib/libencoderfile.a");
    let mut flags = flags(library, &["--static", "--cflags", "--libs"])?;
    for flag in &mut flags {
        if flag == "-lencoderfile" {
            *flag = archive.display().to_string();
        }
    }
    gcc(program, &flags)
}

fn gcc(program: &Path, flags: &[String]) -> anyhow::Result<()> {
    let mut compile = Command::new(MINGW);
    compile.args([
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-o",
    ]);
    compile.arg(program).arg(example().join("search.c"));
    process::succeed(compile.args(flags))?;
    Ok(())
}

fn cmake(library: &Path, program: &Path) -> anyhow::Result<()> {
    let folder = program.parent().context("no folder")?;
    let build = folder.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(example()).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", library.display()));
    configure.arg("-DCMAKE_SYSTEM_NAME=Windows");
    configure.arg(format!("-DCMAKE_C_COMPILER={MINGW}"));
    process::succeed(&mut configure)?;
    process::succeed(Command::new("cmake").arg("--build").arg(&build))?;
    fs::copy(build.join("search.exe"), program)?;
    place_dll(library, program)
}

fn example() -> PathBuf {
    programs::root().join("capi/examples/c")
}

fn flags(library: &Path, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", library.join("lib/pkgconfig"));
    let said = process::succeed(command.args(arguments).arg("encoderfile"))?;
    shlex::split(said.text()?).context("flags")
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
