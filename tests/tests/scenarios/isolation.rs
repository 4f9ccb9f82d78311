//! A region and its PoP are cut off from everybody: what is sent there is refused
//! in time, what is read there tells its age, and nothing is done twice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway_protocol::client::{self, request, response};
use causeway_transport::wan::{self, LinkConfig};
use quinn::Connection;

use crate::raw::{ask, ask_from, code, let_in};
use crate::world::{PATIENCE, Running, Site};

/// What the platform promises.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Cut off from all other places, but not from one another.
const ISLAND: [&str; 2] = ["us-east", "nyc"];

/// Cuts every link between the island and the rest, at once, or mends them.
pub fn isolate(world: &Running, cut: bool) {
    let file = world.world.wan.as_deref().expect("an emulated network");
    let mut config = wan::read(file).expect("readable").config().clone();
    let link = LinkConfig {
        cut: cut.then_some(true),
        ..LinkConfig::default()
    };
    let places: Vec<_> = config
        .places
        .iter()
        .map(|place| place.name.clone())
        .collect();
    let inside = |name: &str| ISLAND.contains(&name);
    for from in &places {
        for to in &places {
            if inside(from.as_str()) != inside(to.as_str()) {
                let links = config.links.entry(from.clone()).or_default();
                links.insert(to.clone(), link);
            }
        }
    }
    wan::write(file, &config).expect("writable");
}

/// A user of a workspace at an edge node, in its first channel.
struct Person {
    connection: Connection,
    channel: u64,
}

impl Person {
    async fn at(world: &Running, edge: &str, workspace: &str) -> Self {
        let (connection, boot) = let_in(world, edge, workspace).await;
        let channel = boot.channels.first().expect("a channel").id;
        Self {
            connection,
            channel,
        }
    }

    /// Sends once, and tells how long the answer took.
    async fn send(&self, id: &str) -> (client::Response, Duration) {
        let send = request::Body::SendMessage(client::SendMessage {
            channel: self.channel,
            client_msg_id: Bytes::copy_from_slice(id.as_bytes()),
            text: format!("this is {id}"),
            thread_ts: 0,
        });
        let start = Instant::now();
        let answer = ask(&self.connection, send).await;
        (answer, start.elapsed())
    }

    async fn read(&self, min_position: u64) -> client::Response {
        let read = request::Body::ReadHistory(client::ReadHistory {
            channel: self.channel,
            ..client::ReadHistory::default()
        });
        ask_from(&self.connection, min_position, read).await
    }

    /// Sends until it is acknowledged, as a client library does.
    async fn send_until_taken(&self, id: &str) -> (client::Sent, u64) {
        let start = Instant::now();
        loop {
            let (answer, _) = self.send(id).await;
            if let Some(response::Result::Sent(sent)) = answer.result {
                return (sent, answer.position);
            }
            assert_eq!(code(&answer), "unavailable");
            assert!(start.elapsed() < PATIENCE, "{id} is never acknowledged");
        }
    }
}

fn texts(answer: &client::Response) -> Vec<&str> {
    match &answer.result {
        Some(response::Result::Messages(page)) => {
            page.messages.iter().map(|m| m.text.as_str()).collect()
        }
        other => panic!("no messages: {other:?}"),
    }
}

