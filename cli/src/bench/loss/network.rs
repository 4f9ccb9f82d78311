//! The link as the kernel sees it: a TUN device at each end, in a network namespace
//! of its own, between which this process carries packets. Devices go with this
//! process and namespaces with theirs, however they end: nothing is left to remove.

use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Instant;

use thiserror::Error;
use tokio::process::Command;
use tokio_tun::Tun;
use tokio_util::sync::CancellationToken;

use super::link::{Conditions, Counts, End, Link};

/// No packet is longer: of a device that nobody has told otherwise.
const PACKET_BYTES_MAX: usize = 1_500;
/// Of the network that both ends are in.
const PREFIX_BITS: u8 = 24;

/// The network cannot be set up.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// The system does not let this user do it.
    #[error(
        "this bench makes TUN devices and network namespaces, which the system does not allow: \
         run as root (in a container, with CAP_NET_ADMIN and CAP_SYS_ADMIN)"
    )]
    NotAllowed,
    /// The system has no such devices.
    #[error(
        "this bench needs TUN devices, and there is no /dev/net/tun: run as root on a machine \
         that has it (`modprobe tun`), or give it to the container (`--device /dev/net/tun`)"
    )]
    NoDevices,
    /// A program is not there.
    #[error("this bench needs `{program}`, which is not there: install {package}")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// What it comes with.
        package: &'static str,
    },
    /// A program refuses.
    #[error("{command}: {words}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        words: String,
    },
    /// What else may fail.
    #[error("a network device: {0}")]
    Io(#[from] io::Error),
}

impl From<tokio_tun::Error> for NetworkError {
    fn from(error: tokio_tun::Error) -> Self {
        let error = match error {
            tokio_tun::Error::NixError(errno) => errno.into(),
            tokio_tun::Error::IoError(error) => error,
        };
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotAllowed,
            io::ErrorKind::NotFound => Self::NoDevices,
            // The system knows the file, and not what is behind it.
            _ if error.raw_os_error() == Some(nix::libc::ENODEV) => Self::NoDevices,
            _ => Self::Io(error),
        }
    }
}

/// Both devices, and what is between them.
pub struct Network {
    near: Device,
    far: Device,
}

struct Device {
    tun: Tun,
    link: Link,
}

/// What went in at each end.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// At the edge node's end.
    pub near: Counts,
    /// At the client's end.
    pub far: Counts,
}

impl Network {
    /// Makes the devices.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub fn open(conditions: Conditions) -> anyhow::Result<Self> {
        let device = |end| anyhow::Ok(Device::open(Link::new(end, conditions)?)?);
        Ok(Self {
            near: device(End::Near)?,
            far: device(End::Far)?,
        })
    }

    /// Gives a device to the namespace of a process. Returns the device's name.
    ///
    /// # Errors
    /// [`NetworkError`].
    pub async fn give(&self, end: End, pid: u32) -> Result<String, NetworkError> {
        let device = match end {
            End::Near => &self.near,
            End::Far => &self.far,
        };
        let name = device.tun.name().to_owned();
        let pid = pid.to_string();
        ip(&["link", "set", "dev", &name, "netns", &pid]).await?;
        Ok(name)
    }

    /// Carries packets until `stop`.
    ///
    /// # Errors
    /// The system's: a device has gone.
    pub async fn carry(mut self, stop: CancellationToken) -> io::Result<Traffic> {
        let (mut near, mut far) = ([0; PACKET_BYTES_MAX], [0; PACKET_BYTES_MAX]);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                read = self.near.tun.recv(&mut near) => self.near.take(&near[..read?]),
                read = self.far.tun.recv(&mut far) => self.far.take(&far[..read?]),
                () = until(self.near.link.deadline()) => {}
                () = until(self.far.link.deadline()) => {}
            }
            let now = Instant::now();
            while let Some(packet) = self.near.link.due(now) {
                self.far.tun.send(&packet).await?;
            }
            while let Some(packet) = self.far.link.due(now) {
                self.near.tun.send(&packet).await?;
            }
        }
        Ok(Traffic {
            near: self.near.link.counts(),
            far: self.far.link.counts(),
        })
    }
}

impl Device {
    fn open(link: Link) -> Result<Self, NetworkError> {
        let mut tuns = Tun::builder().build()?;
        let tun = tuns.pop().ok_or(NetworkError::NoDevices)?;
        Ok(Self { tun, link })
    }

    fn take(&mut self, packet: &[u8]) {
        // The kernel looks for IPv6 neighbours; here are none.
        let is_ipv4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
        if is_ipv4 {
            self.link.take(packet, Instant::now());
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Sets up a device, and loopback, in the namespace of this process.
///
/// # Errors
/// [`NetworkError`].
pub async fn set_up(device: &str, address: Ipv4Addr) -> Result<(), NetworkError> {
    let address = format!("{address}/{PREFIX_BITS}");
    ip(&["link", "set", "dev", "lo", "up"]).await?;
    ip(&["address", "add", &address, "dev", device]).await?;
    ip(&["link", "set", "dev", device, "up"]).await
}

async fn ip(words: &[&str]) -> Result<(), NetworkError> {
    let mut command = Command::new("ip");
    let ran = command.args(words).stdin(Stdio::null()).output().await;
    let ran = ran.map_err(|error| missing(error, "ip", "iproute2"))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    if said.contains("Operation not permitted") {
        return Err(NetworkError::NotAllowed);
    }
    Err(NetworkError::Refused {
        command: format!("ip {}", words.join(" ")),
        words: said.trim().into(),
    })
}

/// What it means that a program cannot be started.
pub fn missing(error: io::Error, program: &'static str, package: &'static str) -> NetworkError {
    match error.kind() {
        io::ErrorKind::NotFound => NetworkError::NoProgram { program, package },
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_told_as_what_to_do() {
        let tells = |error: tokio_tun::Error| NetworkError::from(error).to_string();
        let kind = |kind: io::ErrorKind| tokio_tun::Error::IoError(kind.into());
        for error in [
            tokio_tun::Error::NixError(nix::errno::Errno::EPERM),
            kind(io::ErrorKind::PermissionDenied),
            kind(io::ErrorKind::NotFound),
            tokio_tun::Error::NixError(nix::errno::Errno::ENODEV),
        ] {
            let told = tells(error);
            assert!(told.contains("run as root"), "{told}");
        }
        let absent = missing(io::ErrorKind::NotFound.into(), "ip", "iproute2");
        assert!(absent.to_string().contains("install iproute2"));
    }
}
