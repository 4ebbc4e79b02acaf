//! A hub of one model on the loopback address, and what it answers: as huggingface.co does,
//! or as a test says instead.
//!
//! The hub redirects to a second address for large files, as huggingface.co does to its CDN.

use crate::content::{File, Model};
use anyhow::{Context, ensure};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Whoever reads more than this of an endless answer reads all of it.
const ENDLESS_LEN: usize = 256 << 20;

/// A request that reached the hub or its CDN.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) is_cdn: bool,
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// Whether it asks for the content of a file of that name.
    pub(crate) fn is_for(&self, file: &File) -> bool {
        let at_cdn = self.is_cdn && self.path.contains(&file.sha256);
        self.method == "GET" && (at_cdn || self.path.ends_with(&format!("/{}", file.name)))
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// How much of the body comes before the connection is cut.
    pub(crate) cut: Option<usize>,
    /// The body again and again.
    pub(crate) is_endless: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self {
            status,
            body,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The body again and again.
    pub(crate) fn endless(self) -> Self {
        Self {
            is_endless: true,
            ..self
        }
    }

    /// What huggingface.co says of what it does not give.
    pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Self {
        let body = json!({ "error": message }).to_string();
        let answer = Self::new(status, body).with("X-Error-Message", message);
        match code {
            "" => answer,
            code => answer.with("X-Error-Code", code),
        }
    }

    pub(crate) fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::new(status, "Redirecting").with("Location", location)
    }
}

/// What is answered instead; `None` for requests of no concern.
type Rule = Arc<dyn Fn(&Request) -> Option<Answer> + Send + Sync>;

/// A hub.
pub(crate) struct Hub {
    shared: Arc<Shared>,
    endpoint: String,
}

struct Shared {
    model: Model,
    cdn: String,
    rule: Mutex<Option<Rule>>,
    asked: Mutex<Vec<Request>>,
    is_over: AtomicBool,
    addresses: Vec<SocketAddr>,
}

impl Hub {
    /// A hub that has `model`.
    pub(crate) fn start(model: Model) -> anyhow::Result<Self> {
        Self::start_with(model, None)
    }

