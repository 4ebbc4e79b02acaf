//! Why a base program cannot be had, in one line that says what to do.

use std::io;
use std::path::PathBuf;

/// A base program that neither the tool nor its release gives, or that cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A tool that was built without a release.
    #[error(
        "this encoderfile tool is of no release, so that it trusts no base programs but its own: {carried}; bring one with --base FILE"
    )]
    NoRelease {
        /// What it carries.
        carried: String,
    },
    /// A program of this tool that is damaged.
    #[error("base program for {target} in this encoderfile tool: {source}")]
    Carried {
        /// The target's triple.
        target: &'static str,
        /// What is wrong with it.
        source: anyhow::Error,
    },
    /// Nobody says where releases are.
    #[error("no address of releases: set ENCODERFILE_BASE_BINARY_BASE_URL to a server or a folder")]
    NoAddress,
    /// An address of no kind that is known.
    #[error(
        "ENCODERFILE_BASE_BINARY_BASE_URL: {text:?} is neither https://…, http://…, file://… nor a folder"
    )]
    Address {
        /// What somebody said.
        text: String,
    },
    /// No folder to keep base programs in.
    #[error(
        "no folder to keep base programs in: say --cache-dir DIR, or set XDG_CACHE_HOME or HOME"
    )]
    NoCache,
    /// What is no version.
    #[error("--runtime-version {version}: no version, as 0.1.0 is one")]
    Version {
        /// What somebody said.
        version: String,
    },
    /// What is not in the cache, where nothing is to be downloaded.
    #[error("{name}: not in {}, and nothing is downloaded: {why}", .path.display())]
    Forbidden {
        /// The version and the target.
        name: String,
        /// Where it would be.
        path: PathBuf,
        /// Who says so.
        why: &'static str,
    },
    /// A release without that target.
    #[error("no base program for {target} in release {version}, which has: {there}")]
    NotInRelease {
        /// The target's triple.
        target: &'static str,
        /// The version.
        version: String,
        /// What there is.
        there: String,
    },
    /// A release without that file, or none there.
    #[error(
        "{place}: not there; is it the right version, and does {variable} say where releases are?"
    )]
    NotThere {
        /// The address or the path.
        place: String,
        /// Who can say another.
        variable: &'static str,
    },
    /// Any other refusal.
    #[error("{url}: status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// No answer.
    #[error("{0}")]
    Net(String),
    /// A list that the release's key has not signed.
    #[error("{place}: {problem}; no base program of this release is used")]
    Signature {
        /// The list.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A signed list that is not what this tool was made with.
    #[error(
        "base program for {target}: the release's list has SHA-256 {listed}, and this tool {known}: this is not the release that the tool is of"
    )]
    Disagree {
        /// The target's triple.
        target: &'static str,
        /// What the tool says.
        known: String,
        /// What the list says.
        listed: String,
    },
    /// A file that is not what was announced.
    #[error("{place}: {problem}; nothing of it was kept")]
    Content {
        /// The file.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A download that was cut again and again.
    #[error("{place}: {got} bytes came, then {problem}; the next try goes on from there")]
    Cut {
        /// The file.
        place: String,
        /// How many bytes are there.
        got: u64,
        /// What became of the connection.
        problem: String,
    },
    /// A file of the cache or a folder that cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
