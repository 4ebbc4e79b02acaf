//! Listening, with or without TLS, until told to stop.

use crate::settings::Tls;
use anyhow::{Context, bail};
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Pings on idle HTTP/2 connections, to find those whose other end is gone.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// A port that is ours, before anybody is served.
pub(crate) struct Endpoint {
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    /// `http`, `grpc`; for people.
    protocol: &'static str,
}

impl Endpoint {
    /// Takes the port.
    pub(crate) fn open(
        protocol: &'static str,
        address: IpAddr,
        port: u16,
        tls: Option<RustlsConfig>,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::new(address, port);
        let listener = TcpListener::bind(address);
        let listener =
            listener.with_context(|| format!("cannot listen on {address} ({protocol})"))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            tls,
            protocol,
        })
    }

    /// `http://127.0.0.1:8080`
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let address = self.listener.local_addr()?;
        let secure = if self.tls.is_some() { "s" } else { "" };
        Ok(format!("{}{secure}://{address}", self.protocol))
    }

    /// Whether other machines can reach it.
    pub(crate) fn is_public(&self) -> bool {
        let address = self.listener.local_addr();
        address.is_ok_and(|address| !address.ip().is_loopback())
    }

    /// Serves until the handle says to stop.
    pub(crate) async fn serve(
        self,
        routes: Router,
        handle: Handle<SocketAddr>,
        read_timeout: Duration,
    ) -> std::io::Result<()> {
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(self.listener)?.handle(handle);
        let builder = server.http_builder();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(read_timeout);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING);
        match self.tls {
            Some(config) => {
                server
                    .acceptor(RustlsAcceptor::new(config))
                    .serve(service)
                    .await
            }
            None => server.serve(service).await,
        }
    }
}

/// The certificate and key that the settings name, if they do.
pub(crate) fn tls(settings: &Tls) -> anyhow::Result<Option<RustlsConfig>> {
    let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) else {
        return Ok(None);
    };
    let chain = certificates(cert).with_context(|| format!("--cert-file {}", cert.display()))?;
    let key_error = || format!("--key-file {}", key.display());
    let secret = PrivateKeyDer::from_pem_file(key).with_context(key_error)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(chain, secret);
    let mut config = config.with_context(key_error)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(RustlsConfig::from_config(Arc::new(config))))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        bail!("no certificate in it");
    }
    Ok(chain)
}
