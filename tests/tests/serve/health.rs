//! `health`: asked of a server by the settings that the server has.

use anyhow::{Context, ensure};
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

const MODEL: &str = "st-mean-normalize";

/// `health`, with nothing in its environment but these variables.
fn health(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.arg("health").args(arguments).env_clear();
    command.envs(variables.iter().copied());
    command
}

fn port(url: &str) -> anyhow::Result<&str> {
    let (_, port) = url.rsplit_once(':').with_context(|| url.to_owned())?;
    Ok(port)
}

#[test]
fn a_server_is_ready_where_its_settings_say() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built(MODEL, &[])?;
    let server = workbench.serve(MODEL, &["--api-key", "sesame"])?;
    let (http, grpc) = (port(server.http())?, port(server.grpc())?);
    let ready = format!("ready: {}/readyz\n", server.http());
    let every = ("HTTP_HOSTNAME", "0.0.0.0");
    for mut asked in [
        health(&program, &["--http-port", http], &[]),
        health(&program, &[], &[("PORT", http), every]),
    ] {
        let said = process::succeed(&mut asked)?;
        ensure!(said.text()? == ready, "{said:?}");
    }
    let over_grpc = [("DISABLE_HTTP", "true"), ("GRPC_PORT", grpc)];
    let said = process::succeed(&mut health(&program, &[], &over_grpc))?;
    ensure!(
        said.text()? == format!("ready: grpc://{}\n", server.grpc()),
        "{said:?}"
    );
    let (http, url) = (http.to_owned(), server.http().to_owned());
    server.stop()?;
    let gone = process::finish(&mut health(&program, &["--http-port", &http], &[]))?;
    gone.refused(&[&url, "does not listen"])?;
    ensure!(gone.code == Some(1), "{gone:?}");
    Ok(())
}

#[test]
fn a_server_with_tls_is_asked_with_tls() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built(MODEL, &[])?;
    // Not the loopback address's.
    let made = rcgen::generate_simple_self_signed(["models.example".to_owned()])?;
    let (cert, key) = (workbench.path("cert"), workbench.path("key"));
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let server = workbench.serve(MODEL, &["--cert-file", &cert, "--key-file", &key])?;
    let (http, grpc) = (port(server.http())?, port(server.grpc())?);
    let tls = [("CERT_FILE", &*cert), ("KEY_FILE", &*key)];
    for (ports, said) in [
        (&["--http-port", http][..], "ready: https://127.0.0.1:"),
        (
            &["--disable-http", "--grpc-port", grpc],
            "ready: grpcs://127.0.0.1:",
        ),
    ] {
        let asked = process::succeed(&mut health(&program, ports, &tls))?;
        ensure!(asked.text()?.starts_with(said), "{asked:?}");
    }
    let without = process::finish(&mut health(&program, &["--http-port", http], &[]))?;
    without.refused(&["http://127.0.0.1:"])?;
    server.stop()?;
    Ok(())
}

/// What answers at that port, or does not.
fn refuses(answer: &'static str, words: &[&str]) -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built(MODEL, &[])?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port().to_string();
    let other = thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(answer.as_bytes())?;
        // Until `health` has gone.
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let asked = process::finish(&mut health(&program, &["--http-port", &port], &[]))?;
    asked.refused(words)?;
    ensure!(other.join().is_ok());
    Ok(())
}

#[test]
fn a_server_that_is_not_ready_says_why() -> anyhow::Result<()> {
    refuses(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        &["/readyz: 503 Service Unavailable"],
    )
}

#[test]
fn another_server_is_not_taken_for_one() -> anyhow::Result<()> {
    refuses("SSH-2.0-other\r\n", &["not HTTP"])
}

#[test]
fn silence_ends_after_seconds() -> anyhow::Result<()> {
    refuses("", &["no answer within 5 s"])
}

#[test]
fn any_free_port_is_none_to_ask_at() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let program = workbench.built(MODEL, &[])?;
    let asked = process::finish(&mut health(&program, &[], &[("PORT", "0")]))?;
    asked.refused(&["--http-port 0"])
}
