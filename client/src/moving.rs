//! From one PoP to another: first the next connection, then the hello there, and
//! only then is the old one left.

use std::time::Duration;

use causeway_protocol::client::{self, request, response};
use futures::future::{BoxFuture, FutureExt};
use quinn::Connection;

use crate::connection::{request, result};
use crate::inbox::Seen;
use crate::nearest::{self, Avoid};
use crate::supervisor::End;
use crate::{Age, ClientConfig, Pop};

/// A hello is answered by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(6);

/// A PoP that has been reached, and has not been greeted.
pub(crate) struct Arrived {
    /// Which.
    pub pop: Pop,
    /// The connection.
    pub connection: Connection,
    /// As measured by the handshake.
    pub round_trip: Duration,
}

/// What a PoP answered to the hello.
pub(crate) struct Welcomed {
    /// What the boot data has.
    pub seen: Seen,
    /// How old the boot data may be.
    pub age: Age,
    /// The answer.
    pub welcome: client::Welcome,
}

/// How far a move is.
pub(crate) enum Moved {
    /// The next PoP is to be greeted.
    Arrived(Box<Arrived>),
    /// It has let the client in.
    Welcomed(Box<Arrived>, Box<Welcomed>),
    /// The client stays where it is.
    Failed(String),
}

/// A move that is under way, if any is.
#[derive(Default)]
pub(crate) struct Moving {
    step: Option<BoxFuture<'static, Moved>>,
    said_hello: bool,
}

impl Moving {
    /// Sets out for the nearest PoP that is not to be avoided.
    pub fn begin(&mut self, config: &ClientConfig, avoid: &Avoid) {
        if self.step.is_some() {
            return;
        }
        let (config, avoid) = (config.clone(), avoid.clone());
        let arriving = async move {
            match nearest_pop(&config, &avoid, true).await {
                Ok(arrived) => Moved::Arrived(Box::new(arrived)),
                Err(reason) => Moved::Failed(reason),
            }
        };
        self.step = Some(arriving.boxed());
    }

    /// Greets the PoP that has been reached.
    pub fn say_hello(&mut self, arrived: Box<Arrived>, seen: Seen, hello: client::Hello) {
        let greeting = async move {
            match greet(&arrived.connection, seen, hello).await {
                Ok(welcomed) => Moved::Welcomed(arrived, Box::new(welcomed)),
                Err(End::Broken(reason)) => Moved::Failed(reason),
                Err(End::Refused(error)) => Moved::Failed(error.to_string()),
                Err(End::Dropped) => Moved::Failed("given up".into()),
            }
        };
        self.said_hello = true;
        self.step = Some(greeting.boxed());
    }

    /// Whether an answer to a hello is awaited.
    pub fn has_said_hello(&self) -> bool {
        self.said_hello
    }

    /// What comes of the move next; nothing while there is none.
    pub async fn step(&mut self) -> Moved {
        let Some(step) = &mut self.step else {
            return std::future::pending().await;
        };
        let moved = step.await;
        self.step = None;
        self.said_hello = false;
        moved
    }
}

/// Connects to the nearest PoP; see [`nearest::connect`].
pub(crate) async fn nearest_pop(
    config: &ClientConfig,
    avoid: &Avoid,
    elsewhere: bool,
) -> Result<Arrived, String> {
    let quinn = nearest::quinn_config(config).map_err(|e| e.to_string())?;
    let (pop, connection, round_trip) = nearest::connect(config, &quinn, avoid, elsewhere).await?;
    Ok(Arrived {
        pop,
        connection,
        round_trip,
    })
}

/// Says hello.
pub(crate) async fn greet(
    connection: &Connection,
    seen: Seen,
    hello: client::Hello,
) -> Result<Welcomed, End> {
    let greeting = request(connection, seen, request::Body::Hello(hello));
    let response = match tokio::time::timeout(HELLO_TIMEOUT, greeting).await {
        Ok(response) => response.map_err(|e| End::Broken(e.message))?,
        Err(_) => return Err(End::Broken("the hello was not answered".into())),
    };
    let (seen, age) = (Seen::of(&response), Age::from_wire(response.age_ms));
    match result(response) {
        Ok(response::Result::Welcome(welcome)) => Ok(Welcomed { seen, age, welcome }),
        Ok(_) => Err(End::Broken(
            "the hello was answered with something else".into(),
        )),
        Err(error) if error.code.is_retryable() => Err(End::Broken(error.to_string())),
        Err(error) => Err(End::Refused(error)),
    }
}
