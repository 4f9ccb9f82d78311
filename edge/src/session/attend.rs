//! A client's time here, whatever its connection is made of: the hello, its
//! requests, its pushes, and the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_protocol::client::{self, request};
use causeway_protocol::limits::REQUESTS_IN_FLIGHT_MAX;
use causeway_protocol::session::Cause;
use causeway_protocol::{ApiError, CloseCode, ErrorCode};
use causeway_transport::Transport;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::queue::PushQueue;
use super::{Session, Sessions};
use crate::metrics::{Presence, Probe, Sample};
use crate::transports::{Arrival, Call, Carrier, Inbound, Pushes};

/// A connection that has not said hello by then is closed.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);
/// An answer is taken by then.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames written at a time.
const WRITE_FRAMES_MAX: usize = 64;

/// Serves a client until either side ends it, or the node stops.
pub async fn serve<C, I>(
    sessions: &Arc<Sessions>,
    carrier: C,
    mut inbound: I,
    stop: &CancellationToken,
) where
    C: Carrier,
    I: Inbound,
{
    let transport = carrier.transport();
    let mut presence = sessions.measures.connected(transport);
    // What it takes to let a client in is not kept for as long as it stays.
    let admitting = Box::pin(admit(sessions, &carrier, &mut inbound));
    let admitted = stop.run_until_cancelled(admitting).await;
    match admitted {
        Some(Some(session)) => {
            presence.goes_on(Cause::Welcomed);
            attend(sessions, &carrier, inbound, session, presence, stop).await;
        }
        Some(None) => {}
        None => carrier.close(CloseCode::GoingAway),
    }
}

/// Lets the client in, or closes the connection.
async fn admit<C: Carrier, I: Inbound>(
    sessions: &Arc<Sessions>,
    carrier: &C,
    inbound: &mut I,
) -> Option<Box<Session>> {
    match timeout(HELLO_TIMEOUT, greet(sessions, inbound, carrier.transport())).await {
        Ok(Ok(session)) => return Some(session),
        Ok(Err(code)) => {
            let (remote, transport) = (carrier.remote(), carrier.transport());
            tracing::debug!(%remote, %transport, %code, "a client was refused");
            // The client reads the answer, and closes; this is for one that does not.
            let _ = timeout(HELLO_TIMEOUT, carrier.closed()).await;
        }
        Err(_) => {}
    }
    carrier.close(CloseCode::Refused);
    None
}

/// Reads the first request, which must be a hello.
async fn greet<I: Inbound>(
    sessions: &Arc<Sessions>,
    inbound: &mut I,
    transport: Transport,
) -> Result<Box<Session>, ErrorCode> {
    let mut call = loop {
        match inbound.next().await {
            Some(Arrival::Call(call)) => break call,
            // Whoever it is from has not said who that is.
            Some(Arrival::Event(_)) => {}
            None => return Err(ErrorCode::Malformed),
        }
    };
    let request = call.read().await;
    let began = Instant::now();
    let welcomed = match request {
        Ok(client::Request {
            body: Some(request::Body::Hello(hello)),
            min_position,
            wrote,
        }) => {
            if let Some(response) = sessions.turn_away(&hello) {
                call.answer(response).await;
                return Err(ErrorCode::Draining);
            }
            sessions.welcome(hello, min_position, wrote).await
        }
        Ok(_) => Err(ApiError::new(
            ErrorCode::NotAuthed,
            "the first request of a connection is a hello",
        )),
        Err(error) => Err(error),
    };
    match welcomed {
        Ok((session, response)) => {
            sessions.measures.booted(transport, began.elapsed());
            call.answer(response).await;
            Ok(Box::new(session))
        }
        Err(error) => {
            let code = error.code;
            call.answer(sessions.refuse(error)).await;
            Err(code)
        }
    }
}

/// Runs a session until either side ends it.
async fn attend<C: Carrier, I: Inbound>(
    sessions: &Arc<Sessions>,
    carrier: &C,
    inbound: I,
    session: Box<Session>,
    mut presence: Presence,
    stop: &CancellationToken,
) {
    let gone = CancellationToken::new();
    let (caller, queue, cut) = (session.caller(), session.queue(), session.cut());
    let _probe = probe(sessions, carrier, &queue);
    let running = tokio::spawn(session.run(gone.clone()));
    let writing = tokio::spawn(write_pushes(carrier.pushes(), Arc::clone(&queue)));
    let drains = async {
        loop {
            queue.told_to_go().await;
            presence.goes_on(Cause::GoAway);
        }
    };
    tokio::select! {
        () = serve_calls(sessions, inbound, Arc::clone(&caller)) => {}
        () = drains => {}
        () = stop.cancelled() => carrier.close(CloseCode::GoingAway),
        () = cut.cancelled() => carrier.close(match caller.has_flooded() {
            true => CloseCode::Flooding,
            false => CloseCode::TooSlow,
        }),
    }
    gone.cancel();
    for task in [running, writing] {
        if task.await.is_err() {
            tracing::error!(remote = %carrier.remote(), "a session has panicked");
        }
    }
}

/// Lets the connection be looked at.
fn probe<C: Carrier>(sessions: &Sessions, carrier: &C, queue: &Arc<PushQueue>) -> Probe {
    let (carrier, queue) = (carrier.clone(), Arc::clone(queue));
    sessions.probes.add(carrier.transport(), move || Sample {
        round_trip: carrier.round_trip(),
        queued: queue.frames(),
    })
}

/// Answers requests until the connection ends. With as many under way as there may
/// be, no more are taken in.
async fn serve_calls<I: Inbound>(sessions: &Arc<Sessions>, mut inbound: I, caller: Arc<Caller>) {
    let places = Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX as usize));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match inbound.next().await {
            Some(Arrival::Call(call)) => {
                let answering = serve_call(Arc::clone(sessions), Arc::clone(&caller), call);
                tokio::spawn(async move {
                    answering.await;
                    drop(place);
                });
            }
            Some(Arrival::Event(event)) => sessions.datagram(&caller, event),
            None => return,
        }
    }
}

async fn serve_call<C: Call>(sessions: Arc<Sessions>, caller: Arc<Caller>, mut call: C) {
    let response = match call.read().await {
        Ok(request) => sessions.answer(&caller, request).await,
        Err(error) => sessions.refuse_of(&caller, error),
    };
    // Whoever does not read an answer does not keep it here.
    let _ = timeout(ANSWER_TIMEOUT, call.answer(response)).await;
}

/// Writes pushes, many at a time.
async fn write_pushes<P: Pushes>(mut pushes: P, queue: Arc<PushQueue>) {
    loop {
        // None are kept while there is nothing to write.
        let mut frames = Vec::new();
        if !queue.take(&mut frames, WRITE_FRAMES_MAX).await
            || pushes.write(&mut frames).await.is_err()
        {
            return;
        }
    }
}
