//! A UDP socket for quinn that holds outgoing datagrams back for as long as the
//! emulated way takes. Each place delays what it sends, so both directions of a
//! pair are emulated, each by its sender.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::Wan;
use super::model::{Fate, Sender};

/// Datagrams on their way are dropped beyond this many bytes, as a real
/// network's buffers would.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Wraps quinn's own socket; receiving goes straight through.
pub struct WanSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    wan: Wan,
    local: IpAddr,
    sender: Mutex<Sender>,
    way: Arc<Way>,
}

impl fmt::Debug for WanSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WanSocket({})", self.local)
    }
}

impl WanSocket {
    /// `raw` is the socket under `inner`; the thread of this way sends from it.
    pub fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        raw: std::net::UdpSocket,
        wan: Wan,
    ) -> io::Result<Self> {
        static SOCKETS: AtomicU64 = AtomicU64::new(0);
        let local = inner.local_addr()?.ip();
        let seed = wan.model().config().seed ^ SOCKETS.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            inner,
            local,
            sender: Mutex::new(Sender::new(local, SmallRng::seed_from_u64(seed))),
            way: Way::start(raw)?,
            wan,
        })
    }

    /// Decides on each datagram of a segmented transmit by itself.
    fn send_each(&self, sender: &mut Sender, transmit: &Transmit<'_>, now: Instant) {
        let model = self.wan.model();
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        for contents in transmit.contents.chunks(size.max(1)) {
            match sender.send(&model, transmit.destination.ip(), now) {
                Fate::At(at) => self.way.enter(at, contents, None, transmit),
                Fate::Lost | Fate::Direct => {}
            }
        }
    }
}

impl AsyncUdpSocket for WanSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let model = self.wan.model();
        let remote = transmit.destination.ip();
        let mut sender = self.sender.lock();
        let now = Instant::now();
        if sender.is_lossy(&model, remote) {
            self.send_each(&mut sender, transmit, now);
            return Ok(());
        }
        match sender.send(&model, remote, now) {
            Fate::Direct => self.inner.try_send(transmit),
            Fate::Lost => Ok(()),
            Fate::At(at) => {
                self.way
                    .enter(at, transmit.contents, transmit.segment_size, transmit);
                Ok(())
            }
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl Drop for WanSocket {
    fn drop(&mut self) {
        self.way.queue.lock().closed = true;
        self.way.changed.notify_one();
    }
}

/// Datagrams on their way, and the thread that sees them arrive. A thread, as
/// the runtime's timers are a millisecond coarse and a path has many hops.
struct Way {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Datagram>>,
    bytes: usize,
    count: u64,
    closed: bool,
}

/// One transmit; ordered by time, then by order of entry.
struct Datagram {
    at: Instant,
    number: u64,
    destination: SocketAddr,
    src_ip: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    segment_size: Option<usize>,
    contents: Box<[u8]>,
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Datagram {}
impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Way {
    fn start(raw: std::net::UdpSocket) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&raw).into())?;
        let way = Arc::new(Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&way);
        std::thread::Builder::new()
            .name("wan".into())
            .spawn(move || thread.run(&raw, &state))?;
        Ok(way)
    }

    fn enter(
        &self,
        at: Instant,
        contents: &[u8],
        segment_size: Option<usize>,
        transmit: &Transmit<'_>,
    ) {
        let mut queue = self.queue.lock();
        if queue.bytes + contents.len() > IN_FLIGHT_BYTES_MAX {
            return;
        }
        queue.bytes += contents.len();
        queue.count += 1;
        let datagram = Datagram {
            at,
            number: queue.count,
            destination: transmit.destination,
            src_ip: transmit.src_ip,
            ecn: transmit.ecn,
            segment_size,
            contents: contents.into(),
        };
        let first = queue.heap.peek().is_none_or(|head| at < head.0.at);
        queue.heap.push(Reverse(datagram));
        if first {
            self.changed.notify_one();
        }
    }

    fn run(&self, raw: &std::net::UdpSocket, state: &UdpSocketState) {
        while let Some(datagram) = self.next() {
            // A full socket buffer or a closed port: lost, as on a real network.
            let _ = state.try_send(
                raw.into(),
                &Transmit {
                    destination: datagram.destination,
                    ecn: datagram.ecn,
                    contents: &datagram.contents,
                    segment_size: datagram.segment_size,
                    src_ip: datagram.src_ip,
                },
            );
        }
    }

    /// Waits for the next datagram to arrive; `None` when the socket is gone.
    fn next(&self) -> Option<Datagram> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            match queue.heap.peek().map(|head| head.0.at) {
                None => self.changed.wait(&mut queue),
                Some(at) if at <= Instant::now() => {
                    let Reverse(datagram) = queue.heap.pop().expect("peeked above");
                    queue.bytes -= datagram.contents.len();
                    return Some(datagram);
                }
                Some(at) => {
                    self.changed.wait_until(&mut queue, at);
                }
            }
        }
    }
}
