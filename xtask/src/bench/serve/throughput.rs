//! Texts a second: of `infer`, of one large request, and of many clients; and
//! whether an answer under load is the same, bit for bit, as on an idle server.

use super::server::{Server, cpu_seconds};
use super::{SHORT_TEXT, Subject, joined};
use crate::bench::client::{Client, get, post};
use crate::bench::latency::{Latencies, probe};
use crate::bench::report::{Report, Target, Unit};
use crate::bench::turns::median;
use crate::infer::{Program, argument};
use crate::process;
use anyhow::Context;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// At once, each with one text a request.
const CLIENTS: usize = 32;

/// In one request.
const LARGE: usize = 100;

/// One of so many answers is kept, to be compared.
const COMPARED: usize = 20;

const HEALTH_EACH: Duration = Duration::from_millis(10);

/// What many clients saw, in one pass over the passages.
#[derive(Default)]
struct Load {
    seconds: f64,
    latencies: Latencies,
    /// Which passage, and its answer.
    kept: Vec<(usize, Vec<u8>)>,
    health: Latencies,
    /// Of all threads of this process.
    cpu_seconds: f64,
}

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(subject, "throughput", &[])?;
    large_request(subject, &server, report)?;

    let requests = requests(subject);
    let program = Program::Native(subject.file.clone());
    let one = ["infer", SHORT_TEXT];
    let load = median(5, || process::seconds(&mut program.command(&one)))?;
    let passages = ["infer", "--input", argument(&subject.passages_file)?];
    let mut infer = Vec::new();
    let mut serve = Vec::new();
    let (mut infer_cpu, mut serve_cpu) = (0.0, 0.0);
    // In turns, so that other work on this machine meets both.
    for pass in 0..subject.plan.runs {
        let before = cpu_seconds("self")?.children;
        infer.push(process::seconds(&mut program.command(&passages))?);
        infer_cpu += cpu_seconds("self")?.children - before;
        let before = server.cpu_seconds()?;
        serve.push(many_clients(&requests, server.address, pass)?);
        serve_cpu += server.cpu_seconds()? - before;
    }
    let seconds: Vec<f64> = serve.iter().map(|load| load.seconds).collect();
    rates(subject, [&infer, &seconds], load, report)?;
    let each = 1e3 / (requests.len() * subject.plan.runs) as f64;
    for (what, cpu) in [("infer", infer_cpu), ("serve", serve_cpu)] {
        let what = format!("{what}, CPU time a text");
        report.alone(what, Unit::Milliseconds, Target::None, cpu * each);
    }
    under_load(serve, &requests, server.address, report)
}

/// Texts a second, from the seconds of each pass and of starting `infer`.
fn rates(
    subject: &Subject,
    [infer, serve]: [&[f64]; 2],
    load: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let texts = subject.passages.len() as f64;
    let whole = texts / median_of(infer)?;
    let without = texts / (median_of(infer)? - load);
    let rate = texts / median_of(serve)?;
    let (none, target) = (Target::None, Target::AtLeast(0.9));
    for (what, unit, target, value) in [
        ("infer", Unit::TextsPerSecond, none, whole),
        (
            "infer without its load",
            Unit::TextsPerSecond,
            none,
            without,
        ),
        ("serve, 32 clients", Unit::TextsPerSecond, none, rate),
        ("… over infer", Unit::Times, target, rate / whole),
        (
            "… over infer without its load",
            Unit::Times,
            target,
            rate / without,
        ),
    ] {
        report.alone(what, unit, target, value);
    }
    Ok(())
}

fn median_of(values: &[f64]) -> anyhow::Result<f64> {
    let mut values = values.iter().copied();
    median(values.len(), || values.next().context("too few"))
}

