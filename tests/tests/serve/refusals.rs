//! Settings that make no sense: one line, and an exit code that is not 0.

use crate::client::post;
use anyhow::ensure;
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
use serde_json::json;
use std::fs;
use std::net::TcpListener;

#[test]
fn settings_that_make_no_sense() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let path = |name: &str| workbench.folder().join(name).display().to_string();
    fs::write(path("empty"), "# nobody\n\n")?;
    fs::write(path("text"), "this is no certificate\n")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let (missing, empty, text) = (path("missing"), path("empty"), path("text"));
    let cases: [(&[&str], &[&str]); 9] = [
        (
            &["--http-port", &port],
            &["127.0.0.1", &port, "in use", "http"],
        ),
        (
            &["--http-port", "0", "--grpc-port", &port],
            &["in use", "grpc"],
        ),
        (&["--api-key-file", &missing], &["missing"]),
        (&["--api-key-file", &empty], &["empty", "no keys"]),
        (&["--api-key", "two words"], &["API key"]),
        (
            &["--cert-file", &text, "--key-file", &text],
            &["--cert-file", "text"],
        ),
        (
            &["--cert-file", &missing, "--key-file", &text],
            &["--cert-file", "missing"],
        ),
        (&["--disable-http", "--disable-grpc"], &["nothing to serve"]),
        (
            &[
                "--http-port",
                "0",
                "--grpc-port",
                "0",
                "--otlp-endpoint",
                "nonsense url",
            ],
            &["--otlp-endpoint"],
        ),
    ];
    for (arguments, words) in cases {
        workbench
            .finish(&program, &[&["serve"], arguments].concat())?
            .refused(words)?;
    }
    let usage = workbench.finish(&program, &["serve", "--cert-file", &text])?;
    ensure!(
        usage.code == Some(2) && usage.stderr.contains("--key-file"),
        "{usage:?}"
    );
    Ok(())
}

/// What would be refused later, or of every request, is refused at the start.
#[test]
fn numbers_and_origins_that_make_no_sense() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    let most = u64::MAX.to_string();
    let cases = [
        ("--max-concurrent-requests", "0"),
        ("--max-concurrent-requests", "9999999999999999999"),
        ("--max-client-batch-size", "0"),
        ("--max-client-batch-size", &most),
        ("--max-input-chars", "0"),
        ("--payload-limit", "0"),
        ("--payload-limit", &most),
        ("--read-timeout", "0"),
        ("--read-timeout", &most),
        ("--grace", &most),
        ("--cors-allow-origin", "example.org"),
        ("--cors-allow-origin", "null"),
        ("--cors-allow-origin", "https://example.org/page"),
        ("--cors-allow-origin", "https://*.example.org"),
        ("--cors-allow-origin", "https://example.org,"),
        ("--cors-allow-origin", "a\u{1}"),
    ];
    for (flag, value) in cases {
        let ports = ["serve", "--http-port", "0", "--grpc-port", "0"];
        let usage = workbench.finish(&program, &[&ports[..], &[flag, value]].concat())?;
        ensure!(
            usage.code == Some(2) && usage.stderr.contains(flag),
            "{flag} {value}: {usage:?}"
        );
    }
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

#[test]
fn a_format_is_of_a_file() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built("st-mean-normalize", &[])?;
    for texts in [&["x"][..], &[]] {
        let arguments = [&["infer", "--input-format", "jsonl"], texts].concat();
        let usage = workbench.finish(&program, &arguments)?;
        ensure!(
            usage.code == Some(2) && usage.stderr.contains("--input-format"),
            "{usage:?}"
        );
    }
    Ok(())
}
