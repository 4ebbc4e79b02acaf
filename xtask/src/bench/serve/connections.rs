//! Connections that only cost: idle ones, and clients that never finish the
//! head of their request.

use super::server::Server;
use super::{SHORT_TEXT, Subject, joined};
use crate::bench::client::{Client, connect, get, post};
use crate::bench::latency::probe_for;
use crate::bench::report::{Report, Target, Unit};
use anyhow::Context;
use serde_json::json;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const IDLE: usize = 10_000;

const SLOW: usize = 200;

/// Files this process has open besides connections, and more than that.
const OTHER_FILES: u64 = 300;

/// Of single texts.
const EACH: Duration = Duration::from_millis(20);

/// What a client may take for its head, in seconds. Long enough to open the
/// idle connections and to measure, short enough to wait for.
const READ_TIMEOUT: &str = "20";

/// When those that take longer must be gone.
const SLOW_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let options = ["--read-timeout", READ_TIMEOUT];
    // Before our own limit is raised, which it would inherit.
    let server = Server::start(subject, "connections", &options)?;
    let limit = rlimit::increase_nofile_limit(u64::MAX).context("RLIMIT_NOFILE")?;
    let limit = usize::try_from(limit.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);

    let request = post("/embed", &json!({"inputs": SHORT_TEXT}));
    let mut client = Client::new(server.address);
    let mut texts = || probe_for(&mut client, &request, EACH, subject.plan.probe);
    let none = Target::None;
    texts()?.rows("a text, no other connections", none, report)?;
    let before = server.resources()?.resident_bytes;

    let begin = Instant::now();
    let idle = open(server.address, IDLE.min(limit.saturating_sub(SLOW)))?;
    let opened = begin.elapsed().as_secs_f64();
    let closed = thread::scope(|scope| {
        let slow = scope.spawn(|| slow_heads(server.address));
        thread::sleep(Duration::from_secs(1));
        let with = server.resources()?.resident_bytes;
        let what = format!("a text, with {IDLE} idle and {SLOW} slow");
        texts()?.rows(&what, none, report)?;
        let held = idle.iter().filter(|idle| is_open(idle)).count() as f64;
        let target = Target::AtLeast(IDLE as f64);
        report.alone("idle connections held", Unit::Count, target, held);
        for (what, bytes) in [
            ("memory before them", before),
            ("memory they take", with - before),
        ] {
            report.alone(what, Unit::Megabytes, none, bytes / 1e6);
        }
        drop(idle);
        joined(slow)?
    })?;
    let target = Target::AtLeast(SLOW as f64);
    let what = format!("slow ones closed in {} s", SLOW_LIMIT.as_secs());
    report.alone(what, Unit::Count, target, closed as f64);
    report.note(format!(
        "The idle connections were opened in {opened:.1} s; every other one had asked for /health \
         before. Slow ones send a byte of a header each second, to a server with --read-timeout \
         {READ_TIMEOUT}."
    ));
    Ok(())
}

/// Every other one has had an answer and is kept alive; the others never spoke.
fn open(address: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let health = get("/health");
    let mut connections = Vec::with_capacity(count);
    for number in 0..count {
        let opened = || -> anyhow::Result<TcpStream> {
            if number % 2 == 0 {
                return connect(address);
            }
            let mut client = Client::new(address);
            client.body(&health)?;
            client.into_connection().context("it was not kept alive")
        };
        let connection = opened().with_context(|| format!("idle connection {number}"))?;
        connection.set_nonblocking(true)?;
        connections.push(connection);
    }
    Ok(connections)
}

/// How many of them the server has closed when the time is up.
fn slow_heads(address: SocketAddr) -> anyhow::Result<usize> {
    let limit = Instant::now() + SLOW_LIMIT;
    let mut open = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut connection = connect(address)?;
        connection.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: ")?;
        connection.set_nonblocking(true)?;
        open.push(connection);
    }
    while !open.is_empty() && Instant::now() < limit {
        thread::sleep(Duration::from_secs(1));
        open.retain_mut(|connection| is_open(connection) && connection.write_all(b"a").is_ok());
    }
    Ok(SLOW - open.len())
}

/// Nothing is expected on these connections, not even an answer.
fn is_open(connection: &TcpStream) -> bool {
    let peeked = connection.peek(&mut [0]);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}