/// What the clients saw, in all passes.
fn under_load(
    loads: Vec<Load>,
    requests: &[Vec<u8>],
    address: SocketAddr,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut all = Load::default();
    let mut cpu_seconds = 0.0;
    for load in loads {
        all.seconds += load.seconds;
        cpu_seconds += load.cpu_seconds;
        all.latencies.extend(load.latencies);
        all.kept.extend(load.kept);
        all.health.extend(load.health);
    }
    all.latencies
        .rows("serve, 32 clients", Target::None, report)?;
    let limit = Target::AtMost(20.0);
    all.health.rows("/health meanwhile", limit, report)?;
    let longest = all.health.quantile(1.0)?;
    let what = "/health meanwhile, max";
    report.alone(what, Unit::Milliseconds, Target::None, longest);
    compare(&all, requests, address, report)?;
    let part = 100.0 * cpu_seconds / all.seconds;
    report.note(format!(
        "The {CLIENTS} clients and /health took {part:.0} % of one core."
    ));
    Ok(())
}

/// On a server that has done nothing yet.
fn large_request(subject: &Subject, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let idle = server.resources()?.resident_bytes;
    let texts = subject.first_passages(LARGE);
    let request = post("/predict", &json!({"inputs": texts}));
    let mut client = Client::new(server.address);
    let seconds = median(subject.plan.runs, || {
        let begin = Instant::now();
        client.body(&request)?;
        Ok(begin.elapsed().as_secs_f64())
    })?;
    let what = format!("one request of {LARGE} passages");
    let rate = texts.len() as f64 / seconds;
    report.alone(what.clone(), Unit::TextsPerSecond, Target::None, rate);
    let peak = server.resources()?.peak_bytes;
    for (what, bytes) in [
        ("memory before any request".into(), idle),
        (format!("peak memory, {what}"), peak),
    ] {
        report.alone(what, Unit::Megabytes, Target::None, bytes / 1e6);
    }
    Ok(())
}

/// One for each passage.
fn requests(subject: &Subject) -> Vec<Vec<u8>> {
    let request = |text| post("/embed", &json!({"inputs": text}));
    subject.passages.iter().map(request).collect()
}

fn many_clients(requests: &[Vec<u8>], address: SocketAddr, pass: usize) -> anyhow::Result<Load> {
    let cpu = cpu_seconds("self")?.own;
    let next = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let health = scope.spawn(|| {
            let request = get("/health");
            let go_on = || !done.load(Ordering::Relaxed);
            probe(&mut Client::new(address), &request, HEALTH_EACH, go_on)
        });
        let begin = Instant::now();
        let client = || one_client(requests, address, pass, &next);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let loads: Vec<_> = clients.into_iter().map(joined).collect();
        let seconds = begin.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let mut all = Load {
            seconds,
            health: joined(health)??,
            cpu_seconds: cpu_seconds("self")?.own - cpu,
            ..Load::default()
        };
        for load in loads {
            let load = load??;
            all.latencies.extend(load.latencies);
            all.kept.extend(load.kept);
        }
        Ok(all)
    })
}

/// Takes the next passage that nobody has taken, until there are no more.
fn one_client(
    requests: &[Vec<u8>],
    address: SocketAddr,
    pass: usize,
    next: &AtomicUsize,
) -> anyhow::Result<Load> {
    let mut client = Client::new(address);
    let mut load = Load::default();
    loop {
        let passage = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(passage) else {
            return Ok(load);
        };
        let begin = Instant::now();
        let body = client.body(request)?;
        load.latencies.push(begin.elapsed());
        // Other passages in each pass.
        if (passage + pass).is_multiple_of(COMPARED) {
            load.kept.push((passage, body));
        }
    }
}

fn compare(
    load: &Load,
    requests: &[Vec<u8>],
    address: SocketAddr,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut client = Client::new(address);
    let mut different = 0;
    for (passage, under_load) in &load.kept {
        if let Some(request) = requests.get(*passage)
            && client.body(request)? != *under_load
        {
            different += 1;
        }
    }
    let what = format!("of {} answers, not as when alone", load.kept.len());
    report.alone(what, Unit::Count, Target::AtMost(0.0), f64::from(different));
    Ok(())
}
