//! `cargo xtask advisories`: whether something known to be vulnerable is used, as the databases of
//! RustSec, npm and PyPI have it today.
//!
//! Not among what CI runs on a change: the answers change without one, so that a scheduled job asks, and
//! whoever makes a release. A database that cannot be asked is a skipped step, an error in CI.

use crate::deny;
use crate::process;
use crate::setup::clients::{self, Environment, NODE_FOLDERS};
use crate::setup::wasmtime;
use crate::steps::Steps;
use crate::workspace::Workspace;
use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use std::process::{Command, Stdio};

/// The folders with a `package-lock.json` beside those of the tests, from the root.
const OTHER_NODE_FOLDERS: [&str; 2] = ["wasm/npm", "xtask/bench/browser"];

/// What asks PyPI.
const PIP_AUDIT: Environment = Environment {
    requirements: "xtask/pip-audit.txt",
    folder: "pip-audit-venv",
    holds: "pip-audit",
};

/// Packages of PyPI that are installed, from the root.
const REQUIREMENTS: [&str; 7] = [
    clients::CLIENTS.requirements,
    clients::FRAMEWORKS.requirements,
    clients::PUBLISHED,
    deny::ENVIRONMENT.requirements,
    PIP_AUDIT.requirements,
    clients::ZIG.requirements,
    wasmtime::RELEASED.requirements,
];

/// Whether it could be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// And nothing was found.
    Clean,
    Skipped,
}

/// Asks for everything, and fails where something is found, or nothing could be asked.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut steps = Steps::new();
    steps.begin("crates", "Cargo.lock, by RustSec's database");
    let mut answers = vec![of_crates(workspace, &mut steps)?];
    for folder in NODE_FOLDERS.into_iter().chain(OTHER_NODE_FOLDERS) {
        steps.begin("npm", folder);
        answers.push(of_npm(workspace, &mut steps, folder)?);
    }
    for file in REQUIREMENTS {
        steps.begin("PyPI", file);
        answers.push(of_pypi(workspace, &mut steps, file)?);
    }
    let clean = answers
        .iter()
        .filter(|&&answer| answer == Answer::Clean)
        .count();
    ensure!(clean > 0, "no database answered: nothing was checked");
    let skipped = answers.len() - clean;
    println!("\nadvisories: {clean} without any, {skipped} skipped");
    Ok(())
}

fn of_crates(workspace: &Workspace, steps: &mut Steps) -> anyhow::Result<Answer> {
    let Some(program) = deny::install(workspace, steps)? else {
        return Ok(Answer::Skipped);
    };
    let mut fetch = deny::command(workspace, &program);
    if !process::succeeds(fetch.args(["fetch", "db"]))? {
        return skip(steps, "crates", "RustSec's database cannot be fetched");
    }
    let mut check = deny::command(workspace, &program);
    process::run(check.args(["--offline", "check", "advisories"]))?;
    Ok(Answer::Clean)
}

fn skip(steps: &mut Steps, name: &str, why: &str) -> anyhow::Result<Answer> {
    steps.skip(name, why).map(|()| Answer::Skipped)
}

fn of_npm(workspace: &Workspace, steps: &mut Steps, folder: &str) -> anyhow::Result<Answer> {
    let mut audit = clients::npm(&workspace.root.join(folder))?;
    audit.args(["audit", "--package-lock-only", "--json"]);
    let Some(found) = found_by_npm(&report(&mut audit)?) else {
        return skip(
            steps,
            "npm",
            "the registry does not answer; `npm audit` there says why",
        );
    };
    ensure!(
        found == 0,
        "{folder}: {found} vulnerable packages; `npm audit` there names them"
    );
    Ok(Answer::Clean)
}

/// How many packages `npm audit` says are vulnerable; `None` if it could not ask.
fn found_by_npm(report: &Value) -> Option<u64> {
    report.pointer("/metadata/vulnerabilities/total")?.as_u64()
}

/// What pip-audit says of a package.
#[derive(Deserialize)]
struct Audited {
    name: String,
    version: Option<String>,
    #[serde(default)]
    vulns: Vec<Vulnerability>,
    /// Why it was not asked for.
    skip_reason: Option<String>,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: String,
}

fn of_pypi(workspace: &Workspace, steps: &mut Steps, file: &str) -> anyhow::Result<Answer> {
    let Some(python) = clients::python(workspace, steps, &PIP_AUDIT)? else {
        return Ok(Answer::Skipped);
    };
    let mut audit = workspace.command(&python.to_string_lossy(), &["-m", "pip_audit"]);
    audit.args(["--format", "json", "--progress-spinner", "off"]);
    audit.args(["--require-hashes", "--disable-pip", "--requirement", file]);
    let mut report = report(&mut audit)?;
    let Some(packages) = report.get_mut("dependencies").map(Value::take) else {
        return skip(steps, "PyPI", "it does not answer; `pip-audit` says why");
    };
    let packages: Vec<Audited> = serde_json::from_value(packages).context("what pip-audit says")?;
    let found = found_by_pip(&packages);
    ensure!(found.is_empty(), "{file}: {}", found.join(", "));
    // It calls a package that it could not ask for one without vulnerabilities.
    let skipped = packages
        .iter()
        .filter(|it| it.skip_reason.is_some())
        .count();
    if skipped > 0 {
        let why = format!(
            "it does not answer for {skipped} of {} packages",
            packages.len()
        );
        return skip(steps, "PyPI", &why);
    }
    Ok(Answer::Clean)
}

/// Each vulnerable package with the names of its advisories.
fn found_by_pip(packages: &[Audited]) -> Vec<String> {
    let vulnerable = packages.iter().filter(|package| !package.vulns.is_empty());
    let line = |package: &Audited| {
        let ids: Vec<&str> = package
            .vulns
            .iter()
            .map(|found| found.id.as_str())
            .collect();
        let version = package.version.as_deref().unwrap_or_default();
        format!("{} {version} has {}", package.name, ids.join(" and "))
    };
    vulnerable.map(line).collect()
}

/// The JSON that a program prints, whatever its exit code: that of findings is that of errors. Null if it
/// prints none. What it says beside it is dropped.
fn report(command: &mut Command) -> anyhow::Result<Value> {
    let mut lines = String::new();
    process::for_each_line(command.stderr(Stdio::null()), |line| lines += line)?;
    Ok(serde_json::from_str(&lines).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Audited, found_by_npm, found_by_pip};
    use serde_json::json;

    #[test]
    fn what_npm_finds_is_told_from_no_answer() {
        let found = json!({"auditReportVersion": 2, "metadata": {"vulnerabilities": {"high": 2, "total": 2}}});
        assert_eq!(found_by_npm(&found), Some(2));
        let refused = json!({"message": "405 Method Not Allowed", "statusCode": 405});
        assert_eq!(found_by_npm(&refused), None);
    }

    #[test]
    fn what_pip_audit_finds_is_named() {
        let packages = json!([
            {"name": "a", "version": "1.0", "vulns": []},
            {"name": "b", "version": "2.0", "vulns": [{"id": "PYSEC-1", "fix_versions": []}]},
            {"name": "c", "skip_reason": "not found"}
        ]);
        let packages: Vec<Audited> = serde_json::from_value(packages).unwrap();
        assert_eq!(found_by_pip(&packages), ["b 2.0 has PYSEC-1"]);
    }
}
