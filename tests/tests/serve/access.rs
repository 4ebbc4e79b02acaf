//! Keys, TLS and other origins.

use crate::client::{Answer, get, post, send};
use anyhow::{Context, ensure};
use encoderfile_tests::server::Server;
use encoderfile_tests::workbench::Workbench;
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
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let file = workbench.folder().join("keys");
    fs::write(&file, "# team a\nsesame\n\nsecond-key\n")?;
    let file = file.display().to_string();
    let arguments = ["--mcp", "--api-key", "from-flag", "--api-key-file", &file];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    let url = |route: &str| format!("{}{route}", server.http());
    for route in [
        "/",
        "/page/main.js",
        "/page/page.css",
        "/ui/dom.js",
        "/ui/base.css",
        "/ui/mark.svg",
        "/health",
        "/livez",
        "/readyz",
    ] {
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

/// An origin, and one of which nobody was told.
const LISTED: &str = "https://example.org";
const OTHER: &str = "https://example.com";

/// What official clients ask a browser to send: route, method, headers.
const PREFLIGHTS: [(&str, &str, &str); 8] = [
    ("/embed", "POST", "authorization,content-type"),
    (
        "/v1/embeddings",
        "POST",
        "authorization,content-type,openai-organization,openai-project,x-stainless-arch,\
         x-stainless-lang,x-stainless-os,x-stainless-package-version,x-stainless-retry-count,\
         x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout",
    ),
    (
        "/v2/rerank",
        "POST",
        "authorization,content-type,x-client-name,x-fern-language",
    ),
    ("/api/embed", "POST", "content-type,user-agent"),
    (
        "/mcp",
        "POST",
        "content-type,mcp-method,mcp-name,mcp-protocol-version,mcp-session-id",
    ),
    (
        "/mcp",
        "GET",
        "last-event-id,mcp-protocol-version,mcp-session-id",
    ),
    ("/mcp", "DELETE", "mcp-protocol-version,mcp-session-id"),
    ("/info", "HEAD", "x-request-id"),
];

fn preflight(server: &Server, origin: &str, asked: (&str, &str, &str)) -> anyhow::Result<Answer> {
    let (route, method, headers) = asked;
    let request = Request::options(format!("{}{route}", server.http()))
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", headers);
    send(request.body(String::new())?)
}

/// The names in a header that is a list of them.
fn names(answer: &Answer, header: &str) -> Vec<String> {
    let names = answer.header(header).unwrap_or_default().split(',');
    names.map(|it| it.trim().to_ascii_lowercase()).collect()
}

#[test]
fn pages_of_listed_origins_may_send_what_clients_send() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let shared = ["--disable-grpc", "--mcp", "--api-key", "sesame"];
    for (allowed, origin) in [
        (LISTED, LISTED),
        ("https://a.example,HTTPS://Example.org:443/", LISTED),
        ("*", OTHER),
    ] {
        let arguments = [&shared[..], &["--cors-allow-origin", allowed]].concat();
        let server = workbench.serve("st-mean-normalize", &arguments)?;
        let answered = if allowed == "*" { "*" } else { origin };
        for asked in PREFLIGHTS {
            let answer = preflight(&server, origin, asked)?;
            let (_, method, headers) = asked;
            ensure!(answer.status == 200, "{asked:?}: {answer:?}");
            ensure!(answer.header("access-control-allow-origin") == Some(answered));
            let methods = names(&answer, "access-control-allow-methods");
            ensure!(methods.contains(&method.to_ascii_lowercase()), "{answer:?}");
            let sent = names(&answer, "access-control-allow-headers");
            for header in headers.split(',') {
                ensure!(sent.iter().any(|it| it == header), "{header}: {answer:?}");
            }
            let seconds = answer.header("access-control-max-age").unwrap_or_default();
            ensure!(seconds.parse::<u32>().is_ok_and(|it| it > 60), "{answer:?}");
        }
        server.stop()?;
    }
    Ok(())
}

/// Also of errors: a page that may not read them learns only that something failed.
#[test]
fn pages_of_listed_origins_read_every_answer() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let arguments = [
        "--disable-grpc",
        "--mcp",
        "--api-key",
        "sesame",
        "--cors-allow-origin",
        LISTED,
    ];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
    for (route, headers, status) in [
        ("/embed", &[("authorization", "Bearer sesame")][..], 200),
        ("/embed", &[], 401),
        ("/nowhere", &[("authorization", "Bearer sesame")], 404),
        ("/health", &[("authorization", "Bearer sesame")], 405),
        (
            "/embed",
            &[
                ("authorization", "Bearer sesame"),
                ("content-encoding", "zip"),
            ],
            415,
        ),
        ("/mcp", &[("authorization", "Bearer sesame")], 406),
    ] {
        let mut request = Request::post(format!("{}{route}", server.http()))
            .header("content-type", "application/json")
            .header("origin", LISTED);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // As much of a message of MCP as its route looks at.
        let body = r#"{"inputs": "a", "jsonrpc": "2.0", "id": 1, "method": "ping"}"#;
        let answer = send(request.body(body.to_owned())?)?;
        ensure!(answer.status == status, "{route}: {answer:?}");
        ensure!(
            answer.header("access-control-allow-origin") == Some(LISTED),
            "{answer:?}"
        );
        let exposed = names(&answer, "access-control-expose-headers");
        for name in [
            "mcp-session-id",
            "retry-after",
            "x-compute-tokens",
            "x-truncated-inputs",
        ] {
            ensure!(exposed.iter().any(|it| it == name), "{name}: {answer:?}");
        }
    }
    server.stop()?;
    Ok(())
}

