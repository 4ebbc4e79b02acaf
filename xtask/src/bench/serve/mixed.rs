//! All kinds of clients at once, for minutes: every request that was not
//! dropped on purpose is answered, and nothing is left behind.

use super::server::{Resources, Server};
use super::{Subject, joined};
use crate::bench::client::{Client, connect, get, post, post_bytes};
use crate::bench::report::{Report, Target, Unit};
use anyhow::{Context, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// In one request of the clients that send many.
const BATCH: usize = 50;

/// Passages in one long text: about 4,000 tokens.
const LONG: usize = 60;

/// Of a connection before it is dropped: none, into the model's work, after it.
const PATIENCE_MS: [u64; 4] = [0, 5, 30, 200];

/// After the load, until connections and what was dropped are gone.
const SETTLE: Duration = Duration::from_secs(15);

/// Memory is sampled so often, and shown as the mean of so many.
const SAMPLE_EACH: Duration = Duration::from_secs(1);
const SAMPLES: usize = 5;

/// Buffers of requests in work, and what the allocator keeps.
const GROWTH_MB_MAX: f64 = 10.0;

/// One client and what it sends.
struct Kind {
    name: &'static str,
    requests: Vec<Vec<u8>>,
    /// A connection for each request.
    reconnects: bool,
    /// Between requests.
    pause: Duration,
    ends: Ends,
}

/// How a request must end.
#[derive(Clone, Copy)]
enum Ends {
    /// With status 200.
    Answered,
    /// With a status from 400 to 499.
    Refused,
    /// By the client, before it is answered.
    Dropped,
}

/// What became of requests.
#[derive(Default)]
struct Tally {
    sent: u32,
    dropped: u32,
    by_status: BTreeMap<u16, u32>,
    /// Answered, but not as they must be.
    unexpected: u32,
    unanswered: u32,
    /// The first thing that went wrong.
    error: Option<String>,
}

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(subject, "mixed", &[])?;
    let kinds = kinds(subject)?;
    let warm = kinds.first().and_then(|kind| kind.requests.first());
    Client::new(server.address).body(warm.context("no requests")?)?;
    // The server needs a moment to see that the connection is closed.
    thread::sleep(Duration::from_secs(1));
    let before = server.resources()?;
    let (tallies, memory) = load(&kinds, &server, subject.plan.mixed)?;
    let after = settled(&server, before)?;

    memory_rows(before, &memory, subject.plan.mixed, report)?;
    tally_rows(&kinds, &tallies, report);
    let none_left = Target::AtMost(0.0);
    for (what, left) in [
        ("threads left", after.threads - before.threads),
        ("open files left", after.open_files - before.open_files),
        ("panics", server.panics()?),
    ] {
        report.alone(format!("… {what}"), Unit::Count, none_left, left);
    }
    let metrics = Client::new(server.address).body(&get("/metrics"))?;
    let metrics = String::from_utf8(metrics).context("/metrics")?;
    for gauge in ["te_queue_size", "encoderfile_queue_tokens"] {
        let value = figure(&metrics, gauge)?;
        report.alone(
            format!("… {gauge} at the end"),
            Unit::Count,
            none_left,
            value,
        );
    }
    Ok(())
}

/// Sends everything until the time is up; the server's memory meanwhile.
fn load(kinds: &[Kind], server: &Server, time: Duration) -> anyhow::Result<(Vec<Tally>, Vec<f64>)> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        let client = |kind| scope.spawn(move || client(kind, server.address, end));
        let clients: Vec<_> = kinds.iter().map(client).collect();
        let mut memory = Vec::new();
        while Instant::now() < end {
            thread::sleep(SAMPLE_EACH.min(end.saturating_duration_since(Instant::now())));
            memory.push(server.resources().map(|now| now.resident_bytes / 1e6));
        }
        let tallies: Vec<_> = clients.into_iter().map(joined).collect();
        let tallies: anyhow::Result<Vec<_>> = tallies.into_iter().collect();
        let memory: anyhow::Result<Vec<_>> = memory.into_iter().collect();
        Ok((tallies?, memory?))
    })
}

