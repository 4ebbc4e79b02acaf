//! From settings to a server, and from a signal to its end.

use crate::engine::Engine;
use crate::grpc;
use crate::http::{self, App};
use crate::keys::Keys;
use crate::listen::{self, Endpoint};
use crate::settings::{Mcp, Serve};
use crate::stop::StopSignal;
use crate::{metrics, telemetry};
use anyhow::{Context, bail};
use axum::Router;
use axum_server::Handle;
use encoderfile::{Encoder, Info};
use encoderfile_dialects::service::Service;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Serves HTTP and gRPC until SIGTERM or Ctrl-C.
///
/// Everything that can be wrong with the settings is found before `load` is
/// called, which gives the model.
pub fn serve(
    settings: &Serve,
    load: impl FnOnce() -> anyhow::Result<(Encoder, Info)>,
) -> anyhow::Result<()> {
    let listen = &settings.listen;
    let address = &listen.address;
    if address.disable_http && listen.disable_grpc {
        bail!("--disable-http and --disable-grpc leave nothing to serve");
    }
    let keys = Arc::new(Keys::load(&settings.access)?);
    let tls = listen::tls(&listen.tls)?;
    let open = |disabled: bool, protocol, address, port| {
        let endpoint = (!disabled).then(|| Endpoint::open(protocol, address, port, tls.clone()));
        endpoint.transpose()
    };
    let http = open(
        address.disable_http,
        "http",
        address.http_hostname,
        address.http_port,
    )?;
    let grpc = open(
        listen.disable_grpc,
        "grpc",
        address.grpc_hostname,
        address.grpc_port,
    )?;
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let _traces = telemetry::start(&settings.telemetry)?;
    warn_of(settings, &keys, [&http, &grpc]);
    let (encoder, info) = load()?;
    let served = start(settings, encoder, info)?;
    let service = served.service.clone();
    let recorder = metrics::install()?;
    runtime.spawn(metrics::upkeep(recorder.clone()));
    let app = Arc::new(App::new(served, recorder, settings)?);

    let mut servers = Servers::new(settings);
    if let Some(endpoint) = http {
        let hosts = &settings.access.allowed_host;
        let mcp = listen.mcp.then(|| crate::mcp::router(&app, hosts));
        let routes = http::router(app.clone(), settings, keys.clone(), mcp);
        servers.spawn(endpoint, routes)?;
    }
    if let Some(endpoint) = grpc {
        servers.spawn(endpoint, grpc::router(service, keys, app.draining.clone())?)?;
    }
    runtime.block_on(servers.run(&app))
}

/// Speaks MCP until the client has gone, or over HTTP until told to stop.
pub fn mcp(
    settings: &Mcp,
    load: impl FnOnce() -> anyhow::Result<(Encoder, Info)>,
) -> anyhow::Result<()> {
    let served = settings.as_serve();
    if settings.is_http() {
        return serve(&served, load);
    }
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let _traces = telemetry::start(&served.telemetry)?;
    let (encoder, info) = load()?;
    let model = start(&served, encoder, info)?;
    let ended = runtime.block_on(crate::mcp::stdio(model.service));
    // A thread may still be reading standard input, and would be waited for.
    runtime.shutdown_background();
    ended
}

pub(crate) fn start(settings: &Serve, encoder: Encoder, mut info: Info) -> anyhow::Result<Served> {
    let defaults = &settings.defaults;
    let encoder = match defaults.pooling {
        Some(pooling) => encoder
            .repool(pooling.into(), &mut info)
            .map_err(|error| anyhow::anyhow!("--{error}"))?,
        None => encoder,
    };
    let (encoder, limits) = (Arc::new(encoder), settings.limits.of_requests());
    let workers = settings.limits.workers();
    let engine = Engine::start(encoder.clone(), workers, limits.max_queued_tokens)?;
    let engine = Arc::new(engine);
    let defaults = defaults.of_requests();
    let service = Service::new(encoder, engine.clone(), info, limits, defaults);
    let mut service = service.context("--default-prompt and --default-prompt-name")?;
    if let Some(name) = &settings.access.served_model_name {
        service.model_id.clone_from(name);
    }
    Ok(Served {
        service: Arc::new(service),
        engine,
    })
}

