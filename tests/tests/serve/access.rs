//! Keys, TLS and other origins.

use crate::client::{Answer, get, post, send};
use crate::stage::Stage;
use anyhow::{Context, ensure};
use encoderfile_tests::server::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use ureq::http::Request;

fn post_with(server: &Server, route: &str, authorization: &str) -> anyhow::Result<Answer> {
    let request = Request::post(format!("{}{route}", server.http()))
        .header("content-type", "application/json")
        .header("authorization", authorization);
    send(request.body(r#"{"inputs": ["a"], "input": ["a"]}"#.into())?)
}

#[test]
fn keys_open_everything_but_the_probes_and_the_page() -> anyhow::Result<()> {
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let file = stage.folder().join("keys");
    fs::write(&file, "# team a\nsesame\n\nsecond-key\n")?;
    let file = file.display().to_string();
    let arguments = ["--mcp", "--api-key", "from-flag", "--api-key-file", &file];
    let server = stage.serve("st-mean-normalize", &arguments)?;
    let url = |route: &str| format!("{}{route}", server.http());
    for route in ["/", "/page.js", "/page.css", "/health", "/livez", "/readyz"] {
        ensure!(get(&url(route))?.status == 200, "{route}");
    }
    for route in [
        "/info",
        "/metrics",
        "/openapi.json",
        "/v1/models",
        "/model",
        "/nowhere",
    ] {
        get(&url(route))?.refused(401, &["Authorization: Bearer"])?;
    }
    for route in ["/", "/embed", "/predict", "/v1/embeddings", "/mcp"] {
        let answer = post(&url(route), &json!({ "inputs": "a" }))?;
        answer.refused(401, &["Authorization: Bearer"])?;
        ensure!(answer.header("www-authenticate") == Some("Bearer"));
    }
    for key in ["sesame", "second-key", "from-flag"] {
        post_with(&server, "/embed", &format!("Bearer {key}"))?.good()?;
    }
    post_with(&server, "/v1/embeddings", "bearer sesame")?.good()?;
    for wrong in [
        "Bearer sesam",
        "Bearer sesame2",
        "Bearer ",
        "Basic sesame",
        "sesame",
    ] {
        let answer = post_with(&server, "/v1/embeddings", wrong)?;
        answer.refused(401, &["invalid_api_key"])?;
    }
    let said = server.stop()?;
    ensure!(!said.contains("sesame"), "keys are in the log: {said}");
    Ok(())
}

#[test]
fn pages_of_listed_origins_may_call() -> anyhow::Result<()> {
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let listed = "https://example.org";
    let server = stage.serve(
        "st-mean-normalize",
        &["--disable-grpc", "--cors-allow-origin", listed],
    )?;
    let preflight = |origin: &str| -> anyhow::Result<Answer> {
        let request = Request::options(format!("{}/embed", server.http()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            );
        send(request.body(String::new())?)
    };
    let allowed = preflight(listed)?;
    ensure!(
        allowed.header("access-control-allow-origin") == Some(listed),
        "{allowed:?}"
    );
    let refused = preflight("https://example.com")?;
    ensure!(
        refused.header("access-control-allow-origin").is_none(),
        "{refused:?}"
    );
    server.stop()?;
    let server = stage.serve("st-mean-normalize", &["--disable-grpc"])?;
    let request = Request::get(format!("{}/health", server.http())).header("origin", listed);
    let answer = send(request.body(String::new())?)?;
    ensure!(
        answer.header("access-control-allow-origin").is_none(),
        "{answer:?}"
    );
    server.stop()?;
    Ok(())
}

#[test]
fn tls_with_a_certificate_that_the_client_knows() -> anyhow::Result<()> {
    let Some(stage) = Stage::open()? else {
        return Ok(());
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (stage.folder().join("cert"), stage.folder().join("key"));
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (cert_name, key_name) = (cert.display().to_string(), key.display().to_string());
    let arguments = ["--cert-file", &cert_name, "--key-file", &key_name];
    let server = stage.serve("st-mean-normalize", &arguments)?;
    let address = server.http().strip_prefix("https://");
    let address = address.with_context(|| server.http().to_owned())?;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let connection = ClientConnection::new(Arc::new(config), name)?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut heard = String::new();
    stream.read_to_string(&mut heard)?;
    ensure!(
        heard.starts_with("HTTP/1.1 200") && heard.ends_with(r#""OK!""#),
        "{heard}"
    );
    ensure!(get(&format!("http://{address}/health")).map_or(true, |it| it.status != 200));
    server.stop()?;
    Ok(())
}
