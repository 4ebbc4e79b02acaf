//! What a client with short texts sees while another's large request is in work.
//!
//! Both come from 127.0.0.1, so these are turns between requests of one client;
//! turns between clients are the same code one level up.

use super::server::Server;
use super::{SHORT_TEXT, Subject, joined};
use crate::bench::client::{Client, post};
use crate::bench::latency::{Latencies, one_by_one};
use crate::bench::report::{Report, Target, Unit};
use anyhow::ensure;
use serde_json::json;
use std::iter;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// In the large request.
const LARGE: usize = 1000;

/// For the times on an idle server.
const ALONE: usize = 100;

/// Until the large request is in work.
const HEAD_START: Duration = Duration::from_millis(300);

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(subject, "fairness", &[])?;
    let mut client = Client::new(server.address);
    let embed = |text: &str| post("/embed", &json!({"inputs": text}));
    let short = embed(SHORT_TEXT);
    let alone = one_by_one(&mut client, iter::repeat_n(&short, ALONE))?.quantile(0.5)?;
    let passages = subject.first_passages(ALONE).iter();
    let passages: Vec<Vec<u8>> = passages.map(|text| embed(text)).collect();
    let passage = one_by_one(&mut client, &passages)?.quantile(0.5)?;
    let longest = subject.passages.iter().max_by_key(|text| text.len());
    let longest = embed(longest.map_or(SHORT_TEXT, String::as_str));
    let longest = one_by_one(&mut client, iter::repeat_n(&longest, 10))?.quantile(0.5)?;
    let none = Target::None;
    report.alone("a short text alone, p50", Unit::Milliseconds, none, alone);
    report.alone("a passage alone, p50", Unit::Milliseconds, none, passage);
    report.alone("the longest alone, p50", Unit::Milliseconds, none, longest);

    let texts = subject.first_passages(LARGE);
    let large = post("/predict", &json!({"inputs": texts}));
    let (beside, seconds) = beside_large(&mut client, &short, &large, server.address)?;
    let what = format!("a short text beside {} in one request", texts.len());
    beside.rows(&what, none, report)?;
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let times = beside.quantile(part)? / alone;
        report.alone(format!("… {name}, over alone"), Unit::Times, none, times);
    }
    for (name, time) in [("a passage", passage), ("the longest", longest)] {
        let times = beside.quantile(0.99)? / time;
        report.alone(
            format!("… p99, over {name} alone"),
            Unit::Times,
            none,
            times,
        );
    }
    let rate = texts.len() as f64 / seconds;
    report.alone(
        "the large request meanwhile",
        Unit::TextsPerSecond,
        none,
        rate,
    );
    Ok(())
}

/// The short texts' times, and the seconds of the large request.
fn beside_large(
    client: &mut Client,
    short: &Vec<u8>,
    large: &[u8],
    address: SocketAddr,
) -> anyhow::Result<(Latencies, f64)> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let begin = Instant::now();
            let answer = Client::new(address).body(large);
            done.store(true, Ordering::Relaxed);
            answer.map(|_| begin.elapsed().as_secs_f64())
        });
        thread::sleep(HEAD_START);
        let shorts = iter::repeat(short).take_while(|_| !done.load(Ordering::Relaxed));
        let beside = one_by_one(client, shorts);
        let seconds = joined(large)??;
        ensure!(seconds > 1.0, "the large request ended too soon");
        Ok((beside?, seconds))
    })
}
