//! The settings of `serve` and `mcp`, as flags and environment variables.
//!
//! Names are upstream's, and TEI's where upstream has none.

use clap::builder::{FalseyValueParser, RangedU64ValueParser};
use clap::{Args, ValueEnum};
use encoderfile::PoolingChoice;
use encoderfile_dialects::limits;
use encoderfile_dialects::origins::Origin;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    #[command(flatten)]
    pub(crate) listen: Listen,
    #[command(flatten)]
    pub(crate) defaults: Defaults,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) access: Access,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
}

/// The settings of `health`: those of `serve` that say where it listens.
#[derive(Args, Clone, Debug)]
pub struct Health {
    #[command(flatten)]
    pub(crate) address: Address,
    #[command(flatten)]
    pub(crate) tls: Tls,
}

/// The settings of `mcp`.
#[derive(Args, Clone, Debug)]
pub struct Mcp {
    /// Serve streamable HTTP at /mcp instead of standard input and output; implied by --hostname,
    /// --port, --cert-file and --key-file
    #[arg(long)]
    http: bool,

    /// Address to listen on; implies --http [default: 127.0.0.1]
    #[arg(long, env = "ENCODERFILE_MCP_HOSTNAME", value_name = "ADDRESS", value_parser = address)]
    hostname: Option<IpAddr>,

    /// Port to listen on, 0 for a free one; implies --http [default: 9100]
    #[arg(long, env = "ENCODERFILE_MCP_PORT")]
    port: Option<u16>,

    /// TLS certificate chain, in PEM; implies --http
    #[arg(long, requires = "key_file", value_name = "FILE")]
    cert_file: Option<PathBuf>,

    /// Private key of the TLS certificate, in PEM; implies --http
    #[arg(long, requires = "cert_file", value_name = "FILE")]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    defaults: Defaults,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    telemetry: Telemetry,
}

impl Mcp {
    /// Whether it speaks HTTP, which any setting of HTTP implies.
    pub(crate) fn is_http(&self) -> bool {
        self.http || self.hostname.is_some() || self.port.is_some() || self.cert_file.is_some()
    }

    /// `serve` with nothing but MCP.
    pub(crate) fn as_serve(&self) -> Serve {
        let hostname = self.hostname.unwrap_or(LOOPBACK);
        Serve {
            listen: Listen {
                address: Address {
                    http_hostname: hostname,
                    http_port: self.port.unwrap_or(9100),
                    grpc_hostname: hostname,
                    grpc_port: 0,
                    disable_http: false,
                },
                hostname_flag: "--hostname",
                disable_grpc: true,
                mcp: true,
                tls: Tls {
                    cert_file: self.cert_file.clone(),
                    key_file: self.key_file.clone(),
                },
                grace: 5,
            },
            defaults: self.defaults.clone(),
            limits: self.limits.clone(),
            access: self.access.clone(),
            telemetry: self.telemetry.clone(),
        }
    }
}

/// Only this machine can connect unless the settings say otherwise.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where to listen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) address: Address,

    /// What `--http-hostname` is called: `mcp` has another name for it.
    #[arg(skip = "--http-hostname")]
    pub(crate) hostname_flag: &'static str,

    /// Do not serve gRPC
    #[arg(long, env = "DISABLE_GRPC", value_parser = FalseyValueParser::new())]
    pub(crate) disable_grpc: bool,

    /// Also serve MCP, as streamable HTTP at /mcp
    #[arg(long, env = "ENCODERFILE_MCP", value_parser = FalseyValueParser::new())]
    pub(crate) mcp: bool,

    #[command(flatten)]
    pub(crate) tls: Tls,

    /// Graceful shutdown: seconds that running requests may take after SIGTERM or Ctrl-C
    #[arg(
        long,
        env = "GRACE",
        default_value_t = 30,
        value_name = "SECONDS",
        value_parser = seconds(0)
    )]
    pub(crate) grace: u64,
}

/// Addresses, and whether HTTP is among them: what `health` has to know too.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Address {
    /// Address to listen on for HTTP; 0.0.0.0 or :: for all interfaces
    #[arg(long, alias = "hostname", env = "HTTP_HOSTNAME", default_value_t = LOOPBACK, value_name = "ADDRESS", value_parser = address)]
    pub(crate) http_hostname: IpAddr,

    /// Port for HTTP, 0 for a free one
    #[arg(
        long,
        short = 'p',
        alias = "port",
        env = "PORT",
        default_value_t = 8080
    )]
    pub(crate) http_port: u16,

    /// Address to listen on for gRPC
    #[arg(long, env = "GRPC_HOSTNAME", default_value_t = LOOPBACK, value_name = "ADDRESS", value_parser = address)]
    pub(crate) grpc_hostname: IpAddr,

    /// Port for gRPC, 0 for a free one
    #[arg(long, env = "GRPC_PORT", default_value_t = 50051)]
    pub(crate) grpc_port: u16,

    /// Do not serve HTTP
    #[arg(long, env = "DISABLE_HTTP", value_parser = FalseyValueParser::new())]
    pub(crate) disable_http: bool,
}