    /// The same with TLS, by a certificate for `localhost`. Its CDN has none.
    pub(crate) fn start_with(model: Model, tls: Option<ServerConfig>) -> anyhow::Result<Self> {
        let (hub, cdn) = (
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        );
        let addresses = vec![hub.local_addr()?, cdn.local_addr()?];
        let endpoint = match tls {
            Some(_) => format!("https://localhost:{}", addresses[0].port()),
            None => format!("http://{}", addresses[0]),
        };
        let shared = Arc::new(Shared {
            model,
            // By another name: some clients know hosts and no ports.
            cdn: format!("http://localhost:{}", addresses[1].port()),
            rule: Mutex::default(),
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
            addresses,
        });
        shared.clone().listen(hub, false, tls.map(Arc::new));
        shared.clone().listen(cdn, true, None);
        Ok(Self { shared, endpoint })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn cdn(&self) -> &str {
        &self.shared.cdn
    }

    pub(crate) fn model(&self) -> &Model {
        &self.shared.model
    }

    /// Answers as `rule` says, where it says anything; instead of what was said before.
    pub(crate) fn answer(&self, rule: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static) {
        *lock(&self.shared.rule) = Some(Arc::new(rule));
    }

    /// Answers as huggingface.co does again.
    pub(crate) fn answer_well(&self) {
        *lock(&self.shared.rule) = None;
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Request> {
        std::mem::take(&mut *lock(&self.shared.asked))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for address in &self.shared.addresses {
            // Each listener wakes up and sees that it is over.
            let _ = TcpStream::connect(address);
        }
    }
}

impl Shared {
    fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        is_cdn: bool,
        tls: Option<Arc<ServerConfig>>,
    ) {
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, tls) = (self.clone(), tls.clone());
                // Whoever asks may go away at any time.
                thread::spawn(move || shared.serve(stream, is_cdn, tls).ok());
            }
        });
    }

    fn serve(
        &self,
        stream: TcpStream,
        is_cdn: bool,
        tls: Option<Arc<ServerConfig>>,
    ) -> anyhow::Result<()> {
        match tls {
            Some(tls) => self.exchange(
                StreamOwned::new(ServerConnection::new(tls)?, stream),
                is_cdn,
            ),
            None => self.exchange(stream, is_cdn),
        }
    }

    /// One request and its answer, after which the connection ends.
    fn exchange(&self, stream: impl Read + Write, is_cdn: bool) -> anyhow::Result<()> {
        let mut stream = BufReader::new(stream);
        let request = read_request(&mut stream, is_cdn)?;
        lock(&self.asked).push(request.clone());
        // It may wait for another request.
        let rule = lock(&self.rule).clone();
        let ruled = rule.and_then(|rule| rule(&request));
        let answer = ruled.unwrap_or_else(|| self.usual(&request));
        write_answer(stream.get_mut(), &request, &answer)
    }

    /// What huggingface.co answers.
    fn usual(&self, request: &Request) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        let path = path.replace("%2F", "/");
        let model = &self.model;
        let api = format!("/api/models/{}/", model.id);
        let files = format!("/{}/resolve/", model.id);
        let kept = format!("/api/resolve-cache/models/{}/{}/", model.id, model.commit);
        if request.is_cdn {
            let mut all = model.files.iter();
            return match all.find(|it| path == format!("/{}", it.sha256)) {
                Some(file) => ranged(request, &file.content),
                None => Answer::new(403, "AccessDenied"),
            };
        }
        if let Some(rest) = path.strip_prefix(&api) {
            return self.list(rest);
        }
        if let Some(name) = path.strip_prefix(&kept) {
            return match model.file(name) {
                Some(file) => ranged(request, &file.content)
                    .with("ETag", file.etag())
                    .with("X-Repo-Commit", &*model.commit),
                None => entry_not_found(),
            };
        }
        let Some(rest) = path.strip_prefix(&files) else {
            let status = if request.header("Authorization").is_some() {
                404
            } else {
                401
            };
            return Answer::refusal(status, "RepoNotFound", "Repository not found");
        };
        let revisions = model.revisions();
        let mut names = revisions.iter();
        let found = names.find_map(|it| rest.strip_prefix(it.as_str())?.strip_prefix('/'));
        let Some(name) = found else {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        };
        let Some(file) = model.file(name) else {
            return entry_not_found().with("X-Repo-Commit", &*model.commit);
        };
        let location = match file.is_lfs {
            true => format!("{}/{}?signature=x", self.cdn, file.sha256),
            false => format!("{kept}{name}"),
        };
        Answer::redirect(if file.is_lfs { 302 } else { 307 }, location)
            .with("X-Repo-Commit", &*model.commit)
            .with("X-Linked-Etag", file.etag())
            .with("X-Linked-Size", file.content.len().to_string())
    }

    fn list(&self, rest: &str) -> Answer {
        let model = &self.model;
        let (kind, revision) = rest.split_once('/').unwrap_or_default();
        if !model.revisions().iter().any(|it| it == revision) {
            return Answer::refusal(404, "RevisionNotFound", "Invalid rev id");
        }
        let body = match kind {
            "revision" => model.info(),
            "tree" => model.tree(),
            _ => return Answer::new(404, "Not Found"),
        };
        Answer::new(200, body.to_string()).with("Content-Type", "application/json; charset=utf-8")
    }
}

fn entry_not_found() -> Answer {
    Answer::refusal(404, "EntryNotFound", "Entry not found")
}

/// A content, or what of it a `Range` asks for.
pub(crate) fn ranged(request: &Request, content: &[u8]) -> Answer {
    let range = request
        .header("Range")
        .and_then(|it| it.strip_prefix("bytes="));
    let start = range.and_then(|it| it.strip_suffix('-')?.parse::<usize>().ok());
    let total = content.len();
    match start {
        None => Answer::new(200, content).with("Accept-Ranges", "bytes"),
        Some(start) if start >= total => {
            Answer::new(416, "").with("Content-Range", format!("bytes */{total}"))
        }
        Some(start) => Answer::new(206, &content[start..]).with(
            "Content-Range",
            format!("bytes {start}-{}/{total}", total - 1),
        ),
    }
}

fn read_request(stream: &mut impl BufRead, is_cdn: bool) -> anyhow::Result<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        ensure!(stream.read_line(&mut line)? > 0, "no request");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.first().context("an empty request")?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next(), words.next());
    let headers = lines.iter().skip(1).filter_map(|it| it.split_once(": "));
    Ok(Request {
        is_cdn,
        method: method.context("no method")?,
        path: path.context("no path")?,
        headers: headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    })
}

fn write_answer(out: &mut impl Write, request: &Request, answer: &Answer) -> anyhow::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    match answer.is_endless {
        true => head += "Transfer-Encoding: chunked\r\n\r\n",
        false => head += &format!("Content-Length: {}\r\n\r\n", answer.body.len()),
    }
    out.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(out.flush()?);
    }
    let mut left = if answer.is_endless { ENDLESS_LEN } else { 0 };
    while left > 0 {
        write!(out, "{:x}\r\n", answer.body.len())?;
        out.write_all(&answer.body)?;
        out.write_all(b"\r\n")?;
        left = left.saturating_sub(answer.body.len());
    }
    if !answer.is_endless {
        let end = answer.cut.unwrap_or(answer.body.len());
        out.write_all(&answer.body[..end])?;
    }
    Ok(out.flush()?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
