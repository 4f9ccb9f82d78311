//! The far side: a client of each transport, in all channels, and how long each
//! message took to it. Both hear the same messages at the same time.

use std::time::Duration;

use anyhow::{Context, bail};
use causeway_client::{Client, Event};
use causeway_protocol::client::entry::Kind;
use causeway_transport::Transport;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::End;
use super::network;
use super::plan::{Begin, Here, Meeting, Plan, Posted, Ready};
use super::side::Parent;
use super::tally::{Mark, Seen, Tally, now_us};

/// A client is connected by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// After the last is posted, whatever comes has come by then.
const ARRIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What came, and how.
#[derive(Debug, Serialize, Deserialize)]
pub struct Heard {
    /// Over QUIC.
    pub native: Seen,
    /// Over TCP.
    pub websocket: Seen,
}

/// A client that listens.
struct Listener {
    /// It goes on as long as this is here.
    _client: Client,
    give_up: CancellationToken,
    listening: JoinHandle<anyhow::Result<Tally>>,
}

/// Does what it is told.
///
/// # Errors
/// What went wrong.
pub async fn run(parent: &mut Parent) -> anyhow::Result<()> {
    parent.tell(&Here)?;
    let Begin { device, plan } = parent.hear().await?;
    network::set_up(&device, End::Far.address()).await?;
    let meeting: Meeting = parent.hear().await?;
    let native = Listener::connect(&meeting, plan, Transport::Native).await?;
    let websocket = Listener::connect(&meeting, plan, Transport::WebSocket).await?;
    parent.tell(&Ready)?;
    let Posted = parent.hear().await?;
    parent.tell(&Heard {
        native: native.finish().await?,
        websocket: websocket.finish().await?,
    })
}

impl Listener {
    async fn connect(meeting: &Meeting, plan: Plan, transport: Transport) -> anyhow::Result<Self> {
        let config = meeting.config(End::Far, &meeting.listener, transport)?;
        let (client, mut events) = Client::start(config);
        let connected = timeout(CONNECT_TIMEOUT, super::connected(&mut events)).await;
        connected.with_context(|| format!("no connection over {transport} in time"))??;
        let give_up = CancellationToken::new();
        let stop = give_up.clone();
        let listening = tokio::spawn(async move {
            let mut tally = Tally::of(plan.messages());
            tokio::select! {
                () = stop.cancelled() => {}
                heard = listen(&mut events, &mut tally) => heard?,
            }
            Ok(tally)
        });
        Ok(Self {
            _client: client,
            give_up,
            listening,
        })
    }

    /// Waits until all messages are there, or none comes any more.
    async fn finish(mut self) -> anyhow::Result<Seen> {
        let tally = match timeout(ARRIVE_TIMEOUT, &mut self.listening).await {
            Ok(tally) => tally,
            Err(_) => {
                self.give_up.cancel();
                self.listening.await
            }
        };
        Ok(tally??.seen())
    }
}

/// Until all messages are there.
async fn listen(events: &mut mpsc::Receiver<Event>, tally: &mut Tally) -> anyhow::Result<()> {
    while !tally.is_complete() {
        match events.recv().await {
            Some(Event::Entry { entry, at, .. }) => {
                if let Some(Kind::Posted(message)) = entry.kind
                    && let Some(mark) = Mark::parse(&message.text)
                {
                    let waited = u64::try_from(at.elapsed().as_micros())?;
                    tally.add(mark, now_us().saturating_sub(waited));
                }
            }
            Some(Event::Stopped(error)) => return Err(error.into()),
            Some(_) => {}
            None => bail!("the client has stopped"),
        }
    }
    Ok(())
}
