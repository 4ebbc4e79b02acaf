//! The server that is measured: started, looked at from outside, and ended.
//!
//! Invariant: no server outlives its handle.

use super::Subject;
use crate::process;
use anyhow::{Context, bail, ensure};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// From process start to a loaded model.
const START: Duration = Duration::from_secs(60);

/// A running `serve`.
pub(super) struct Server {
    child: Child,
    /// Its standard error: a file, which costs the measuring process nothing.
    log: PathBuf,
    pub(super) address: SocketAddr,
}

/// What the system says of the process.
#[derive(Clone, Copy)]
pub(super) struct Resources {
    /// In memory now.
    pub(super) resident_bytes: f64,
    /// The most there ever was.
    pub(super) peak_bytes: f64,
    pub(super) threads: f64,
    pub(super) open_files: f64,
}

/// Processor time, of user and system, of all threads.
pub(super) struct CpuSeconds {
    pub(super) own: f64,
    /// Of processes that it started and that have ended.
    pub(super) children: f64,
}

impl Server {
    /// Starts it with these further options; `name` is that of its log.
    pub(super) fn start(subject: &Subject, name: &str, options: &[&str]) -> anyhow::Result<Self> {
        let log = subject.folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let mut command = process::timed(&subject.file);
        command
            .args(["serve", "--http-port", "0", "--disable-grpc"])
            .args(options)
            // The line that names the port is of this level.
            .env("RUST_LOG", "info")
            .env_remove("API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        let child = command
            .spawn()
            .with_context(|| subject.file.display().to_string())?;
        let mut server = Self {
            child,
            log,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        server.address = server.listening()?;
        Ok(server)
    }

    fn listening(&mut self) -> anyhow::Result<SocketAddr> {
        const BEFORE: &str = "listening: http://";

        let limit = Instant::now() + START;
        while Instant::now() < limit {
            let log = self.log()?;
            // A line that is not complete may hold half a port.
            let mut lines = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(address) = lines.find_map(|line| Some(line.split_once(BEFORE)?.1)) {
                return address.trim().parse().context(BEFORE);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("serve: {status}: {}", log.trim_end());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("serve: not listening after {} s", START.as_secs())
    }

    /// What it has written to standard error.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        let bytes = fs::read(&self.log).with_context(|| self.log.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Panics that it reported.
    pub(super) fn panics(&self) -> anyhow::Result<f64> {
        let log = self.log()?;
        Ok(log.lines().filter(|line| line.contains("panicked")).count() as f64)
    }

    /// Its memory, threads and files now.
    pub(super) fn resources(&self) -> anyhow::Result<Resources> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(folder.join("status")).context("this needs /proc")?;
        let value = |key: &str| -> anyhow::Result<f64> {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
            value.with_context(|| format!("/proc/PID/status has no {key}"))
        };
        Ok(Resources {
            resident_bytes: value("VmRSS")? * 1024.0,
            peak_bytes: value("VmHWM")? * 1024.0,
            threads: value("Threads")?,
            open_files: fs::read_dir(folder.join("fd"))?.count() as f64,
        })
    }

    /// Its processor time so far.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        Ok(cpu_seconds(&self.child.id().to_string())?.own)
    }

    /// Tells it to stop. std can only kill.
    pub(super) fn terminate(&self) -> anyhow::Result<()> {
        let kill = format!("kill -TERM {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        let status = status.context("cannot start sh")?;
        ensure!(status.success(), "{kill}: {status}");
        Ok(())
    }

    /// How it ended, or nothing if it did not within the time.
    pub(super) fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let limit = Instant::now() + limit;
        loop {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() >= limit {
                return Ok(ended);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it now.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Of a process, by its id, or of `self`. Other work on the machine moves this
/// less than it moves the time on the clock.
pub(super) fn cpu_seconds(process: &str) -> anyhow::Result<CpuSeconds> {
    /// Linux tells user space of 100 a second, whatever it has itself.
    const TICKS_PER_SECOND: f64 = 100.0;

    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("this needs /proc")?;
    // The second field, a name in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    // proc_pid_stat(5): utime, stime, cutime and cstime are fields 14 to 17.
    let ticks = fields.split_whitespace().skip(11).take(4);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    let [utime, stime, cutime, cstime] = ticks[..] else {
        bail!("/proc/PID/stat: too short");
    };
    Ok(CpuSeconds {
        own: (utime + stime) / TICKS_PER_SECOND,
        children: (cutime + cstime) / TICKS_PER_SECOND,
    })
}
