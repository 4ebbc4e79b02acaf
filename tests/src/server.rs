//! A built model as a server: started on free ports, asked, and told to stop.
//!
//! A server never outlives its test: a [`Server`] that is dropped is killed.

use crate::process;
use anyhow::{Context, ensure};
use encoderfile::graph::ISA_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a server may take to do what it is waited for. Starting and stopping
/// take milliseconds; a busy machine may take a thousand times as long.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a server says once it answers, and where.
const LISTENING: &str = "listening: ";

/// A server that answers.
pub struct Server {
    child: Child,
    said: Arc<Said>,
    http: String,
    grpc: String,
}

impl Server {
    /// Starts `PROGRAM serve ARGUMENTS` on free ports of the loopback address and
    /// waits until it says that it listens.
    ///
    /// The ports are chosen with `--http-port 0 --grpc-port 0`; `arguments` may
    /// disable either. It gets no environment variables, which are settings too,
    /// but the one that chooses the instruction set.
    pub fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--http-port", "0", "--grpc-port", "0"]);
        Self::launch(
            command.args(arguments),
            arguments.contains(&"--disable-grpc"),
        )
    }

    /// Starts `PROGRAM mcp ARGUMENTS`, which have to make it listen, in the same way.
    pub fn start_mcp(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        Self::launch(command.arg("mcp").args(arguments), true)
    }

    /// Starts a command that serves HTTP alone, with the environment that it has.
    pub fn start_command(command: &mut Command) -> anyhow::Result<Self> {
        Self::launch_as_it_is(command, true)
    }

    fn launch(command: &mut Command, without_grpc: bool) -> anyhow::Result<Self> {
        command.env_clear();
        if let Some(name) = env::var_os(ISA_VARIABLE) {
            command.env(ISA_VARIABLE, name);
        }
        Self::launch_as_it_is(command, without_grpc)
    }

    fn launch_as_it_is(command: &mut Command, without_grpc: bool) -> anyhow::Result<Self> {
        let without_http = command.get_args().any(|it| it == "--disable-http");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let shown = format!("{command:?}");
        let child = process::spawn(command.stderr(Stdio::piped()));
        let mut child = child.context(shown.clone())?;
        let said = Arc::new(Said::default());
        if let Some(stderr) = child.stderr.take() {
            let said = said.clone();
            thread::spawn(move || said.listen(stderr));
        }
        // From here on an error drops the server, which ends it.
        let mut server = Self {
            child,
            said,
            http: String::new(),
            grpc: String::new(),
        };
        if !without_http {
            server.http = server.address("http").context(shown.clone())?;
        }
        if !without_grpc {
            let url = server.address("grpc").context(shown)?;
            let (_, address) = url.split_once("://").unwrap_or_default();
            server.grpc = address.into();
        }
        Ok(server)
    }

    /// `http://127.0.0.1:8080`, or with `https` where it serves TLS; empty where
    /// HTTP is disabled.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// `127.0.0.1:50051`; empty where gRPC is disabled.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// What it has written to standard error so far.
    pub fn said(&self) -> String {
        self.said.log().text.clone()
    }

    /// Waits until it has written a line with `words` to standard error, and
    /// gives that line.
    pub fn says(&self, words: &str) -> anyhow::Result<String> {
        let found = self.said.line(|line| line.contains(words));
        found.with_context(|| format!("the server did not say {words:?}, but: {}", self.said()))
    }

    /// Asks it to end with SIGTERM.
    pub fn tell_to_stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Asks it to end with SIGTERM and waits until it has; gives what it wrote to
    /// standard error. Anything but the exit code 0 is an error.
    pub fn stop(self) -> anyhow::Result<String> {
        self.stop_by(Signal::TERM)
    }

    /// The same with SIGINT, which a terminal sends for Ctrl-C.
    pub fn interrupt(self) -> anyhow::Result<String> {
        self.stop_by(Signal::INT)
    }

    fn stop_by(mut self, signal: Signal) -> anyhow::Result<String> {
        self.signal(signal)?;
        ensure!(
            self.said.end(),
            "told to stop, the server went on: {}",
            self.said()
        );
        // Its standard error is closed, so it has ended or is about to.
        let status = self.child.wait()?;
        let said = self.said();
        ensure!(status.success(), "the server ended with {status}: {said}");
        Ok(said)
    }

    /// Where it says it listens.
    fn address(&self, protocol: &str) -> anyhow::Result<String> {
        let line = self.says(&format!("{LISTENING}{protocol}"))?;
        let (_, address) = line.split_once(LISTENING).unwrap_or_default();
        // In a log in JSON, the message ends with a quotation mark.
        let end = address.find([' ', '"']).unwrap_or(address.len());
        Ok(address[..end].to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither fails for a server that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a server wrote to standard error, which a thread reads all the time: a
/// full pipe would stop it.
#[derive(Default)]
struct Said {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    text: String,
    /// Nothing more will come.
    ended: bool,
}

impl Said {
    fn listen(&self, stderr: impl Read) {
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            self.log().text += &String::from_utf8_lossy(&line);
            self.changed.notify_all();
            line.clear();
        }
        self.log().ended = true;
        self.changed.notify_all();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first line that `wanted` accepts, waited for; `None` if the server
    /// ended without it or takes too long.
    fn line(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let find = |log: &Log| {
            log.text
                .lines()
                .find(|line| wanted(line))
                .map(str::to_owned)
        };
        find(&self.wait(|log| log.ended || find(log).is_some()))
    }

    /// Waits for the end, and says whether it came.
    fn end(&self) -> bool {
        self.wait(|log| log.ended).ended
    }

    fn wait(&self, done: impl Fn(&Log) -> bool) -> MutexGuard<'_, Log> {
        let waited = self
            .changed
            .wait_timeout_while(self.log(), WAIT_MAX, |log| !done(log));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