fn client(kind: &Kind, address: SocketAddr, end: Instant) -> Tally {
    let mut client = Client::new(address);
    let mut tally = Tally::default();
    for (number, request) in kind.requests.iter().cycle().enumerate() {
        if Instant::now() >= end {
            break;
        }
        tally.sent += 1;
        let sent = match kind.ends {
            Ends::Dropped => drop_midway(address, request, number).map(|()| None),
            Ends::Answered | Ends::Refused => {
                client.send(request).map(|answer| Some(answer.status))
            }
        };
        tally.count(kind.ends, sent);
        if kind.reconnects {
            client.disconnect();
        }
        thread::sleep(kind.pause);
    }
    tally
}

/// Sends a request, or half of one, and goes away.
fn drop_midway(address: SocketAddr, request: &[u8], number: usize) -> anyhow::Result<()> {
    let mut connection = connect(address)?;
    let len = if number % 5 == 4 {
        request.len() / 2
    } else {
        request.len()
    };
    connection.write_all(request.get(..len).unwrap_or(request))?;
    let patience = PATIENCE_MS.iter().cycle().nth(number % PATIENCE_MS.len());
    thread::sleep(Duration::from_millis(patience.copied().unwrap_or_default()));
    Ok(())
}

impl Tally {
    fn count(&mut self, ends: Ends, sent: anyhow::Result<Option<u16>>) {
        let status = match sent {
            Ok(Some(status)) => status,
            Ok(None) => {
                self.dropped += 1;
                return;
            }
            Err(error) => {
                self.unanswered += 1;
                self.error.get_or_insert_with(|| format!("{error:#}"));
                return;
            }
        };
        *self.by_status.entry(status).or_default() += 1;
        let expected = match ends {
            Ends::Answered => status == 200,
            Ends::Refused => (400..500).contains(&status),
            Ends::Dropped => true,
        };
        if !expected {
            self.unexpected += 1;
            self.error.get_or_insert_with(|| format!("status {status}"));
        }
    }

    fn shown(&self, name: &str) -> String {
        let mut line = format!("{name}: {} sent", self.sent);
        for (status, count) in &self.by_status {
            // Writing to a string cannot fail.
            let _ = write!(line, ", {count} × {status}");
        }
        if self.dropped > 0 {
            let _ = write!(line, ", {} dropped on purpose", self.dropped);
        }
        if let Some(error) = &self.error {
            let _ = write!(line, " (first failure: {error})");
        }
        line
    }
}

fn tally_rows(kinds: &[Kind], tallies: &[Tally], report: &mut Report) {
    let total = |count: fn(&Tally) -> u32| f64::from(tallies.iter().map(count).sum::<u32>());
    let answered = |tally: &Tally| tally.by_status.values().sum();
    let none = Target::AtMost(0.0);
    for (what, target, count) in [
        (
            "mixed load, requests",
            Target::None,
            total(|tally| tally.sent),
        ),
        ("… answered", Target::None, total(answered)),
        (
            "… dropped on purpose",
            Target::None,
            total(|tally| tally.dropped),
        ),
        ("… not answered", none, total(|tally| tally.unanswered)),
        (
            "… with a wrong status",
            none,
            total(|tally| tally.unexpected),
        ),
    ] {
        report.alone(what, Unit::Count, target, count);
    }
    let lines: Vec<String> = kinds
        .iter()
        .zip(tallies)
        .map(|(kind, tally)| tally.shown(kind.name))
        .collect();
    report.note(format!("Mixed load: {}.", lines.join("; ")));
}

