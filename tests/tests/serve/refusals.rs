//! Settings that make no sense: one line, and an exit code that is not 0.

use crate::stage::{Stage, run};
use anyhow::ensure;
use std::fs;
use std::net::TcpListener;

#[test]
fn settings_that_make_no_sense() -> anyhow::Result<()> {
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let program = stage.build("st-mean-normalize")?;
    let path = |name: &str| stage.folder().join(name).display().to_string();
    fs::write(path("empty"), "# nobody\n\n")?;
    fs::write(path("text"), "this is no certificate\n")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let (missing, empty, text) = (path("missing"), path("empty"), path("text"));
    let cases: [(&[&str], &[&str]); 10] = [
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
                "--cors-allow-origin",
                "a\u{1}",
            ],
            &["--cors-allow-origin"],
        ),
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
        run(&program, &[&["serve"], arguments].concat())?.refused(words)?;
    }
    let usage = run(&program, &["serve", "--cert-file", &text])?;
    ensure!(
        usage.code == Some(2) && usage.stderr.contains("--key-file"),
        "{usage:?}"
    );
    Ok(())
}
