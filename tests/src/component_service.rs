//! A component as a service: under `wasmtime serve`.
//!
//! Invariant: no server outlives its handle.

use crate::process;
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use ureq::Agent;
use ureq::http::Request;

/// The options of a server whose instances answer more than one request.
pub const REUSED: [&str; 2] = ["--max-instance-reuse-count", "1000"];

/// A component that is served on a free port of loopback.
pub struct Served {
    process: Child,
    url: String,
    agent: Agent,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Served {
    /// Starts wasmtime with options of `serve` beside those that are always needed.
    pub fn start(wasmtime: &Path, options: &[&str], component: &Path) -> anyhow::Result<Self> {
        let mut serve = Command::new(wasmtime);
        serve
            .args(["serve", "-S", "cli", "--addr", "127.0.0.1:0"])
            .args(options)
            .arg(component);
        let mut process = process::spawn(serve.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let mut lines = BufReader::new(process.stderr.take().context("its stderr")?).lines();
        let url = loop {
            let line = lines.next().context("it ended")??;
            if let Some(at) = line.find("http://127.0.0.1:") {
                break line[at..].trim_end_matches('/').to_owned();
            }
        };
        // It would wait where nobody reads.
        thread::spawn(move || lines.for_each(drop));
        let agent = Agent::config_builder().http_status_as_error(false).build();
        Ok(Self {
            process,
            url,
            agent: agent.into(),
        })
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The status and the body of an answer.
    pub fn ask(&self, request: Request<String>) -> anyhow::Result<(u16, String)> {
        let mut response = self.agent.run(request)?;
        Ok((
            response.status().as_u16(),
            response.body_mut().read_to_string()?,
        ))
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        self.ask(Request::get(self.url(path)).body(String::new())?)
    }

    /// Sends JSON to a path.
    pub fn post(&self, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        let request = Request::post(self.url(path));
        self.ask(
            request
                .header("content-type", "application/json")
                .body(body.to_owned())?,
        )
    }
}
