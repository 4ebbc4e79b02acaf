//! `health`: whether a `serve` on this machine is ready, for container engines and service managers.
//!
//! It asks where the same settings make `serve` listen: `/readyz` of HTTP, or the health service of
//! gRPC where HTTP is disabled. Neither needs a key.

use crate::settings::Health;
use anyhow::{Context, bail, ensure};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

/// From connecting to the answer, which takes milliseconds also while every core computes.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A status line is shorter.
const STATUS_LINE_LEN_MAX: u64 = 1024;

/// Asks the server, and says who is ready: `http://127.0.0.1:8080/readyz`.
///
/// # Errors
/// A message with the same address and why it is not ready, after at most five seconds.
pub fn health(settings: &Health) -> anyhow::Result<String> {
    let question = Question::of(settings)?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, question.ask()).await });
    let answer = answer.unwrap_or_else(|_| {
        let seconds = TIMEOUT.as_secs();
        bail!("no answer within {seconds} s")
    });
    answer
        .map(|()| question.to_string())
        .with_context(|| question.to_string())
}

/// Who is asked, and how.
struct Question {
    address: SocketAddr,
    protocol: Protocol,
    is_tls: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Grpc,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secure = if self.is_tls { "s" } else { "" };
        let address = self.address;
        match self.protocol {
            Protocol::Http => write!(f, "http{secure}://{address}/readyz"),
            Protocol::Grpc => write!(f, "grpc{secure}://{address}"),
        }
    }
}

impl Question {
    fn of(settings: &Health) -> anyhow::Result<Self> {
        let address = &settings.address;
        let (protocol, flag, host, port) = match address.disable_http {
            false => (
                Protocol::Http,
                "--http-port",
                address.http_hostname,
                address.http_port,
            ),
            true => (
                Protocol::Grpc,
                "--grpc-port",
                address.grpc_hostname,
                address.grpc_port,
            ),
        };
        ensure!(
            port != 0,
            "{flag} 0 is any free port; `health` needs the one that `serve` says it listens on"
        );
        Ok(Self {
            address: SocketAddr::new(reachable(host), port),
            protocol,
            is_tls: settings.tls.cert_file.is_some(),
        })
    }

    async fn ask(&self) -> anyhow::Result<()> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.context("`serve` does not listen there")?;
        match self.is_tls {
            true => self.ask_over(self.secured(stream).await?).await,
            false => self.ask_over(stream).await,
        }
    }

    async fn ask_over(&self, stream: impl Stream) -> anyhow::Result<()> {
        match self.protocol {
            Protocol::Http => ask_http(self.address, stream).await,
            Protocol::Grpc => ask_grpc(self.address, stream).await,
        }
    }

    async fn secured(&self, stream: TcpStream) -> anyhow::Result<impl Stream> {
        let protocol = match self.protocol {
            Protocol::Http => b"http/1.1".to_vec(),
            Protocol::Grpc => b"h2".to_vec(),
        };
        let name = ServerName::from(self.address.ip());
        let tls = TlsConnector::from(Arc::new(client_config(protocol)?));
        tls.connect(name, stream).await.context("TLS")
    }
}

/// Every interface is reached by the loopback one.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

async fn ask_http(address: SocketAddr, mut stream: impl Stream) -> anyhow::Result<()> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = Vec::new();
    let mut answer = BufReader::new(stream.take(STATUS_LINE_LEN_MAX));
    answer.read_until(b'\n', &mut line).await?;
    match line.strip_prefix(b"HTTP/1.1 ").map(<[u8]>::trim_ascii) {
        Some([b'2', ..]) => Ok(()),
        Some(status) => bail!("{}", status.escape_ascii()),
        None => bail!("the answer is not HTTP/1.1's"),
    }
}

async fn ask_grpc(address: SocketAddr, stream: impl Stream) -> anyhow::Result<()> {
    let mut stream = Some(TokioIo::new(stream));
    let connector = service_fn(move |_| {
        let stream = stream.take().ok_or(io::ErrorKind::NotConnected);
        std::future::ready(stream.map_err(io::Error::from))
    });
    let channel = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = channel.connect_with_connector(connector).await?;
    let question = HealthCheckRequest::default();
    let answer = HealthClient::new(channel).check(question).await;
    match answer.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Ok(()),
        Ok(status) => bail!("{}", status.as_str_name()),
        Err(status) => bail!("{:?}: {}", status.code(), status.message()),
    }
}

fn client_config(protocol: Vec<u8>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone());
    let config = config.with_safe_default_protocol_versions()?.dangerous();
    let any = Arc::new(AnyCertificate(provider));
    let config = config.with_custom_certificate_verifier(any);
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![protocol];
    Ok(config)
}

/// Takes any certificate: nothing is told to the server, and its certificate is made out to the
/// name that clients have for it, not to this machine's loopback address.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.0.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
