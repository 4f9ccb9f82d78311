//! Running one node: `causeway core` and `causeway edge`.

use std::future::Future;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use anyhow::Context;
use causeway_transport::wan::Wan;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::{self, LogFormat, LogSection, Overrides};

/// Flags of both kinds of node.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Take the place of a value in the file, such as backbone.listen=127.0.0.1:7400
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Stop when standard input ends: for whoever starts nodes and may be killed
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

/// Runs a core node.
///
/// # Errors
/// An unusable configuration, or what made the node stop.
pub async fn core(args: NodeArgs) -> anyhow::Result<()> {
    let loaded = config::load_core(&args.config, &overrides(&args)?)?;
    start_log(&loaded.log)?;
    warn_of_ignored(&loaded.ignored);
    let wan = loaded.config.backbone.wan.clone();
    let run = |stop| causeway_core_region::run(loaded.config, stop);
    until_stopped(run, wan.zip(loaded.wan_file), args.stop_with_stdin).await
}

/// Runs an edge node.
///
/// # Errors
/// An unusable configuration, or what made the node stop.
pub async fn edge(args: NodeArgs) -> anyhow::Result<()> {
    let loaded = config::load_edge(&args.config, &overrides(&args)?)?;
    start_log(&loaded.log)?;
    warn_of_ignored(&loaded.ignored);
    let wan = loaded.config.backbone.wan.clone();
    let run = |stop| causeway_edge::run(loaded.config, stop);
    until_stopped(run, wan.zip(loaded.wan_file), args.stop_with_stdin).await
}

fn overrides(args: &NodeArgs) -> Result<Overrides, config::ConfigError> {
    Overrides::new(std::env::vars_os(), &args.overrides)
}

fn warn_of_ignored(variables: &[String]) {
    for variable in variables {
        tracing::warn!(variable, "ignored: this kind of node has no such section");
    }
}

async fn until_stopped<F, E>(
    run: impl FnOnce(CancellationToken) -> F,
    wan: Option<(Wan, PathBuf)>,
    stop_with_stdin: bool,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), E>>,
    E: std::error::Error + Send + Sync + 'static,
{
    let stop = CancellationToken::new();
    if let Some((wan, file)) = wan {
        tracing::warn!(
            file = %file.display(),
            "THE NETWORK IS EMULATED: delays, losses and cuts come from this file"
        );
        tokio::spawn(wan.watch(file, stop.clone()));
    }
    stop_on_signals(stop.clone())?;
    if stop_with_stdin {
        stop_at_end_of_stdin(stop.clone());
    }
    run(stop).await.context("the node has stopped")
}

/// Stops at SIGINT or SIGTERM; a second one ends the process at once.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            tracing::info!("stopping");
            stop.cancel();
        }
    });
    Ok(())
}

/// A thread, as reading standard input cannot be cancelled.
fn stop_at_end_of_stdin(stop: CancellationToken) {
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(read) if read > 0) {}
        stop.cancel();
    });
}

/// Starts the log, and lets a panic anywhere stop the node: half a node is worse
/// than none, and every node may be killed at any time.
fn start_log(log: &LogSection) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("[log] filter = \"{}\"", log.filter))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::force_capture();
        tracing::error!(%panic, %backtrace, "a bug: the node stops");
        std::process::abort();
    }));
    Ok(())
}