/// Certificates.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub(crate) struct Tls {
    /// TLS certificate chain, in PEM; enables TLS
    #[arg(long, env = "CERT_FILE", requires = "key_file", value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,

    /// Private key of the TLS certificate, in PEM
    #[arg(long, env = "KEY_FILE", requires = "cert_file", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// Defaults for options that a request leaves out.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Embeddings")]
pub(crate) struct Defaults {
    /// Prompt to prepend to texts whose request has neither a prompt nor a role
    #[arg(
        long,
        env = "DEFAULT_PROMPT",
        value_name = "TEXT",
        conflicts_with = "default_prompt_name"
    )]
    pub(crate) default_prompt: Option<String>,

    /// Name of the model's prompt to prepend to those texts
    #[arg(long, env = "DEFAULT_PROMPT_NAME", value_name = "NAME")]
    pub(crate) default_prompt_name: Option<String>,

    /// Override the model's pooling [default: the pooling in the file]
    #[arg(long, env = "POOLING", value_enum, value_name = "MODE")]
    pub(crate) pooling: Option<Pooling>,
}

impl Defaults {
    /// Of requests.
    pub(crate) fn of_requests(&self) -> limits::Defaults {
        limits::Defaults {
            prompt: self.default_prompt.clone(),
            prompt_name: self.default_prompt_name.clone(),
        }
    }
}

/// TEI's names of poolings.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Pooling {
    /// The vector of the first token
    Cls,
    /// The mean over all tokens
    Mean,
    /// The vector of the last token
    LastToken,
    /// Sparse weights of a masked language model (SPLADE)
    Splade,
}

impl From<Pooling> for PoolingChoice {
    fn from(pooling: Pooling) -> Self {
        match pooling {
            Pooling::Cls => Self::Cls,
            Pooling::Mean => Self::Mean,
            Pooling::LastToken => Self::LastToken,
            Pooling::Splade => Self::Splade,
        }
    }
}

/// Limits on requests and on the queue.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Worker threads: texts computed in parallel, or cores for a single one [default: the number of
    /// cores]
    #[arg(long, env = "THREADS", value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Maximum concurrent requests; above it requests get 429
    #[arg(
        long,
        env = "MAX_CONCURRENT_REQUESTS",
        default_value_t = limits::Limits::DEFAULT.max_concurrent_requests,
        value_name = "N",
        value_parser = at_least_one(COUNT_MAX)
    )]
    pub(crate) max_concurrent_requests: usize,

    /// Maximum tokens queued or running (estimated as bytes / 4); above it requests get 429
    #[arg(
        long,
        env = "MAX_QUEUED_TOKENS",
        default_value_t = limits::Limits::DEFAULT.max_queued_tokens,
        value_name = "N"
    )]
    pub(crate) max_queued_tokens: usize,

    /// Maximum texts per request, and entries in any list among its options
    #[arg(
        long,
        env = "MAX_CLIENT_BATCH_SIZE",
        default_value_t = limits::Limits::DEFAULT.max_client_batch_size,
        value_name = "N",
        value_parser = at_least_one(COUNT_MAX)
    )]
    pub(crate) max_client_batch_size: usize,

    /// Maximum characters per text, multiplied by how often it is encoded (once per label, plus
    /// window overlap)
    #[arg(
        long,
        env = "MAX_INPUT_CHARS",
        default_value_t = limits::Limits::DEFAULT.max_input_chars,
        value_name = "N",
        value_parser = at_least_one(BYTES_MAX)
    )]
    pub(crate) max_input_chars: usize,

    /// Maximum bytes in a request body
    #[arg(
        long,
        env = "PAYLOAD_LIMIT",
        default_value_t = limits::Limits::DEFAULT.payload_limit,
        value_name = "BYTES",
        value_parser = at_least_one(BYTES_MAX)
    )]
    pub(crate) payload_limit: usize,

    /// Timeout in seconds for receiving a request's headers, and again for its body
    #[arg(
        long,
        env = "READ_TIMEOUT",
        default_value_t = 30,
        value_name = "SECONDS",
        value_parser = seconds(1)
    )]
    pub(crate) read_timeout: u64,

    /// Truncate texts of too many tokens, on routes whose requests leave it open
    #[arg(
        long,
        env = "AUTO_TRUNCATE",
        default_value_t = limits::Limits::DEFAULT.auto_truncate,
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub(crate) auto_truncate: bool,

    /// TEI's; there are no batches here
    #[arg(long, env = "MAX_BATCH_TOKENS", hide = true)]
    pub(crate) max_batch_tokens: Option<usize>,

    /// TEI's; there are no batches here
    #[arg(long, env = "MAX_BATCH_REQUESTS", hide = true)]
    pub(crate) max_batch_requests: Option<usize>,

    /// TEI's; texts are tokenised by the threads that compute them
    #[arg(long, env = "TOKENIZATION_WORKERS", hide = true)]
    pub(crate) tokenization_workers: Option<usize>,
}

