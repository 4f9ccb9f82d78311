//! Clients that do not read, do not end, or do not go.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::loopback::Loopback;
use super::{GRACE, LINGER_BYTES_MAX, LINGER_MAX, WRITE_STALL_MAX};
use super::{WriteTimeout, linger, serve_http};
use crate::limits::Limits;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
/// Bytes that the emulated network holds.
const WINDOW_BYTES: usize = 1024;
const LONG_ANSWER_BYTES: usize = 32 * WINDOW_BYTES;
/// Shorter than any timeout of the listener that must not be waited for.
const AT_ONCE: Duration = Duration::from_millis(2_900);

fn long_answers() -> Router {
    Router::new().route("/", get(|| async { "x".repeat(LONG_ANSWER_BYTES) }))
}

/// Tells of each request, and answers when told to.
#[derive(Clone, Default)]
struct Slow {
    asked: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Slow {
    fn app(&self) -> Router {
        let slow = self.clone();
        let handler = move || async move {
            slow.asked.notify_one();
            slow.answer.notified().await;
            "done"
        };
        Router::new().route("/", get(handler))
    }
}

/// Serves one client; `true` = the connection did not break.
fn serve(app: Router, stop: &CancellationToken) -> (DuplexStream, JoinHandle<bool>) {
    let (client, server) = duplex(WINDOW_BYTES);
    let server = WriteTimeout::new(server, WRITE_STALL_MAX);
    let (stop, meter) = (stop.clone(), Arc::new(Limits::default().meter()));
    let serving =
        tokio::spawn(async move { serve_http(server, app, meter, &stop).await.is_some() });
    (client, serving)
}

/// The connection is dropped after this time.
async fn is_dropped_after(serving: JoinHandle<bool>, wanted: Duration) {
    let start = Instant::now();
    let ended = timeout(2 * wanted, serving).await;
    assert!(!ended.expect("an end").unwrap());
    assert!(about(start.elapsed(), wanted));
}

fn about(elapsed: Duration, wanted: Duration) -> bool {
    (wanted..wanted + Duration::from_millis(10)).contains(&elapsed)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let (mut client, serving) = serve(long_answers(), &CancellationToken::new());
    client.write_all(REQUEST).await.unwrap();
    is_dropped_after(serving, WRITE_STALL_MAX).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_all_of_its_answer() {
    let (mut client, serving) = serve(long_answers(), &CancellationToken::new());
    client.write_all(LAST_REQUEST).await.unwrap();
    let mut answer = Vec::new();
    let mut some = [0; WINDOW_BYTES];
    loop {
        sleep(WRITE_STALL_MAX - Duration::from_secs(1)).await;
        match client.read(&mut some).await.unwrap() {
            0 => break,
            read => answer.extend_from_slice(&some[..read]),
        }
    }
    assert!(answer.ends_with(&[b'x'; LONG_ANSWER_BYTES]));
    assert!(serving.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_request_under_way_at_a_stop_is_answered() {
    let (slow, stop) = (Slow::default(), CancellationToken::new());
    let (mut client, serving) = serve(slow.app(), &stop);
    client.write_all(REQUEST).await.unwrap();
    slow.asked.notified().await;
    stop.cancel();
    sleep(GRACE / 2).await;
    slow.answer.notify_one();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    assert!(serving.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_dropped_after_a_stop() {
    let (slow, stop) = (Slow::default(), CancellationToken::new());
    let (mut client, serving) = serve(slow.app(), &stop);
    client.write_all(REQUEST).await.unwrap();
    slow.asked.notified().await;
    stop.cancel();
    is_dropped_after(serving, GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped_after_a_stop() {
    let stop = CancellationToken::new();
    let (mut client, serving) = serve(long_answers(), &stop);
    client.write_all(REQUEST).await.unwrap();
    // The answer has begun.
    client.read_u8().await.unwrap();
    stop.cancel();
    is_dropped_after(serving, GRACE).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_after_its_answer_is_closed() {
    let (_client, server) = duplex(WINDOW_BYTES);
    let start = Instant::now();
    linger(server).await;
    assert!(about(start.elapsed(), LINGER_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_without_end_is_cut_off() {
    const CHUNK: &[u8] = &[b'x'; 64 * 1024];
    let (mut client, server) = duplex(CHUNK.len());
    let flooding = tokio::spawn(async move {
        let mut sent = 0;
        while client.write_all(CHUNK).await.is_ok() {
            sent += CHUNK.len() as u64;
        }
        sent
    });
    linger(server).await;
    let sent = flooding.await.unwrap();
    let under_way = CHUNK.len() as u64;
    assert!((LINGER_BYTES_MAX..=LINGER_BYTES_MAX + under_way).contains(&sent));
}

#[tokio::test]
async fn after_a_stop_nobody_is_let_in_while_others_are_waited_for() {
    let slow = Slow::default();
    let mut site = Loopback::serve(slow.app()).await;
    let mut client = site.connect().await;
    client.write_all(REQUEST).await.unwrap();
    slow.asked.notified().await;

    site.stop.cancel();
    // The kernel may let one in that comes at the same moment; it is reset, or
    // turned away, once the listener is gone.
    if let Ok(mut late) = TcpStream::connect(site.address).await {
        assert!(!matches!(late.read(&mut [0]).await, Ok(read) if read > 0));
    }
    let refused = TcpStream::connect(site.address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!site.serving.is_finished());

    slow.answer.notify_one();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    (&mut site.serving).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_neither_for_handshakes_nor_for_the_idle() {
    let site = Loopback::serve(long_answers()).await;
    let _silent = TcpStream::connect(site.address).await.unwrap();
    // Accepted after the silent one, and answered.
    let mut idle = site.connect().await;
    idle.write_all(REQUEST).await.unwrap();
    let mut answer = vec![0; LONG_ANSWER_BYTES];
    idle.read_exact(&mut answer).await.unwrap();
    site.stop.cancel();
    timeout(AT_ONCE, site.serving).await.unwrap().unwrap();
}
