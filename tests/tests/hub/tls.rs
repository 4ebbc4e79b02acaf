//! A hub with TLS: whose certificates are believed, and that nothing leads out of it.
//!
//! On Linux alone: there, `SSL_CERT_FILE` says which certificates the platform believes.
#![cfg(target_os = "linux")]

use crate::bench::{Bench, FIXTURE};
use crate::content::Model;
use crate::server::{Answer, Hub};
use anyhow::ensure;
use encoderfile_tests::process;
use encoderfile_tests::workbench::Workbench;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;

/// A hub with TLS, whose certificate is the file `cert`.
fn open() -> anyhow::Result<Option<Bench>> {
    let Some(workbench) = Workbench::open()? else {
        return Ok(None);
    };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    workbench.write("cert", made.cert.pem())?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    let hub = Hub::start_with(Model::of_fixture(FIXTURE)?, Some(config))?;
    Ok(Some(Bench { workbench, hub }))
}

#[test]
fn a_certificate_is_believed_that_the_platform_believes() -> anyhow::Result<()> {
    let Some(bench) = open()? else {
        return Ok(());
    };
    // The large files are redirected to a server with neither.
    let (model, kept) = (bench.hub.model().clone(), "/api/resolve-cache/");
    bench.hub.answer(move |request| {
        let mut files = model.files.iter().filter(|it| it.is_lfs);
        let file = files.find(|it| request.path.ends_with(&format!("/{}", it.name)))?;
        let answer = Answer::new(200, file.content.clone()).with("ETag", file.etag());
        (!request.path.contains(kept)).then_some(answer)
    });
    let mut build = bench.build(&[]);
    let stranger = process::finish(&mut build)?;
    stranger.refused(&["cannot be asked", "certificate"])?;
    process::succeed(build.env("SSL_CERT_FILE", bench.workbench.path("cert")))?;
    bench.check_cache()
}

#[test]
fn nothing_leads_from_tls_to_an_address_without() -> anyhow::Result<()> {
    let Some(bench) = open()? else {
        return Ok(());
    };
    let mut build = bench.build(&[]);
    build.env("SSL_CERT_FILE", bench.workbench.path("cert"));
    process::finish(&mut build)?.refused(&["redirects to", bench.hub.cdn(), "without TLS"])?;
    ensure!(
        !bench.hub.asked().iter().any(|it| it.is_cdn),
        "the CDN was asked"
    );
    let cdn = bench.hub.cdn().to_owned();
    bench
        .hub
        .answer(move |_| Some(Answer::redirect(301, cdn.clone())));
    process::finish(&mut build)?.refused(&["redirects to", "without TLS"])
}