/// At the start, after a minute (or a third, of less than three) and at the end.
fn memory_rows(
    before: Resources,
    samples: &[f64],
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let third = samples.len() / 3;
    let warm = usize::try_from(time.as_secs() / 3)?.min(60);
    let early = mean(samples.get(..third.min(60)).unwrap_or_default())?;
    let end = mean(samples)?;
    let start = before.resident_bytes / 1e6;
    let none = Target::None;
    report.alone("mixed load, memory before", Unit::Megabytes, none, start);
    report.alone(format!("… after {warm} s"), Unit::Megabytes, none, early);
    let what = format!("… after {} s", time.as_secs());
    report.alone(what, Unit::Megabytes, none, end);
    // The first minute grows by 50 MB until the allocator has what it needs;
    // less than that says nothing about leaks.
    let limit = if warm < 60 {
        none
    } else {
        Target::AtMost(GROWTH_MB_MAX)
    };
    report.alone("… growth from then on", Unit::Megabytes, limit, end - early);
    Ok(())
}

/// Of the last few.
fn mean(samples: &[f64]) -> anyhow::Result<f64> {
    ensure!(!samples.is_empty(), "too short to sample memory");
    let last = samples.iter().rev().take(SAMPLES);
    let count = last.len() as f64;
    Ok(last.sum::<f64>() / count)
}

/// When nothing is left of the load, or when the time for that is up.
fn settled(server: &Server, before: Resources) -> anyhow::Result<Resources> {
    let limit = Instant::now() + SETTLE;
    loop {
        let now = server.resources()?;
        let done = now.threads <= before.threads && now.open_files <= before.open_files;
        if done || Instant::now() >= limit {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// A gauge without labels.
fn figure(metrics: &str, name: &str) -> anyhow::Result<f64> {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.with_context(|| format!("/metrics has no {name}"))
}

fn kinds(subject: &Subject) -> anyhow::Result<Vec<Kind>> {
    let passages = &subject.passages;
    let singles: Vec<_> = passages
        .iter()
        .map(|text| post("/embed", &json!({"inputs": text})))
        .collect();
    let batches: Vec<_> = passages
        .chunks(BATCH)
        .map(|texts| post("/predict", &json!({"inputs": texts})))
        .collect();
    let longs: Vec<_> = passages
        .chunks(LONG)
        .map(|texts| {
            post(
                "/predict",
                &json!({"inputs": [texts.join(" ")], "long": "mean"}),
            )
        })
        .collect();
    let mut droppable = batches.clone();
    droppable.extend(singles.iter().take(batches.len()).cloned());
    let kind = |name, requests: &Vec<_>, reconnects, pause, ends| Kind {
        name,
        requests: requests.clone(),
        reconnects,
        pause: Duration::from_millis(pause),
        ends,
    };
    let answered = Ends::Answered;
    Ok(vec![
        kind("single texts", &singles, false, 0, answered),
        kind("more of them", &singles, false, 0, answered),
        kind("over new connections", &singles, true, 0, answered),
        kind("paused", &singles, true, 100, answered),
        kind("batches of 50", &batches, false, 0, answered),
        kind("long texts", &longs, false, 0, answered),
        kind("wrong requests", &wrong(), false, 20, Ends::Refused),
        kind("wrong, new connections", &wrong(), true, 20, Ends::Refused),
        kind("dropped", &droppable, false, 50, Ends::Dropped),
        kind("dropped too", &droppable, false, 80, Ends::Dropped),
    ])
}

/// Each for another reason.
fn wrong() -> Vec<Vec<u8>> {
    let plain = "POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                 content-length: 4\r\n\r\ntext";
    vec![
        post_bytes("/embed", "{\"inputs\": \"no end"),
        post_bytes("/embed", ""),
        post("/embed", &json!({"inputs": 7})),
        post("/embed", &json!({"input": "no such key"})),
        post("/embed", &json!({"inputs": []})),
        post("/predict", &json!({"inputs": ["a"], "dimensions": 100_000})),
        post("/rerank", &json!({"query": "a", "texts": ["b"]})),
        post("/nowhere", &json!({"inputs": "a"})),
        get("/embed"),
        plain.as_bytes().to_vec(),
    ]
}
