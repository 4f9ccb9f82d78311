//! The states of sessions, as the client library tells them and as the node counts them.

use std::time::{Duration, Instant};

use causeway_client::{Client, Event, Transition};
use causeway_gossip::page::Page;
use causeway_protocol::session::{Retry, State};
use causeway_protocol::{CloseCode, ErrorCode};
use causeway_transport::Transport;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::site::Site;
use crate::drain;
use crate::hub::machine::SessionId;
use crate::limits::LimitsConfig;

/// Far beyond every pause of a client.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of the library, connected by this alone.
struct User {
    client: Client,
    events: Receiver<Event>,
}

impl User {
    fn start(site: &Site, transport: Transport, token: &str) -> Self {
        let (client, events) = Client::start(causeway_client::ClientConfig {
            transports: vec![transport],
            token: token.into(),
            ..site.config()
        });
        Self { client, events }
    }

    async fn event(&mut self) -> Event {
        let event = timeout(PATIENCE, self.events.recv()).await;
        event.expect("an event in time").expect("the client lives")
    }

    async fn step(&mut self) -> Transition {
        loop {
            if let Event::State(step) = self.event().await {
                return step;
            }
        }
    }

    async fn goes(&mut self, from: State, to: State, code: &str, retry: Retry) {
        let step = self.step().await;
        assert_eq!((step.from, step.to, step.code()), (from, to, code));
        assert_eq!(step.retry(), retry, "{code}");
    }

    async fn comes_back(&mut self) {
        let (from, to) = (State::Resuming, State::Live);
        self.goes(from, to, "welcomed", Retry::No).await;
    }
}

fn session(site: &Site) -> SessionId {
    let ids = site.node.sessions.hubs.ids();
    *ids.last().expect("a session")
}

fn go_away(site: &Site) {
    let frame = drain::go_away(ErrorCode::Draining, &Default::default());
    site.subscriber(session(site)).queue.go_away(frame);
}

pub(super) async fn the_application_is_told_each_state_and_its_cause(transport: Transport) {
    use State::{Closed, Connecting, Draining, Live, Resuming};
    let site = Site::serve().await;
    let mut ann = User::start(&site, transport, &site.node.token);
    ann.goes(Connecting, Live, "welcomed", Retry::No).await;

    site.subscriber(session(&site)).cut.cancel();
    let too_slow = CloseCode::TooSlow.as_str();
    ann.goes(Live, Resuming, too_slow, Retry::AtOnce).await;
    ann.comes_back().await;

    ann.client.reconnect().await;
    ann.goes(Live, Resuming, "reconnect", Retry::AtOnce).await;
    ann.comes_back().await;

    let mut nobody = User::start(&site, transport, "x");
    let code = ErrorCode::InvalidAuth.as_str();
    nobody.goes(Connecting, Closed, code, Retry::No).await;
    assert!(matches!(nobody.event().await, Event::Stopped(error) if error.code.as_str() == code));
    assert!(nobody.events.recv().await.is_none());

    go_away(&site);
    ann.goes(Live, Draining, "go_away", Retry::Elsewhere).await;
    site.stops_at_once().await;
    let stops = CloseCode::GoingAway.as_str();
    ann.goes(Draining, Resuming, stops, Retry::Elsewhere).await;

    let User { client, mut events } = ann;
    drop(client);
    let Some(Event::State(last)) = events.recv().await else {
        panic!("the end is not told");
    };
    assert_eq!((last.from, last.to), (Resuming, Closed));
    assert_eq!(last.code(), "let_go");
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn a_refused_hello_is_not_repeated_before_its_time() {
    let site = Site::limited(LimitsConfig {
        sessions_per_user: 1,
        ..LimitsConfig::default()
    })
    .await;
    let (first, _) = site.let_in(Transport::Native).await;
    let mut ann = User::start(&site, Transport::Native, &site.node.token);
    let code = ErrorCode::Ratelimited.as_str();
    let (from, to) = (State::Connecting, State::Connecting);
    ann.goes(from, to, code, Retry::Elsewhere).await;
    let refused = Instant::now();
    // It was told to wait for 5 s, and has heard so a moment ago.
    first.0.close();
    let next = ann.step().await;
    assert!(refused.elapsed() >= Duration::from_secs(4), "{next:?}");
}

/// Whether the node counts so many connections in this state.
fn counts(page: &str, transport: Transport, state: State, count: u32) -> bool {
    page.contains(&format!(
        "e_connections{{transport=\"{transport}\",state=\"{state}\"}} {count}\n"
    ))
}

pub(super) async fn connections_are_counted_by_their_state(transport: Transport) {
    let site = Site::serve().await;
    let measures = site.node.sessions.measures.clone();
    let page = || {
        let mut page = Page::new("e");
        measures.tell(&mut page);
        page.render()
    };
    let (client, _) = site.let_in(transport).await;
    // Whoever is answered is live.
    assert!(client.pings().await);
    assert!(counts(&page(), transport, State::Live, 1), "{}", page());
    go_away(&site);
    assert!(client.pings().await);
    assert!(counts(&page(), transport, State::Draining, 1), "{}", page());
    assert!(counts(&page(), transport, State::Live, 0), "{}", page());
    site.stops_at_once().await;
    assert!(counts(&page(), transport, State::Draining, 0), "{}", page());
}
