//! Settings that make no sense, where no file of `cases/serve` can say it, and the
//! largest that do.

use crate::client::post;
use anyhow::ensure;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::json;
use std::net::TcpListener;

#[test]
fn a_port_that_is_taken() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let http = ["serve", "--http-port", &port];
    let words = ["127.0.0.1", &port, "in use", "http"];
    workbench.finish(&program, &http)?.refused(&words)?;
    let grpc = ["serve", "--http-port", "0", "--grpc-port", &port];
    let finished = workbench.finish(&program, &grpc)?;
    finished.refused(&["in use", "grpc"])
}

#[test]
fn an_origin_with_a_control_character() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let origin = ["serve", "--cors-allow-origin", "a\u{1}"];
    let usage = workbench.finish(&program, &origin)?;
    ensure!(
        usage.code == Some(2) && usage.stderr.contains("--cors-allow-origin"),
        "{usage:?}"
    );
    Ok(())
}

/// The largest that are taken neither overflow nor end the server.
#[test]
fn the_largest_settings_serve() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let (count, bytes) = (u32::MAX.to_string(), (1_u64 << 50).to_string());
    let arguments = [
        "--disable-grpc",
        "--max-concurrent-requests",
        &count,
        "--max-client-batch-size",
        &count,
        "--max-input-chars",
        &bytes,
        "--payload-limit",
        &bytes,
        "--max-queued-tokens",
        &u64::MAX.to_string(),
        "--read-timeout",
        "31536000",
        "--grace",
        "31536000",
    ];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let url = format!("{}/embed", server.http());
    post(&url, &json!({ "inputs": ["a", "b"] }))?.good()?;
    server.stop()?;
    Ok(())
}

#[test]
fn who_listens_alone_names_the_flag_that_there_is() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let server = Server::start_mcp(&program, &["--port", "0"])?;
    server.says("; --hostname 0.0.0.0 lets others in")?;
    server.stop()?;
    let server = Server::start(&program, &[])?;
    server.says("; --http-hostname 0.0.0.0 lets others in")?;
    server.stop()?;
    Ok(())
}
