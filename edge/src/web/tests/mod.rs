//! The Web API as its callers see it, above cells that answer as they are told.

mod arguments;
mod authentication;
mod chat;
mod conversations;
mod limits;
mod marks;
mod people;
mod probes;
mod settings;
mod users;

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body as HttpBody, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode, request};
use bytes::Bytes;
use causeway_protocol::client::{self, request::Body, response::Result as Answer};
use causeway_protocol::token::{Claims, Signer, Verifier};
use causeway_protocol::{ApiError, ChannelId, ErrorCode, UserId, WorkspaceId};
use futures::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt;

use super::{WebState, routes};
use crate::limits::{Limits, LimitsConfig};
use crate::refusals::Refusals;
use crate::upstream::Ask;

/// The end of the year 9999: a test's token does not expire.
const FAR_S: u64 = 253_402_300_799;

/// Of every answer of the cells.
const POSITION: u64 = 9;
/// Of every answer of the cells that something is done.
const WROTE: Bytes = Bytes::from_static(b"a write");

fn me() -> UserId {
    user(7)
}

fn user(number: u32) -> UserId {
    UserId::new(WorkspaceId(1), number)
}

fn channel() -> ChannelId {
    ChannelId::new(WorkspaceId(1), 5)
}

fn done() -> Answer {
    Answer::Done(client::Done {})
}

fn refused(code: ErrorCode) -> Answer {
    Answer::Error(ApiError::from(code).to_wire())
}

/// Cells that record what they are asked, and answer from a list; once that is
/// empty they never answer.
#[derive(Default)]
struct Cells {
    asked: Mutex<Vec<(UserId, Body)>>,
    /// What was asked with it.
    min_positions: Mutex<Vec<u64>>,
    /// Likewise.
    wrote: Mutex<Vec<Bytes>>,
    answers: Mutex<VecDeque<Result<Answer, ApiError>>>,
}

impl Ask for Cells {
    fn ask(
        &self,
        user: UserId,
        request: client::Request,
    ) -> BoxFuture<'_, Result<client::Response, ApiError>> {
        self.asked.lock().push((user, request.body.unwrap()));
        self.min_positions.lock().push(request.min_position);
        self.wrote.lock().push(request.wrote);
        match self.answers.lock().pop_front() {
            None => future::pending().boxed(),
            Some(answer) => {
                let response = answer.map(|answer| client::Response {
                    position: POSITION,
                    age_ms: 0,
                    wrote: match answer {
                        Answer::Done(_) => WROTE,
                        _ => Bytes::new(),
                    },
                    result: Some(answer),
                });
                future::ready(response).boxed()
            }
        }
    }
}

/// An answer over HTTP.
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Heard {
    /// The answer to a call, which is JSON and 200 whatever happens.
    fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK);
        serde_json::from_slice(&self.body).unwrap()
    }

    fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json["ok"], false, "{json}");
        json["error"].as_str().unwrap().to_owned()
    }
}

struct World {
    app: Router,
    state: WebState,
    cells: Arc<Cells>,
    refusals: Arc<Refusals>,
    signer: Signer,
}

impl World {
    /// Cells that give these answers.
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::hearing(answers.into_iter().map(Ok))
    }

    /// Cells that give these answers, or are not reached.
    fn hearing(answers: impl IntoIterator<Item = Result<Answer, ApiError>>) -> Self {
        Self::with(answers, None, LimitsConfig::default())
    }

    /// Cells that give this answer, where of everybody this much is known.
    fn where_all_are(online: Option<bool>, answer: Answer) -> Self {
        let mut world = Self::answering([]);
        world.cells.answers.lock().push_back(Ok(answer));
        let state = WebState {
            online: Arc::new(move |_| future::ready(online).boxed()),
            ..world.state.clone()
        };
        world.app = routes(state);
        world
    }

    /// Cells that give these answers, under these limits.
    fn limited(answers: impl IntoIterator<Item = Answer>, limits: LimitsConfig) -> Self {
        Self::with(answers.into_iter().map(Ok), None, limits)
    }

    fn with(
        answers: impl IntoIterator<Item = Result<Answer, ApiError>>,
        unready: Option<&'static str>,
        limits: LimitsConfig,
    ) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let cells = Arc::new(Cells {
            asked: Mutex::default(),
            min_positions: Mutex::default(),
            wrote: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
        });
        let refusals = Arc::<Refusals>::default();
        let state = WebState {
            ask: cells.clone(),
            online: Arc::new(|_| future::ready(None).boxed()),
            verifier: Verifier::from_pems([pair.public_key_pem()]).unwrap(),
            unready: Arc::new(move || unready.map(str::to_owned)),
            metrics: Arc::new(|| "causeway_edge_sessions 3\n".into()),
            limits: Limits::new(limits),
            refusals: Arc::clone(&refusals),
        };
        Self {
            app: routes(state.clone()),
            state,
            cells,
            refusals,
            signer: Signer::from_pem(pair.serialize_pem().as_bytes()).unwrap(),
        }
    }

    /// A token of [`me`].
    fn token(&self, expires_at_s: u64) -> String {
        let claims = Claims {
            user: me(),
            issued_at_s: 1,
            expires_at_s,
        };
        self.signer.sign(&claims).unwrap()
    }

    /// A request with a good token.
    fn request(&self, verb: &str, path: &str) -> request::Builder {
        let request = Request::builder().method(verb).uri(path);
        request.header(AUTHORIZATION, format!("Bearer {}", self.token(FAR_S)))
    }

    async fn send(&self, request: Request<HttpBody>) -> Heard {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Heard {
            status: head.status,
            headers: head.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// A call with its arguments in the query.
    async fn get(&self, path: &str) -> Heard {
        let request = self.request("GET", &format!("/api/{path}"));
        self.send(request.body(HttpBody::empty()).unwrap()).await
    }

    /// A call with a body of this type.
    async fn post(&self, path: &str, kind: &str, body: impl Into<HttpBody>) -> Heard {
        let request = self.request("POST", &format!("/api/{path}"));
        let request = request.header(CONTENT_TYPE, kind);
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A call with its arguments as a form.
    async fn form(&self, method: &str, form: &str) -> Heard {
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        self.post(method, kind, form.to_owned()).await
    }

    /// A call with its arguments as JSON, and its JSON.
    async fn call(&self, method: &str, args: Value) -> Value {
        let kind = "application/json;charset=utf-8";
        self.post(method, kind, args.to_string()).await.json()
    }

    /// What the cells were asked, by [`me`].
    fn asked(&self) -> Vec<Body> {
        let asked = self.cells.asked.lock().clone();
        asked
            .into_iter()
            .map(|(user, body)| {
                assert_eq!(user, me());
                body
            })
            .collect()
    }
}