/// A model that is served, and the threads that compute it.
pub(crate) struct Served {
    pub(crate) service: Arc<Service>,
    pub(crate) engine: Arc<Engine>,
}

pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    /// Talking to clients takes little; computing has threads of its own.
    const THREADS: usize = 2;
    /// Parsing and writing large JSON; more at once would only compete with
    /// computing, and each keeps memory of its own.
    const BLOCKING_THREADS: usize = 8;

    // Connections are file descriptors; the usual soft limit is 1,024. Windows has none.
    #[cfg(unix)]
    let _ = rlimit::increase_nofile_limit(rlimit::INFINITY);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(THREADS)
        .max_blocking_threads(BLOCKING_THREADS);
    let runtime = builder.enable_all().build();
    runtime.context("cannot start the server's threads")
}

fn warn_of(settings: &Serve, keys: &Keys, endpoints: [&Option<Endpoint>; 2]) {
    for flag in settings.limits.without_effect() {
        warn!(
            "{flag} has no effect: every text is computed by itself, as soon as a thread is free"
        );
    }
    let public = endpoints.into_iter().flatten().any(Endpoint::is_public);
    if public && keys.is_empty() {
        warn!("other machines can reach this server, and it asks for no key (--api-key-file)");
    }
}

/// What is listened to.
struct Servers {
    running: JoinSet<std::io::Result<()>>,
    handles: Vec<Handle<SocketAddr>>,
    urls: Vec<String>,
    /// Whether other machines can reach any of them.
    public: bool,
    /// The flag by which they could.
    hostname_flag: &'static str,
    grace: Duration,
    read_timeout: Duration,
}

impl Servers {
    fn new(settings: &Serve) -> Self {
        Self {
            running: JoinSet::new(),
            handles: Vec::new(),
            urls: Vec::new(),
            public: false,
            hostname_flag: settings.listen.hostname_flag,
            grace: Duration::from_secs(settings.listen.grace),
            read_timeout: settings.limits.read_timeout(),
        }
    }

    fn spawn(&mut self, endpoint: Endpoint, routes: Router) -> anyhow::Result<()> {
        let handle = Handle::new();
        self.urls.push(endpoint.url()?);
        self.public |= endpoint.is_public();
        self.handles.push(handle.clone());
        self.running
            .spawn(endpoint.serve(routes, handle, self.read_timeout));
        Ok(())
    }

    /// Serves until told to stop; what is being served gets its time to finish.
    async fn run(mut self, app: &App) -> anyhow::Result<()> {
        let mut stop = StopSignal::listen()?;
        for url in &self.urls {
            info!("listening: {url}");
        }
        if !self.public {
            let flag = self.hostname_flag;
            info!("only this machine can reach it; {flag} 0.0.0.0 lets others in");
        }
        let signal = tokio::select! {
            signal = stop.received() => signal,
            ended = self.running.join_next() => {
                ended.context("no server")??.context("a server ended")?;
                bail!("a server ended unexpectedly");
            }
        };
        info!(
            grace = self.grace.as_secs(),
            "{signal}: finishing what is being served"
        );
        app.draining.cancel();
        for handle in &self.handles {
            handle.graceful_shutdown(Some(self.grace));
        }
        let given_up = app.engine.given_up();
        self.finish(&mut stop).await?;
        let (waiting, tokens) = app.engine.load();
        // What is cut off takes its texts out of the queue, now or in a moment.
        let texts = waiting + app.engine.given_up() - given_up;
        if tokens > 0 || texts > 0 {
            warn!(texts, "time is up; these were not answered");
        }
        info!("stopped");
        Ok(())
    }
}

impl Servers {
    /// Waits until all have ended; not any longer once told to stop again.
    async fn finish(&mut self, stop: &mut StopSignal) -> anyhow::Result<()> {
        let mut hurried = false;
        loop {
            tokio::select! {
                ended = self.running.join_next() => match ended {
                    Some(ended) => ended??,
                    None => return Ok(()),
                },
                signal = stop.received(), if !hurried => {
                    warn!("{signal} again: nothing is waited for");
                    hurried = true;
                    for handle in &self.handles {
                        handle.shutdown();
                    }
                }
            }
        }
    }
}
