//! From one PoP to another: first the next connection, then the hello there, and
//! only then is the old one left.

use std::time::Duration;

use causeway_protocol::ApiError;
use causeway_protocol::client::{self, request, response};
use causeway_transport::Closed;
use futures::future::{BoxFuture, FutureExt};

use crate::connection::request;
use crate::inbox::Seen;
use crate::lifecycle::Input;
use crate::nearest::{self, Arrived, Avoid};
use crate::{Age, ClientConfig};

/// A hello is answered by then.
const HELLO_TIMEOUT: Duration = Duration::from_secs(6);

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
    /// It has not.
    Unwelcome(Input),
    /// The client stays where it is.
    Failed(Closed),
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
            match nearest::connect(&config, &avoid, true).await {
                Ok(arrived) => Moved::Arrived(Box::new(arrived)),
                Err(closed) => Moved::Failed(closed),
            }
        };
        self.step = Some(arriving.boxed());
    }

    /// Greets the PoP that has been reached.
    pub fn say_hello(&mut self, arrived: Box<Arrived>, seen: Seen, hello: client::Hello) {
        let greeting = async move {
            match greet(&arrived, seen, hello).await {
                Ok(welcomed) => Moved::Welcomed(arrived, Box::new(welcomed)),
                Err(unwelcome) => Moved::Unwelcome(unwelcome),
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

/// Says hello. An error tells why the client was not let in.
pub(crate) async fn greet(
    arrived: &Arrived,
    seen: Seen,
    hello: client::Hello,
) -> Result<Welcomed, Input> {
    let (at, connection) = (arrived.pop.address, &arrived.connection);
    let hello = client::Hello {
        nowhere_else: arrived.last_resort,
        ..hello
    };
    let greeting = request(connection, seen, request::Body::Hello(hello));
    let response = match tokio::time::timeout(HELLO_TIMEOUT, greeting).await {
        Ok(Ok(response)) => response,
        // If the connection is over, that tells more.
        Ok(Err(error)) => match connection.closed().now_or_never() {
            Some(closed) => return Err(Input::Unheard { at, closed }),
            None => return Err(Input::unanswered(at, error.message)),
        },
        Err(_) => return Err(Input::unanswered(at, "the hello was not answered")),
    };
    let (seen, age) = (Seen::of(&response), Age::from_wire(response.age_ms));
    match response.result {
        Some(response::Result::Welcome(welcome)) => Ok(Welcomed { seen, age, welcome }),
        Some(response::Result::Error(mut error)) => Err(Input::Refused {
            at,
            open: std::mem::take(&mut error.pops),
            error: ApiError::from_wire(error),
        }),
        _ => Err(Input::unanswered(
            at,
            "the hello was answered with something else",
        )),
    }
}