impl Limits {
    /// Worker threads.
    pub(crate) fn workers(&self) -> usize {
        match self.threads {
            Some(threads) => threads.get(),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Of requests.
    pub(crate) fn of_requests(&self) -> limits::Limits {
        limits::Limits {
            max_concurrent_requests: self.max_concurrent_requests,
            max_queued_tokens: self.max_queued_tokens,
            max_client_batch_size: self.max_client_batch_size,
            max_input_chars: self.max_input_chars,
            payload_limit: self.payload_limit,
            auto_truncate: self.auto_truncate,
        }
    }

    /// How long a client may take to send a head or a body.
    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_secs(self.read_timeout)
    }

    /// TEI's flags that were given and have no effect here.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        let flags = [
            ("--max-batch-tokens", self.max_batch_tokens),
            ("--max-batch-requests", self.max_batch_requests),
            ("--tokenization-workers", self.tokenization_workers),
        ];
        let given = flags.into_iter().filter(|(_, value)| value.is_some());
        given.map(|(name, _)| name).collect()
    }
}

/// Authentication, and what clients see of the server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub(crate) struct Access {
    /// Require this bearer key; may be repeated
    #[arg(long, env = "API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Vec<String>,

    /// File of bearer keys, one per line; lines that begin with # are comments
    #[arg(long, env = "API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,

    /// CORS: allow pages of this origin (https://example.org), * for any; may be repeated
    #[arg(
        long,
        env = "CORS_ALLOW_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub(crate) cors_allow_origin: Vec<Origin>,

    /// Further host names that requests to /mcp may have, beside localhost, 127.0.0.1 and ::1
    #[arg(
        long,
        env = "ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub(crate) allowed_host: Vec<String>,

    /// The model's name in answers [default: the one in the file]
    #[arg(long, env = "SERVED_MODEL_NAME", value_name = "NAME")]
    pub(crate) served_model_name: Option<String>,
}

/// Logs and traces.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub(crate) struct Telemetry {
    /// Log in JSON; RUST_LOG sets the level
    #[arg(long, env = "JSON_OUTPUT", value_parser = FalseyValueParser::new())]
    pub(crate) json_output: bool,

    /// Send OpenTelemetry traces to this OTLP endpoint (gRPC), such as http://localhost:4317
    #[arg(
        long,
        alias = "otel-exporter-url",
        env = "OTLP_ENDPOINT",
        value_name = "URL"
    )]
    pub(crate) otlp_endpoint: Option<String>,

    /// The service's name in traces
    #[arg(
        long,
        env = "OTLP_SERVICE_NAME",
        default_value = "encoderfile",
        value_name = "NAME"
    )]
    pub(crate) otlp_service_name: String,

    /// Upstream's: send traces to --otlp-endpoint, or else to http://localhost:4317
    #[arg(long, hide = true)]
    pub(crate) enable_otel: bool,
}

impl Telemetry {
    /// Where traces go, if anywhere.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        let default = self.enable_otel.then_some("http://localhost:4317");
        self.otlp_endpoint.as_deref().or(default)
    }
}

/// More requests or texts than any machine takes, and fewer than a semaphore counts.
const COUNT_MAX: u64 = u32::MAX as u64;

/// A pebibyte: more than any machine holds, and sums of it are no overflow.
const BYTES_MAX: u64 = 1 << 50;

/// A limit of zero would refuse every request.
fn at_least_one(most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=most)
}

/// Seconds, up to a year: beyond some centuries there are no points in time.
fn seconds(least: u64) -> RangedU64ValueParser<u64> {
    const YEAR: u64 = 365 * 24 * 60 * 60;

    RangedU64ValueParser::new().range(least..=YEAR)
}

/// An IP address, also as upstream writes it: `[::]`, `localhost`.
fn address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(LOOPBACK);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .map_err(|_| "not an IP address; 127.0.0.1 is this machine, 0.0.0.0 every network".into())
}
