//! `cargo xtask bench component`: a component under wasmtime: requests, and the start of a command.
//!
//! Invariant: no server outlives its handle.

use super::client::{Client, post};
use super::latency::{Latencies, one_by_one};
use super::machine::Machine;
use super::report::{Report, Target, Unit};
use super::serve::joined;
use super::speed::Loaded;
use super::turns::in_turns;
use super::{minilm, publish};
use crate::dist::{self, Scope};
use crate::infer::Program;
use crate::process;
use crate::setup::{self, COMPONENT, WASM};
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::Context;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

/// `cargo xtask bench component`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model's folder, of sentence embeddings [default: the default model's, in float32]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,

    /// The tool's own model instead, in int8
    #[arg(long, conflicts_with = "model")]
    carried: bool,

    /// How often each thing is measured
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,

    /// Write the table as Markdown to FILE [default: bench-component.md in the target folder]
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// 16 tokens of BERT's vocabulary, special tokens included.
const TEXT: &str = "A small cat sits on the mat in front of an old house.";

/// At once, for latencies under load.
const CLIENTS: usize = 8;

/// Requests of a turn.
const REQUESTS: usize = 20;

/// The options of a server whose instances answer more than one request.
const REUSED: [&str; 4] = [
    "--max-instance-reuse-count",
    "1000000",
    "--idle-instance-timeout",
    "60s",
];

const NOTE: &str = "\
wasmtime has compiled the component before; nothing of its first compilation is measured. Unless
a row says that instances are reused, `wasmtime serve` makes one for each request; a snapshot
has the memory of the loaded model, which the others load. Beside a
request of one client stands a text of the same 16 tokens in a loaded module, `infer` under
`wasmtime run`, without HTTP. Eight clients share the machine's cores with the server.";

/// Measures, prints and writes the table.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    steps.begin("setup", "the wasm target and the wasmtime CLI");
    setup::targets(workspace, &mut steps, &[WASM])?;
    let wasmtime = setup::wasmtime::find(workspace)?;
    let dist = dist::build(workspace, &mut steps, Scope::Programs)?;
    let folder = workspace.target.join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let model = match arguments.carried {
        true => None,
        false => Some(minilm::or_given(
            arguments.model.as_deref(),
            workspace,
            &dist,
            &folder,
        )?),
    };
    let build = |name: &str, target, options: &[&str]| {
        let file = folder.join(name);
        dist.build_model(model.as_deref(), Some(target), options, &file)?;
        anyhow::Ok(file)
    };
    let subject = Subject {
        wasmtime,
        component: build("component.wasm", COMPONENT, &[])?,
        snapshot: build("snapshot.wasm", COMPONENT, &["--snapshot"])?,
        ahead: build("component.cwasm", COMPONENT, &["--precompile"])?,
        snapshot_ahead: build("snapshot.cwasm", COMPONENT, &["--snapshot", "--precompile"])?,
        module: build("component.ef.wasm", WASM, &[])?,
        turns: usize::try_from(arguments.turns)?,
    };
    let machine = Machine::now()?;
    steps.begin("measure", "in turns");
    let mut report = Report::default();
    report.note(NOTE.into());
    subject.requests(&mut report)?;
    subject.starts(&mut report)?;
    let write = arguments.write.as_deref();
    publish(
        workspace,
        &report,
        &format!("{machine}\n"),
        write,
        "bench-component.md",
    )
}

struct Subject {
    wasmtime: PathBuf,
    component: PathBuf,
    /// With the memory of the loaded model.
    snapshot: PathBuf,
    /// Both, compiled ahead.
    ahead: PathBuf,
    snapshot_ahead: PathBuf,
    module: PathBuf,
    turns: usize,
}

impl Subject {
    fn program(&self, file: &Path, options: &[&str]) -> Program {
        Program::Wasm {
            wasmtime: self.wasmtime.clone(),
            options: options.iter().map(ToString::to_string).collect(),
            file: file.to_owned(),
        }
    }

    fn requests(&self, report: &mut Report) -> anyhow::Result<()> {
        let request = post("/embed", &json!({"inputs": TEXT}));
        let mut loaded = Loaded::start(&self.program(&self.module, &[]), 1, TEXT)?;
        let texts = vec![TEXT; REQUESTS];
        for (name, file, options) in [
            ("an instance each", &self.component, &[][..]),
            ("an instance each, of a snapshot", &self.snapshot, &[]),
            ("instances reused", &self.component, &REUSED[..]),
        ] {
            let server = Server::start(&self.wasmtime, file, options)?;
            let mut client = Client::new(server.address);
            client.body(&request)?;
            let [served, alone] = in_turns(
                self.turns,
                [
                    &mut || {
                        one_by_one(&mut client, iter::repeat_n(&request, REQUESTS))?.quantile(0.5)
                    },
                    &mut || Ok(loaded.seconds(&texts)? / REQUESTS as f64 * 1e3),
                ],
            )?;
            let what = format!("a request of 16 tokens, {name}; beside it: in a loaded module");
            report.race(what, Unit::Milliseconds, Target::None, [served, alone]);
            let what = format!("{CLIENTS} clients, {name}");
            self.at_once(server.address, &request)?
                .rows(&what, Target::None, report)?;
        }
        Ok(())
    }

    fn at_once(&self, address: SocketAddr, request: &Vec<u8>) -> anyhow::Result<Latencies> {
        let requests = self.turns * REQUESTS;
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(move || {
                        let requests = iter::repeat_n(request, requests);
                        one_by_one(&mut Client::new(address), requests)
                    })
                })
                .collect();
            let mut all = Latencies::default();
            for client in clients {
                all.extend(joined(client)??);
            }
            Ok(all)
        })
    }

    /// From the start of `wasmtime run` to the end of the process.
    fn starts(&self, report: &mut Report) -> anyhow::Result<()> {
        let component = self.program(&self.component, &["-S", "http"]);
        let [ahead, snapshot] = [&self.ahead, &self.snapshot_ahead]
            .map(|file| self.program(file, &["--allow-precompiled", "-S", "http"]));
        let module = self.program(&self.module, &[]);
        let milliseconds = |program: &Program| {
            let seconds = process::seconds(&mut program.command(&["infer", TEXT]))?;
            anyhow::Ok(seconds * 1e3)
        };
        for (what, program, beside) in [
            (
                "wasmtime run to the first result; beside it: the module",
                &component,
                &module,
            ),
            (
                "the same, compiled ahead; beside it: not compiled ahead",
                &ahead,
                &component,
            ),
            (
                "a snapshot, compiled ahead; beside it: no snapshot, compiled ahead",
                &snapshot,
                &ahead,
            ),
        ] {
            milliseconds(program)?;
            milliseconds(beside)?;
            let race = in_turns(
                self.turns,
                [&mut || milliseconds(program), &mut || milliseconds(beside)],
            )?;
            report.race(what, Unit::Milliseconds, Target::None, race);
        }
        Ok(())
    }
}

/// A running `wasmtime serve`.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(wasmtime: &Path, component: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(wasmtime);
        command.args(["serve", "-S", "cli", "--addr", "127.0.0.1:0"]);
        command.args(options).arg(component);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn();
        let mut server = Self {
            child: child.context("wasmtime serve")?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let stderr = server.child.stderr.take().context("its stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        server.address = loop {
            let line = lines.next().context("wasmtime serve: it ended")??;
            if let Some((_, address)) = line.split_once("http://") {
                break address.trim_end_matches('/').parse()?;
            }
        };
        // It would wait where nobody reads.
        thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