/// Sends one message after another until one is refused: that one was under way
/// when the cut began. Each answer comes in time.
async fn send_into_the_cut(person: &Person, home: &str) -> (String, Duration) {
    let start = Instant::now();
    for n in 0.. {
        let id = format!("{home}-{n}");
        let (answer, took) = person.send(&id).await;
        assert!(took < REFUSED_WITHIN, "{id} was answered after {took:?}");
        if !matches!(answer.result, Some(response::Result::Sent(_))) {
            assert_eq!(code(&answer), "unavailable", "{answer:?}");
            return (id, took);
        }
        assert!(start.elapsed() < PATIENCE, "the cut is not felt");
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_cut_off_refuses_sends_in_time_and_tells_the_age_of_what_it_has() {
    let site = Site::new();
    let world = site.start(&[]);
    // One cell has its leader on the island; the other one's is out of reach.
    let mut people = Vec::new();
    for home in ["us-east", "eu-west"] {
        let workspaces = world.world.workspaces.iter();
        let workspace = workspaces
            .into_iter()
            .find(|w| w.home_region.as_str() == home);
        let workspace = &workspace.expect("a workspace at home there").name;
        let inside = Person::at(&world, "nyc-1", workspace).await;
        let outside = Person::at(&world, "fra-1", workspace).await;
        inside.send_until_taken(&format!("before-{home}")).await;
        people.push((home, inside, outside));
    }

    isolate(&world, true);
    let (us, eu) = (&people[0], &people[1]);
    let (first_us, first_eu) = tokio::join!(
        send_into_the_cut(&us.1, us.0),
        send_into_the_cut(&eu.1, eu.0)
    );
    let cut = Instant::now();
    println!(
        "the first were refused after {:?}, {:?}",
        first_us.1, first_eu.1
    );
    let refused = [first_us.0, first_eu.0];

    for ((home, inside, outside), id) in people.iter().zip(&refused) {
        // Also once everybody knows of the cut.
        let (answer, took) = inside.send(id).await;
        println!("{home}: the second was refused after {took:?}");
        assert_eq!(code(&answer), "unavailable");
        assert!(took < REFUSED_WITHIN, "refused after {took:?}");

        // Reads go on, and grow older.
        let mut last_age = 0;
        let answer = loop {
            let answer = inside.read(0).await;
            assert!(texts(&answer).contains(&format!("this is before-{home}").as_str()));
            assert!(answer.age_ms >= last_age, "it grows no younger");
            last_age = answer.age_ms;
            if answer.age_ms >= 2_000 {
                break answer;
            }
            assert!(cut.elapsed() < PATIENCE, "no age is told");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        // The cut began at most one send and a second before it was noted.
        let age = Duration::from_millis(answer.age_ms.into());
        let at_most = cut.elapsed() + REFUSED_WITHIN + Duration::from_secs(1);
        println!(
            "{home}: read as of {age:?} ago, {:?} after the cut",
            cut.elapsed()
        );
        assert!(age < at_most, "{age:?} is older than the cut");

        // The rest of the world goes on; what it writes is not there.
        let (_, position) = outside.send_until_taken(&format!("meanwhile-{home}")).await;
        let start = Instant::now();
        let fresh = inside.read(position).await;
        println!(
            "{home}: a fresh read was refused after {:?}",
            start.elapsed()
        );
        assert_eq!(code(&fresh), "unavailable", "{fresh:?}");
        assert!(start.elapsed() < REFUSED_WITHIN);
        // Outside, a quorum is younger than the cut is.
        let outside_age = outside.read(position).await.age_ms;
        assert!(outside_age < 2_000, "{outside_age}");
    }

    isolate(&world, false);
    for ((home, inside, outside), id) in people.iter().zip(&refused) {
        let (sent, position) = inside.send_until_taken(id).await;
        let (again, _) = inside.send_until_taken(id).await;
        assert!(again.duplicate);
        assert_eq!((sent.seq, sent.ts), (again.seq, again.ts));
        for person in [inside, outside] {
            let start = Instant::now();
            let answer = loop {
                let answer = person.read(position).await;
                let is_fresh = code(&answer) == "no error" && answer.age_ms < 2_000;
                if is_fresh {
                    break answer;
                }
                assert!(start.elapsed() < PATIENCE, "never fresh again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            };
            let texts = texts(&answer);
            for wanted in [format!("this is {id}"), format!("this is meanwhile-{home}")] {
                let times = texts.iter().filter(|text| **text == wanted).count();
                assert_eq!(times, 1, "{wanted}: {texts:?}");
            }
        }
    }
}
