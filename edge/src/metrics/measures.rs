//! What an edge node measures as it happens.

use std::time::Duration;

use causeway_gossip::page::{self, Histograms, Label, Page};
use causeway_protocol::client::request::Body;
use causeway_protocol::session::{Cause, State};
use causeway_transport::Transport;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::probes::Sample;

/// Transport and state of a connection.
type Labels = [(&'static str, &'static str); 2];

/// What an edge node sees of a session: to it, whoever resumes is connecting, and whoever
/// has closed is not there.
const STATES: [State; 3] = [State::Connecting, State::Live, State::Draining];

/// Requests that take a like time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answered by the edge node itself.
    Here,
    /// Carried out by the leader of the cell.
    Message,
    /// Carried out by the nearest replica.
    Metadata,
    /// Only read.
    Question,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Here, Self::Message, Self::Metadata, Self::Question];

    /// Of a request.
    pub fn of(body: Option<&Body>) -> Self {
        match body {
            Some(
                Body::Ping(_) | Body::SendEvent(_) | Body::OpenChannels(_) | Body::WatchPresence(_),
            ) => Self::Here,
            Some(
                Body::SendMessage(_)
                | Body::EditMessage(_)
                | Body::DeleteMessage(_)
                | Body::CreateChannel(_),
            ) => Self::Message,
            Some(
                Body::JoinChannel(_)
                | Body::LeaveChannel(_)
                | Body::InviteMember(_)
                | Body::KickMember(_)
                | Body::MarkRead(_)
                | Body::React(_)
                | Body::Pin(_)
                | Body::Star(_)
                | Body::SetChannel(_)
                | Body::SetProfile(_)
                | Body::SetStatus(_)
                | Body::SetPreference(_)
                | Body::SetAway(_)
                | Body::SetDoNotDisturb(_)
                | Body::SetEmoji(_),
            ) => Self::Metadata,
            _ => Self::Question,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Message => "message",
            Self::Metadata => "metadata",
            Self::Question => "question",
        }
    }
}

/// Counts and times; clones share them.
#[derive(Debug, Clone)]
pub struct Measures {
    connections: Family<Labels, Gauge>,
    boots: Histograms,
    requests: Histograms,
    round_trips: Histograms,
    push_queues: Histogram,
}

impl Default for Measures {
    /// All labels are there from the beginning: what is missing cannot be told from
    /// what has not happened.
    fn default() -> Self {
        let measures = Self {
            connections: Family::default(),
            boots: page::times_by_label(),
            requests: page::times_by_label(),
            round_trips: page::times_by_label(),
            push_queues: page::sizes(),
        };
        for transport in Transport::ALL {
            for state in STATES {
                measures.gauge(transport, state);
            }
            let label = of(transport);
            drop(measures.boots.get_or_create(&label));
            drop(measures.round_trips.get_or_create(&label));
        }
        for kind in Kind::ALL {
            drop(measures.requests.get_or_create(&[("kind", kind.as_str())]));
        }
        measures
    }
}

impl Measures {
    /// A client is connected.
    pub fn connected(&self, transport: Transport) -> Presence {
        let presence = Presence {
            measures: self.clone(),
            transport,
            state: State::Connecting,
        };
        presence.gauge().inc();
        presence
    }

    /// A hello has been welcomed.
    pub fn booted(&self, transport: Transport, took: Duration) {
        let of_transport = self.boots.get_or_create(&of(transport));
        of_transport.observe(took.as_secs_f64());
    }

    /// A request has been answered.
    pub fn answered(&self, kind: Kind, took: Duration) {
        let of_kind = self.requests.get_or_create(&[("kind", kind.as_str())]);
        of_kind.observe(took.as_secs_f64());
    }

    /// A connection has been looked at.
    pub fn sampled(&self, transport: Transport, sample: Sample) {
        if let Some(time) = sample.round_trip {
            let of_transport = self.round_trips.get_or_create(&of(transport));
            of_transport.observe(time.as_secs_f64());
        }
        self.push_queues.observe(f64::from(sample.queued));
    }

    fn gauge(&self, transport: Transport, state: State) -> Gauge {
        let labels = [("transport", transport.as_str()), ("state", state.as_str())];
        self.connections.get_or_create_owned(&labels)
    }

    /// Writes all of it down.
    pub fn tell(&self, page: &mut Page) {
        page.metric(
            "connections",
            "Clients that are connected, by transport and state",
            self.connections.clone(),
        );
        page.metric(
            "boot_seconds",
            "Time from a hello to its welcome",
            self.boots.clone(),
        );
        page.metric(
            "request_seconds",
            "Time from a request to its answer, by kind",
            self.requests.clone(),
        );
        page.metric(
            "client_round_trip_seconds",
            "Round trips of connections that were looked at",
            self.round_trips.clone(),
        );
        page.metric(
            "push_queue_frames",
            "Frames in the queues of sessions that were looked at",
            self.push_queues.clone(),
        );
    }
}

fn of(transport: Transport) -> Label {
    [("transport", transport.as_str())]
}

/// A client's place in the count of connections; dropping it takes it out.
#[derive(Debug)]
pub struct Presence {
    measures: Measures,
    transport: Transport,
    state: State,
}

impl Presence {
    /// Its session goes on, if that leads anywhere.
    pub fn goes_on(&mut self, cause: Cause) {
        if let Some(state) = self.state.after(cause) {
            self.gauge().dec();
            self.state = state;
            self.gauge().inc();
        }
    }

    fn gauge(&self) -> Gauge {
        self.measures.gauge(self.transport, self.state)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.gauge().dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(measures: &Measures) -> String {
        let mut page = Page::new("e");
        measures.tell(&mut page);
        page.render()
    }

    #[test]
    fn connections_are_counted_by_transport_and_state() {
        let measures = Measures::default();
        let mut native = measures.connected(Transport::Native);
        let socket = measures.connected(Transport::WebSocket);
        let mut session = measures.connected(Transport::WebTransport);
        native.goes_on(Cause::Welcomed);
        session.goes_on(Cause::Welcomed);
        session.goes_on(Cause::GoAway);
        session.goes_on(Cause::GoAway);
        let text = page(&measures);
        for line in [
            "e_connections{transport=\"native\",state=\"connecting\"} 0",
            "e_connections{transport=\"native\",state=\"live\"} 1",
            "e_connections{transport=\"native\",state=\"draining\"} 0",
            "e_connections{transport=\"websocket\",state=\"connecting\"} 1",
            "e_connections{transport=\"webtransport\",state=\"live\"} 0",
            "e_connections{transport=\"webtransport\",state=\"draining\"} 1",
        ] {
            assert!(text.contains(line), "`{line}` is missing in {text}");
        }
        drop((native, socket, session));
        let text = page(&measures);
        assert!(!text.contains("} 1"), "{text}");
    }

    #[test]
    fn times_are_told_by_what_they_are_of() {
        let measures = Measures::default();
        measures.booted(Transport::Native, Duration::from_millis(7));
        measures.answered(Kind::of(None), Duration::from_millis(1));
        let sample = Sample {
            round_trip: Some(Duration::from_millis(40)),
            queued: 3,
        };
        measures.sampled(Transport::Native, sample);
        let text = page(&measures);
        for line in [
            "e_boot_seconds_count{transport=\"native\"} 1",
            "e_request_seconds_count{kind=\"question\"} 1",
            "e_client_round_trip_seconds_sum{transport=\"native\"} 0.04",
            "e_push_queue_frames_bucket{le=\"4.0\"} 1",
        ] {
            assert!(text.contains(line), "`{line}` is missing in {text}");
        }
    }
}
