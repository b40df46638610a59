//! The commands that start servers.
use std::{io::Write, net::SocketAddr};

use anyhow::Context;

use super::exit;
use crate::{
    app::{Address, App, Ended, Source},
    config::{Config, Role, Site},
    lifecycle::{Asked, Signals},
    telemetry::Log,
};

fn runtime(config: &Config) -> anyhow::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if config.runtime.workers == 0 { cores } else { config.runtime.workers };
    // One worker needs no other threads to take work from: measured 30 % less CPU.
    let mut builder = if workers == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build().context("the runtime could not be started")
}

/// Whatever it says, and how it ends, goes through the log: standard error may be a pipe that
/// nobody reads.
pub(super) fn run(config: Config, role: Role, source: Source) -> anyhow::Result<u8> {
    let log = Log::install(&config).context("the log can't be written")?;
    let code = run_server(config, role, source).unwrap_or_else(|error| {
        log.say(format_args!("always-online: {error:#}"));
        exit::code(&error)
    });
    log.flush();
    Ok(code)
}

fn run_server(config: Config, role: Role, source: Source) -> anyhow::Result<u8> {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let runtime = runtime(&config)?;
    let code = runtime.block_on(serve(config, role, source))?;
    // Connections that are still open end with the process.
    runtime.shutdown_background();
    Ok(code)
}

async fn serve(config: Config, role: Role, source: Source) -> anyhow::Result<u8> {
    let mut signals = Signals::install().context("signals can't be handled")?;
    let app = App::start(&config, role, source).await?;
    announce(&app);
    // Whoever asks for the end meanwhile need not wait for this.
    let opened = tokio::select! {
        opened = app.open() => opened.map(|()| None),
        signal = wait(&app, &mut signals) => Ok(Some(signal)),
    };
    let signal = match opened {
        Ok(Some(signal)) => signal,
        Ok(None) => wait(&app, &mut signals).await,
        Err(error) => {
            tokio::select! {
                _ = app.drain() => {} // it failed already
                () = signals.second() => {}
            }
            return Err(error.into());
        }
    };
    tracing::info!(signal, "asked to end");
    tokio::select! {
        ended = app.drain() => Ok(match ended {
            Ended::InTime => 0,
            Ended::Late => exit::DEADLINE,
            Ended::Failed => exit::FAILED,
        }),
        () = signals.second() => Ok(exit::INTERRUPTED),
    }
}

/// Does what signals ask for, until one of them asks for the end.
async fn wait(app: &App, signals: &mut Signals) -> &'static str {
    loop {
        match signals.first().await {
            Asked::End(signal) => return signal,
            Asked::Reload => {
                if let Err(why) = app.operations().reload().await {
                    tracing::error!(
                        why,
                        "the configuration was not taken in; the one before holds"
                    );
                }
            }
        }
    }
}

/// Tells people, and scripts, where to look. That nobody reads it is no reason to end, nor to wait:
/// it has a thread of its own.
fn announce(app: &App) {
    let mut text = Vec::new();
    let _ = announce_to(app, &mut text); // memory takes it
    let _ = std::thread::Builder::new().name("announcement".into()).spawn(move || {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(&text).and_then(|()| out.flush());
    });
}

fn announce_to(app: &App, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "always-online {} is running.", env!("CARGO_PKG_VERSION"))?;
    for Address { site, tls, address } in &app.addresses {
        let scheme = if *tls { "https" } else { "http" };
        writeln!(out, "{} {scheme}://{}", site.label(), reachable(*address))?;
    }
    if let Some(admin) = &app.first_admin {
        writeln!(
            out,
            "An administrator was made; this is shown once, and kept in {}:",
            admin.file.display()
        )?;
        writeln!(out, "admin uid: {}", admin.uid)?;
        writeln!(out, "admin token: {}", admin.token.reveal())?;
    }
    if let Some(demo) = app.addresses.iter().find(|listens| listens.site == Site::Demo) {
        writeln!(out, "Open http://{} in two browser windows, and draw.", reachable(demo.address))?;
    }
    out.flush()
}

/// An address that can be opened: not the one that means all.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