#[test]
fn pages_of_other_origins_may_not_call() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let listed = ["--disable-grpc", "--mcp", "--cors-allow-origin", LISTED];
    for (arguments, origin) in [(&listed[..], OTHER), (&listed[..2], LISTED)] {
        let server = workbench.serve("st-mean-normalize", arguments)?;
        for asked in PREFLIGHTS {
            let answer = preflight(&server, origin, asked)?;
            let allowed = answer.header("access-control-allow-origin");
            ensure!(allowed.is_none(), "{answer:?}");
        }
        let request = Request::get(format!("{}/health", server.http())).header("origin", origin);
        let answer = send(request.body(String::new())?)?;
        ensure!(
            answer.header("access-control-allow-origin").is_none(),
            "{answer:?}"
        );
        server.stop()?;
    }
    Ok(())
}

/// A page whose name was made to lead here, and one that sends what needs no
/// preflight, come with an origin of their own.
#[test]
fn mcp_is_for_its_own_pages_and_those_listed() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let message = r#"{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion":
        "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}}"#;
    let listed = [
        "--disable-grpc",
        "--mcp",
        "--allowed-host",
        "box.example",
        "--cors-allow-origin",
        LISTED,
    ];
    let any = ["--disable-grpc", "--mcp", "--cors-allow-origin", "*"];
    let written = [&any[..3], &["HTTPS://Example.org:443/"]].concat();
    for (arguments, origin, status) in [
        (&listed[..], Some(LISTED), 200),
        (&listed, None, 200),
        (&listed, Some("http://localhost:3000"), 200),
        (&listed, Some("http://[::1]:3000"), 200),
        (&listed, Some("https://box.example"), 200),
        (&listed, Some(OTHER), 403),
        (&written, Some(LISTED), 200),
        (&listed[..2], Some(LISTED), 403),
        (&listed[..2], Some("null"), 403),
        (&any, Some(OTHER), 200),
    ] {
        let server = workbench.serve("st-mean-normalize", arguments)?;
        let mut request = Request::post(format!("{}/mcp", server.http()))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        // An answer that is a stream of events has an end, too.
        let answer = send(request.body(message.to_owned())?)?;
        ensure!(
            answer.status == status,
            "{arguments:?} {origin:?}: {answer:?}"
        );
        server.stop()?;
    }
    Ok(())
}

/// What is not said to be JSON a browser sends for any page, without asking.
#[test]
fn ollamas_routes_are_not_for_any_page() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let routes = [
        ("/api/embed", r#"{"input": "a"}"#),
        ("/api/embeddings", r#"{"prompt": "a"}"#),
        ("/api/show", r#"{"model": "a"}"#),
    ];
    let listed = ["--disable-grpc", "--cors-allow-origin", LISTED];
    for (arguments, allowed) in [(&listed[..], true), (&listed[..1], false)] {
        let server = workbench.serve("st-mean-normalize", arguments)?;
        let own = server.http().to_owned();
        for (route, body) in routes {
            for (origin, status) in [
                (None, 200),
                (Some(own.as_str()), 200),
                (Some(LISTED), if allowed { 200 } else { 403 }),
                (Some(OTHER), 403),
                (Some("null"), 403),
            ] {
                let mut request = Request::post(format!("{own}{route}"));
                request = request.header("content-type", "text/plain");
                if let Some(origin) = origin {
                    request = request.header("origin", origin);
                }
                let answer = send(request.body(body.to_owned())?)?;
                ensure!(answer.status == status, "{route} {origin:?}: {answer:?}");
                if status == 403 {
                    answer.refused(403, &[r#"{"error":""#, "--cors-allow-origin"])?;
                }
            }
        }
        server.stop()?;
    }
    Ok(())
}

#[test]
fn tls_with_a_certificate_that_the_client_knows() -> anyhow::Result<()> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(());
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (cert, key) = (
        workbench.folder().join("cert"),
        workbench.folder().join("key"),
    );
    fs::write(&cert, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    let (cert_name, key_name) = (cert.display().to_string(), key.display().to_string());
    let arguments = ["--cert-file", &cert_name, "--key-file", &key_name];
    let server = workbench.serve("st-mean-normalize", &arguments)?;
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
