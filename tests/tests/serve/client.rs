//! A client that shows every answer, whatever its status.

use anyhow::{Context, bail, ensure};
use encoderfile_tests::server::Server;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};
use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody};

/// No answer takes as long, and no test waits longer for one.
const PATIENCE: Duration = Duration::from_secs(120);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        &self.body
    }

    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{self:?}"))
    }

    /// The body of an answer that must be good.
    pub(crate) fn good(self) -> anyhow::Result<Value> {
        ensure!(self.status == 200, "{} {}", self.status, self.body);
        self.json()
    }

    /// Fails unless the status is this one and the body contains each of `words`.
    pub(crate) fn refused(&self, status: u16, words: &[&str]) -> anyhow::Result<()> {
        ensure!(self.status == status, "not {status} but {self:?}");
        for word in words {
            ensure!(self.body.contains(word), "no {word:?} in {self:?}");
        }
        Ok(())
    }
}

/// Sends JSON.
pub(crate) fn post(url: &str, body: &Value) -> anyhow::Result<Answer> {
    let request = Request::post(url).header("content-type", "application/json");
    send(request.body(body.to_string())?)
}

/// Asks.
pub(crate) fn get(url: &str) -> anyhow::Result<Answer> {
    send(Request::get(url).body(String::new())?)
}

/// Sends anything that is text.
pub(crate) fn send(request: Request<String>) -> anyhow::Result<Answer> {
    send_any(request)
}

/// Sends anything.
pub(crate) fn send_any(request: Request<impl AsSendBody>) -> anyhow::Result<Answer> {
    let shown = format!("{} {}", request.method(), request.uri());
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_global(Some(PATIENCE))
        .build();
    let response: Response<ureq::Body> = Agent::from(config).run(request).context(shown)?;
    let (parts, mut body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), value.into_owned())
    });
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: body.with_config().limit(1 << 30).read_to_string()?,
    })
}

/// A figure of `/metrics`; 0 where nothing has been counted.
pub(crate) fn figure(server: &Server, name: &str) -> anyhow::Result<f64> {
    let answer = get(&format!("{}/metrics", server.http()))?;
    let mut lines = answer.text().lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0.0), |value| {
        value.parse().with_context(|| format!("{name} {value}"))
    })
}

/// Asks for a figure until it is as wanted.
pub(crate) fn wait_for(
    server: &Server,
    name: &str,
    wanted: impl Fn(f64) -> bool,
) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        let value = figure(server, name)?;
        if wanted(value) {
            return Ok(value);
        }
        if begin.elapsed() > PATIENCE {
            bail!(
                "{name} is still {value}; the server said: {}",
                server.said()
            );
        }
        thread::yield_now();
    }
}

/// A connection on which anything can be said.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let address = url.trim_start_matches("http://");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    pub(crate) fn say(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    /// Everything the server says until it closes the connection.
    pub(crate) fn hear(&mut self) -> anyhow::Result<String> {
        let mut heard = Vec::new();
        // Whoever is cut off may be told so by a reset.
        match self.0.read_to_end(&mut heard) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
                Err(error).context("the server neither answered nor closed")
            }
            _ => Ok(String::from_utf8_lossy(&heard).into_owned()),
        }
    }
}
