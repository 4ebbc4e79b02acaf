//! Container images as other people's tools see them: skopeo reads and converts them, umoci
//! unpacks them.
//!
//! What is looked at is the same for every base program, so that a few bytes stand for one. Where
//! the variable ENCODERFILE_MUSL_BASE names a real one, an image of it is also run, in an empty
//! root: `cargo test --test images empty-root`.

mod root;
#[path = "../trials/trial.rs"]
mod trial;

use crate::trial::trial;
use anyhow::{Context, ensure};
use encoderfile::container::{BASE_MARK, FORMAT_VERSION};
use encoderfile_tests::process;
use encoderfile_tests::programs::Program;
use encoderfile_tests::target::WASI;
use encoderfile_tests::workbench::Workbench;
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

const MODEL: &str = "st-mean-normalize";
const OTHER_MODEL: &str = "bert-embedding";

/// The program of an image, and what it is called there.
const PROGRAM: &str = "encoderfile";
const PAYLOAD: &str = "model.ef";

/// A static base program for this machine, to be run.
const MUSL_BASE: &str = "ENCODERFILE_MUSL_BASE";

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let workbench = Workbench::open()?.map(Arc::new);
    let tools = Tools::find()?;
    let mut trials = vec![
        of_tool("refused", &workbench, refused),
        of_tool("read-back", &workbench, read_back),
        of_tool("reproducible", &workbench, reproducible),
        of_tools("described", &workbench, &tools, described),
        of_tools("unpacked", &workbench, &tools, unpacked),
    ];
    if let Some(base) = env::var_os(MUSL_BASE).map(PathBuf::from) {
        let run = move |workbench: &Workbench, tools: &Tools| root::run(workbench, tools, &base);
        trials.push(of_tools("empty-root", &workbench, &tools, run));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn of_tool(
    name: &str,
    workbench: &Option<Arc<Workbench>>,
    check: fn(&Workbench) -> anyhow::Result<()>,
) -> Trial {
    let has_tool = workbench.clone();
    trial(name.to_owned(), has_tool, move |_| {
        // A folder of its own.
        check(&Workbench::open()?.context("no tool")?)
    })
}

fn of_tools(
    name: &str,
    workbench: &Option<Arc<Workbench>>,
    tools: &Option<Tools>,
    check: impl FnOnce(&Workbench, &Tools) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let tools = tools.clone();
    let has_tools = workbench.clone().filter(|_| tools.is_some());
    trial(name.to_owned(), has_tools, move |_| {
        let workbench = Workbench::open()?.context("no tool")?;
        check(&workbench, &tools.context("no tools for images")?)
    })
}

/// What reads images.
#[derive(Clone)]
struct Tools {
    skopeo: PathBuf,
    umoci: PathBuf,
}

impl Tools {
    fn find() -> anyhow::Result<Option<Self>> {
        let (skopeo, umoci) = (Program::Skopeo.find()?, Program::Umoci.find()?);
        Ok(skopeo
            .zip(umoci)
            .map(|(skopeo, umoci)| Self { skopeo, umoci }))
    }

    fn skopeo(&self, workbench: &Workbench, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = workbench.program(&self.skopeo, arguments);
        Ok(process::succeed(&mut command)?.text()?.to_owned())
    }

    fn inspect(&self, workbench: &Workbench, arguments: &[&str]) -> anyhow::Result<Value> {
        let said = self.skopeo(workbench, &[&["inspect"], arguments].concat())?;
        serde_json::from_str(&said).context(said)
    }

    /// Unpacks an image into `NAME/rootfs`, beside which umoci puts its configuration.
    fn unpack(&self, workbench: &Workbench, image: &str, name: &str) -> anyhow::Result<Value> {
        let archive = format!("oci-archive:{image}");
        self.skopeo(workbench, &["copy", &archive, "oci:layout:it"])?;
        let arguments = ["unpack", "--rootless", "--image", "layout:it", name];
        process::succeed(&mut workbench.program(&self.umoci, &arguments))?;
        let config = workbench.read(&format!("{name}/config.json"))?;
        Ok(serde_json::from_slice(&config)?)
    }
}

/// The headers of a static ELF program for x86-64, and nothing to run.
fn base(workbench: &Workbench) -> anyhow::Result<PathBuf> {
    let mut file = vec![0; 64 + 56];
    file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    file[16..20].copy_from_slice(&[3, 0, 62, 0]);
    file[20] = 1;
    file[32] = 64;
    file[52..58].copy_from_slice(&[64, 0, 56, 0, 1, 0]);
    file[64] = 1;
    file.extend([0xcc; 5000]);
    file.extend(format!("{BASE_MARK}{FORMAT_VERSION}\n").into_bytes());
    workbench.write("base", file)
}

/// Builds an image under that name.
fn image(workbench: &Workbench, model: &str, options: &[&str], name: &str) -> anyhow::Result<()> {
    let base = base(workbench)?.display().to_string();
    let common = ["--target", "oci-amd64", "--base", &base];
    // Not shared: the base is in this folder.
    let folder = encoderfile_tests::fixture::folder(model);
    workbench.build_folder(&folder, &[&common, options].concat(), name)?;
    Ok(())
}

/// Nothing that would start and fail becomes an image, and nothing is left behind.
fn refused(workbench: &Workbench) -> anyhow::Result<()> {
    let base = base(workbench)?.display().to_string();
    let wasm = workbench.base(WASI)?.display().to_string();
    // The tool itself is linked to glibc.
    let dynamic = workbench.programs().encoderfile.display().to_string();
    workbench.write("text", "no program")?;
    fs::create_dir(workbench.path("folder"))?;
    let before = workbench.names()?;
    for (base, target, output, words) in [
        (
            &*dynamic,
            "oci",
            "m.tar",
            &["needs the dynamic loader", "unknown-linux-musl"][..],
        ),
        (&wasm, "oci", "m.tar", &["wasm module", "static ELF"]),
        ("text", "oci", "m.tar", &["text", "static ELF"]),
        (
            &base,
            "oci-arm64",
            "m.tar",
            &["for x86-64", "linux/arm64", "aarch64-unknown-linux-musl"],
        ),
        (&base, "oci-amd64", "folder", &["is a folder"]),
    ] {
        let arguments = ["build", "--target", target, "--base", base, "-o", output];
        workbench.refuses(&arguments, words)?;
        ensure!(workbench.names()? == before, "{:?}", workbench.names()?);
    }
    Ok(())
}

/// The archive is an encoderfile like any other.
fn read_back(workbench: &Workbench) -> anyhow::Result<()> {
    image(workbench, MODEL, &[], "m.tar")?;
    let inspected = workbench.run(&["inspect", "m.tar", "--json"])?.json()?;
    ensure!(inspected["kind"] == "container image", "{inspected}");
    let bundle = workbench.built(MODEL, &["--target", "bundle"])?;
    workbench.run(&[
        "build", "--from", "m.tar", "--target", "bundle", "-o", "again",
    ])?;
    ensure!(
        workbench.read("again")? == fs::read(bundle)?,
        "another payload"
    );
    let native = workbench.built(OTHER_MODEL, &[])?;
    let arguments = ["--payload", "m.tar", "self-test"];
    process::succeed(&mut workbench.program(&native, &arguments)).map(drop)
}

/// The same input gives the same bytes, and models share the layer of the program.
fn reproducible(workbench: &Workbench) -> anyhow::Result<()> {
    for (model, name) in [(MODEL, "a"), (MODEL, "b"), (OTHER_MODEL, "c")] {
        image(workbench, model, &[], name)?;
    }
    ensure!(
        workbench.read("a")? == workbench.read("b")?,
        "two images of one model"
    );
    let layers = |name: &str| -> anyhow::Result<Vec<String>> {
        let archive = workbench.read(name)?;
        // docker's list is the third entry.
        let text = String::from_utf8_lossy(&archive[..8192]).into_owned();
        let (_, list) = text.split_once(r#""Layers":["#).context("no layers")?;
        let (list, _) = list.split_once(']').context("no layers")?;
        Ok(list.split(',').map(str::to_owned).collect())
    };
    let (one, other) = (layers("a")?, layers("c")?);
    ensure!(one.len() == 2 && other.len() == 2);
    ensure!(
        one[0] == other[0] && one[1] != other[1],
        "{one:?} {other:?}"
    );
    Ok(())
}

/// What skopeo reads, also as docker's archive and after a conversion into one.
fn described(workbench: &Workbench, tools: &Tools) -> anyhow::Result<()> {
    let options = [
        "--name",
        "org/My.Model",
        "--model-version",
        "1.2.3+x",
        "--license",
        "MIT",
    ];
    image(workbench, MODEL, &options, "m.tar")?;
    tools.skopeo(
        workbench,
        &["copy", "oci-archive:m.tar", "docker-archive:docker.tar:a:1"],
    )?;
    for name in [
        "oci-archive:m.tar",
        "docker-archive:m.tar",
        "docker-archive:docker.tar",
    ] {
        let whole = tools.inspect(workbench, &["--config", name])?;
        let of = |key: &str| whole["config"][key].clone();
        ensure!(
            whole["architecture"] == "amd64" && whole["os"] == "linux",
            "{name}: {whole}"
        );
        ensure!(
            whole["created"] == "1970-01-01T00:00:00Z",
            "{name}: {whole}"
        );
        ensure!(of("User") == "65532:65532", "{name}: {whole}");
        ensure!(of("Entrypoint") == json!(["/encoderfile", "--payload", "/model.ef"]));
        ensure!(of("Cmd") == json!(["serve"]) && of("StopSignal") == "SIGTERM");
        ensure!(of("Env") == json!(["HTTP_HOSTNAME=0.0.0.0", "GRPC_HOSTNAME=0.0.0.0"]));
        ensure!(of("ExposedPorts") == json!({"8080/tcp": {}, "50051/tcp": {}}));
        let label = |key: &str| of("Labels")[format!("org.opencontainers.image.{key}")].clone();
        ensure!(label("title") == "org/My.Model" && label("version") == "1.2.3+x");
        ensure!(label("licenses") == "MIT", "{name}: {whole}");
        ensure!(
            label("description")
                .to_string()
                .contains("sentence_embedding")
        );
        ensure!(whole["rootfs"]["diff_ids"].as_array().map(Vec::len) == Some(2));
    }
    // Docker's part of the configuration, which skopeo shows as it stands.
    let raw = tools.inspect(workbench, &["--config", "--raw", "oci-archive:m.tar"])?;
    let test = &raw["config"]["Healthcheck"]["Test"];
    ensure!(*test == json!(["CMD", "/encoderfile", "health"]), "{raw}");
    let docker = tools.inspect(workbench, &["docker-archive:m.tar"])?;
    ensure!(
        docker["Layers"].as_array().map(Vec::len) == Some(2),
        "{docker}"
    );
    let manifest = tools.inspect(workbench, &["--raw", "oci-archive:m.tar"])?;
    let title = &manifest["annotations"]["org.opencontainers.image.title"];
    ensure!(title == "org/My.Model", "{manifest}");
    Ok(())
}

/// The root is the program and the payload.
fn unpacked(workbench: &Workbench, tools: &Tools) -> anyhow::Result<()> {
    image(workbench, MODEL, &[], "m.tar")?;
    let config = tools.unpack(workbench, "m.tar", "bundle")?;
    let process = &config["process"];
    let arguments = json!(["/encoderfile", "--payload", "/model.ef", "serve"]);
    ensure!(process["args"] == arguments, "{process}");
    let root = workbench.path("bundle/rootfs");
    let mut names: Vec<_> = fs::read_dir(&root)?
        .map(|it| Ok(it?.file_name().into_string().unwrap_or_default()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    ensure!(names == [PROGRAM, PAYLOAD], "{names:?}");
    let bundle = workbench.built(MODEL, &["--target", "bundle"])?;
    for (name, content, mode) in [
        (PROGRAM, workbench.path("base"), "755\n"),
        (PAYLOAD, bundle, "644\n"),
    ] {
        let file = root.join(name);
        ensure!(fs::read(&file)? == fs::read(&content)?, "{name} is another");
        let arguments = ["-c", "%a", &format!("bundle/rootfs/{name}")];
        let got = process::succeed(&mut in_folder(workbench, "stat", &arguments))?;
        ensure!(got.text()? == mode, "{got:?}");
    }
    Ok(())
}

/// A command in a folder of the workbench.
fn in_folder(workbench: &Workbench, program: &str, arguments: &[&str]) -> Command {
    workbench.program(Path::new(program), arguments)
}
