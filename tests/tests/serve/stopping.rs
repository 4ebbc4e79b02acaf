//! SIGTERM: what was accepted is answered, and nothing more is.

use crate::client::{Wire, get, post, wait_for};
use anyhow::ensure;
use encoderfile_tests::fixture::DEFAULT_MODEL;
use encoderfile_tests::workbench::Workbench;
use serde_json::json;
use std::thread;

#[test]
fn what_was_accepted_is_answered() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(DEFAULT_MODEL, &["--threads", "1"])?;
    let url = server.http().to_owned();
    // Nobody is waited for who only sits there.
    let mut idle = Wire::open(&url)?;
    let request = thread::spawn({
        let url = format!("{url}/embed");
        move || post(&url, &json!({ "inputs": vec!["a text"; 500] }))
    });
    wait_for(&server, "te_queue_size", |waiting| waiting > 100.0)?;
    let said = server.stop()?;
    ensure!(
        said.contains("SIGTERM") && said.contains("stopped"),
        "{said}"
    );
    let answer = request
        .join()
        .map_err(|_| anyhow::anyhow!("panic"))??
        .good()?;
    ensure!(answer.as_array().map(Vec::len) == Some(500));
    ensure!(idle.hear()?.is_empty());
    ensure!(get(&format!("{url}/health")).is_err(), "it still listens");
    Ok(())
}

#[test]
fn after_the_grace_nothing_is_waited_for() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(DEFAULT_MODEL, &["--threads", "1", "--grace", "0"])?;
    let url = format!("{}/embed", server.http());
    let request = thread::spawn(move || post(&url, &json!({ "inputs": vec!["a text"; 2000] })));
    wait_for(&server, "te_queue_size", |waiting| waiting > 1500.0)?;
    let said = server.stop()?;
    ensure!(said.contains("not answered"), "{said}");
    ensure!(
        request
            .join()
            .map_err(|_| anyhow::anyhow!("panic"))?
            .is_err()
    );
    Ok(())
}

#[test]
fn told_twice_nothing_is_waited_for() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let server = workbench.serve(DEFAULT_MODEL, &["--threads", "1", "--grace", "3600"])?;
    let url = format!("{}/embed", server.http());
    let request = thread::spawn(move || post(&url, &json!({ "inputs": vec!["a text"; 2000] })));
    wait_for(&server, "te_queue_size", |waiting| waiting > 1500.0)?;
    server.tell_to_stop()?;
    server.says("SIGTERM: ")?;
    let said = server.stop()?;
    ensure!(said.contains("SIGTERM again"), "{said}");
    ensure!(
        request
            .join()
            .map_err(|_| anyhow::anyhow!("panic"))?
            .is_err()
    );
    Ok(())
}
