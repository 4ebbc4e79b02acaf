//! SIGTERM under load: what was accepted is answered, then the server exits.

use super::server::Server;
use super::{Subject, joined};
use crate::bench::client::{Client, post};
use crate::bench::report::{Report, Target, Unit};
use serde_json::json;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// With one text a request, and with many.
const SINGLE: usize = 12;
const LARGE: usize = 2;

/// Texts in a large request: a second or two of work.
const LARGE_TEXTS: usize = 100;

/// Before the signal.
const LOAD: Duration = Duration::from_secs(3);

/// The server's default, and what it may take beyond.
const GRACE_SECONDS: f64 = 30.0;
const EXIT: Duration = Duration::from_secs(45);

/// A request sent so long before the signal has been read by the server. One
/// sent in the same instant may find its connection closed, as in any HTTP.
const ACCEPTED: Duration = Duration::from_millis(100);

/// A request, and the status it got.
struct Sent {
    at: Instant,
    status: Option<u16>,
}

pub(super) fn measure(subject: &Subject, report: &mut Report) -> anyhow::Result<()> {
    let mut server = Server::start(subject, "shutdown", &[])?;
    let address = server.address;
    let singles = subject.passages.iter();
    let singles: Vec<_> = singles
        .map(|text| post("/embed", &json!({"inputs": text})))
        .collect();
    let texts = subject.first_passages(LARGE_TEXTS);
    let large = [post("/predict", &json!({"inputs": texts}))];

    let (signal, ended, sent) = thread::scope(|scope| {
        let single = |first| {
            let requests = singles.get(first..).unwrap_or_default();
            scope.spawn(move || client(requests, address))
        };
        let mut clients: Vec<_> = (0..SINGLE).map(single).collect();
        clients.extend((0..LARGE).map(|_| scope.spawn(|| client(&large, address))));
        thread::sleep(LOAD);
        let signal = Instant::now();
        let ended = server.terminate().and_then(|()| server.wait(EXIT));
        let ended = ended.map(|status| (status, signal.elapsed()));
        // So that the clients end, whatever happened.
        server.kill();
        let sent: anyhow::Result<Vec<_>> = clients.into_iter().map(joined).collect();
        anyhow::Ok((signal, ended?, sent?))
    })?;
    let sent: Vec<Sent> = sent.into_iter().flatten().collect();
    rows(&sent, signal, report);
    let (status, time) = ended;
    // One that was killed has no code.
    let code = status.and_then(|status| status.code()).unwrap_or(255);
    let none = Target::AtMost(0.0);
    report.alone("… exit code", Unit::Count, none, f64::from(code));
    let limit = Target::AtMost(GRACE_SECONDS);
    report.alone("… time to exit", Unit::Seconds, limit, time.as_secs_f64());
    Ok(())
}

/// Sends one after the other until the server takes no more.
fn client(requests: &[Vec<u8>], address: SocketAddr) -> Vec<Sent> {
    let mut client = Client::new(address);
    let mut all = Vec::new();
    for request in requests.iter().cycle() {
        let at = Instant::now();
        let status = client.send(request).ok().map(|answer| answer.status);
        all.push(Sent { at, status });
        if status != Some(200) {
            break;
        }
    }
    all
}

fn rows(sent: &[Sent], signal: Instant, report: &mut Report) {
    let is_before = |sent: &&Sent| sent.at + ACCEPTED <= signal;
    let count = |is: &dyn Fn(&&Sent) -> bool| sent.iter().filter(is).count() as f64;
    let accepted = count(&is_before);
    let missed = count(&|sent| is_before(sent) && sent.status != Some(200));
    report.alone(
        "SIGTERM, requests accepted before",
        Unit::Count,
        Target::None,
        accepted,
    );
    let none = Target::AtMost(0.0);
    report.alone("… of them not answered", Unit::Count, none, missed);
    let later = |status: fn(Option<u16>) -> bool| {
        count(&|sent: &&Sent| !is_before(sent) && status(sent.status))
    };
    report.note(format!(
        "Requests sent after SIGTERM or less than {} ms before: {} × 200, {} × another status, {} \
         closed or refused.",
        ACCEPTED.as_millis(),
        later(|status| status == Some(200)),
        later(|status| status.is_some_and(|status| status != 200)),
        later(|status| status.is_none()),
    ));
}
